"""Gates by name: what a score does to the activation of its unit.

There is one file for each; :class:`base.Gate` says what is in it.

Another gate is registered with :func:`register_gate`, or offered by a package in the entry-point group
``oamip_model.gates``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.registry import Registry

if TYPE_CHECKING:
    from oamip_model.formulation.gates.base import Gate

_HERE = "oamip_model.formulation.gates"
GATES: Registry[Gate] = Registry(
    "gate",
    "oamip_model.gates",
    {
        "published": f"{_HERE}.published:Published",
        "subtractive": f"{_HERE}.subtractive:Subtractive",
        "switch": f"{_HERE}.switch:Switch",
    },
    f"{_HERE}.base:Gate",
    __name__,
)
_OF_SCORES = {"continuous": "subtractive", "binary": "switch"}
LOWEST = "subtractive"
"""The gate whose activations lie below those of every other: bounds from its rows hold in all sound gates."""
PRODUCT = "switch"
"""The gate in which a score multiplies the activation, as the convex programs of single layers have it."""


def gate_named(name: str) -> Gate:
    """The gate of that name.

    Raises InputError, with the accepted names, for one that is unknown.

    Examples
    --------
    >>> gate_named("switch").scores
    ('binary',)
    """
    return GATES.named(name)


def gate_names() -> tuple[str, ...]:
    """The names of all gates."""
    return GATES.names()


def gate_for(scores: str) -> str:
    """The default gate for "continuous" or "binary" scores.

    Examples
    --------
    >>> gate_for("binary")
    'switch'
    """
    return _OF_SCORES[scores]


def is_sound(name: str) -> bool:
    """Whether bounds of this gate's programs hold for every score.

    It is False for a gate that is not known here.
    """
    return name in GATES.names() and gate_named(name).sound


def register_gate(gate: Gate | type[Gate]) -> Gate:
    """Make a gate known under its name, in this process and in its workers.

    Parameters
    ----------
    gate : Gate or class of it
        An object, or a class that is made without arguments.

    Returns
    -------
    Gate or class of it
        What was given, so that the function is a decorator too.

    Raises
    ------
    InputError
        For an object that is no gate, or a name that another one has.
    """
    return GATES.register(gate)
