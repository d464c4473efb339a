"""Sparsities by name: what the scores of a network cost.

There is one file for each; :mod:`base` says what is in it.

Another sparsity is registered with :func:`register_sparsity`, or offered by a package in the entry-point group
``oamip_model.sparsities``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.registry import Registry

if TYPE_CHECKING:
    from oamip_model.formulation.sparsities.base import Sparsity

_HERE = "oamip_model.formulation.sparsities"
SPARSITIES: Registry[Sparsity] = Registry(
    "sparsity",
    "oamip_model.sparsities",
    {
        "published": f"{_HERE}.published:PublishedSparsity",
        "mean": f"{_HERE}.mean:Mean",
        "parameters": f"{_HERE}.parameters:Parameters",
    },
    f"{_HERE}.base:Sparsity",
    __name__,
)


def sparsity_named(name: str) -> Sparsity:
    """The sparsity of that name.

    Raises InputError, with the accepted names, for one that is unknown.

    Examples
    --------
    >>> sparsity_named("mean").name
    'mean'
    """
    return SPARSITIES.named(name)


def sparsity_names() -> tuple[str, ...]:
    """The names of all sparsities."""
    return SPARSITIES.names()


def register_sparsity(sparsity: Sparsity | type[Sparsity]) -> Sparsity:
    """Make a sparsity known under its name, in this process and in its workers.

    Parameters
    ----------
    sparsity : Sparsity or class of it
        An object, or a class that is made without arguments.

    Returns
    -------
    Sparsity or class of it
        What was given, so that the function is a decorator too.

    Raises
    ------
    InputError
        For an object that is no sparsity, or a name that another one has.
    """
    return SPARSITIES.register(sparsity)
