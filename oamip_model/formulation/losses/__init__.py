"""Losses by name, as functions of the logits.

There is one file for each; :class:`base.Loss` says what is in it.

Another loss is registered with :func:`register_loss`, or offered by a package in the entry-point group
``oamip_model.losses``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.registry import Registry

if TYPE_CHECKING:
    from oamip_model.formulation.losses.base import Loss

_HERE = "oamip_model.formulation.losses"
LOSSES: Registry[Loss] = Registry(
    "loss",
    "oamip_model.losses",
    {
        "cross-entropy": f"{_HERE}.cross_entropy:CrossEntropy",
        "hinge": f"{_HERE}.hinge:Hinge",
        "logistic": f"{_HERE}.one_logit:Logistic",
        "margin": f"{_HERE}.margin:Margin",
        "squared": f"{_HERE}.one_logit:Squared",
    },
    f"{_HERE}.base:Loss",
    __name__,
)


def loss_named(name: str) -> Loss:
    """The loss of that name.

    Raises InputError, with the accepted names, for one that is unknown.

    Examples
    --------
    >>> loss_named("hinge").margined
    True
    """
    return LOSSES.named(name)


def loss_names() -> tuple[str, ...]:
    """The names of all losses."""
    return LOSSES.names()


def register_loss(loss: Loss | type[Loss]) -> Loss:
    """Make a loss known under its name, in this process and in its workers.

    Parameters
    ----------
    loss : Loss or class of it
        An object, or a class that is made without arguments.

    Returns
    -------
    Loss or class of it
        What was given, so that the function is a decorator too.

    Raises
    ------
    InputError
        For an object that is no loss, or a name that another one has.
    """
    return LOSSES.register(loss)
