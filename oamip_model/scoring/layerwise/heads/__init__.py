"""Heads by name: objects that take the place of the layers after a scored one.

Another head is registered with :func:`register_head`, or offered by a package in the entry-point group
``oamip_model.heads``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.registry import Registry

if TYPE_CHECKING:
    from oamip_model.scoring.layerwise.heads.base import Head

_HERE = "oamip_model.scoring.layerwise.heads"
HEADS: Registry[Head] = Registry(
    "head",
    "oamip_model.heads",
    {
        "pattern": f"{_HERE}.convex_heads:Pattern",
        "linear": f"{_HERE}.convex_heads:LinearClassifier",
        "rest": f"{_HERE}.network_heads:Rest",
        "auxiliary": f"{_HERE}.network_heads:Auxiliary",
        "refit": f"{_HERE}.refit:AfterRefit",
    },
    f"{_HERE}.base:Head",
    __name__,
)


def head_named(name: str) -> Head:
    """The head of that name.

    Raises InputError, with the accepted names, for one that is unknown.

    Examples
    --------
    >>> head_named("rest").mixed
    True
    """
    return HEADS.named(name)


def head_names() -> tuple[str, ...]:
    """The names of all heads."""
    return HEADS.names()


def mixed_heads() -> tuple[str, ...]:
    """The heads whose programs are mixed-integer, and take some of the images."""
    return tuple(name for name in HEADS.names() if head_named(name).mixed)


def given_heads() -> tuple[str, ...]:
    """The heads that take networks which were trained before."""
    return tuple(name for name in HEADS.names() if head_named(name).takes_networks)


def removing_heads() -> tuple[str, ...]:
    """The heads whose cut is judged as it is, and not after a refit."""
    return tuple(name for name in HEADS.names() if not head_named(name).refits)


def register_head(head: Head | type[Head]) -> Head:
    """Make a head known under its name, in this process and in its workers.

    Raises InputError for an object that is no head, or a name that another one has.
    """
    return HEADS.register(head)
