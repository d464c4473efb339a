"""The parts of a study: trained networks, rules for scores, and cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import oamip_model
from oamip_model.errors import InputError

Plain: TypeAlias = dict[str, Any]
"""A dictionary of what JSON can hold."""
BASELINES = (
    "random", "weight-norm", "weight-l1", "weight-l2", "geometric-median", "mean-activation", "apoz", "taylor", "snip",
)  # fmt: skip
SCORED = ("decoupled", "forward", "published")
"""Methods that solve programs."""
METHODS = (*SCORED, "critical", *BASELINES)
"""Ways to score units, in the order of tables. critical: those of "decoupled" turned round."""
ELIMINATION = "elimination"
"""A way to score units for the refit that follows."""
LEVELS = ("removal", "least-squares", "output", "outgoing")
"""What is done to the weights that are left: nothing, or a level of :class:`oamip_model.Refit`."""
PUBLISHED_WEIGHT, PUBLISHED_IMAGES = 5.0, 10


@dataclass(frozen=True)
class Setting:
    """A network that is trained in a study.

    Parameters
    ----------
    network : str
        A name of :func:`oamip_model.make_network`.
    data : str
        A name of :func:`oamip_model.load_dataset`.
    seed : int
        Seed of the initial weights, of the order of the images, and of the choices made later.
    recipe : mapping
        Fields of :class:`~.training.Recipe`.
    images : int or None
        How many training images, balanced over the classes, None for all.
    pixels : str
        Hash of the data set's images and labels.
    """

    network: str
    data: str
    seed: int
    recipe: Mapping[str, Any]
    images: int | None
    pixels: str

    def plain(self) -> Plain:
        """The setting as JSON can hold it."""
        return dict(vars(self)) | {"recipe": dict(self.recipe)}


@dataclass(frozen=True)
class Cell:
    """One piece of a study's work.

    Its result depends on ``work`` and ``options`` alone.

    Parameters
    ----------
    work : str
        The name of a function in :mod:`.works`.
    options : dict
        Its arguments.
    tags : dict
        What the cell is called in the study's table, by column.
    """

    work: str
    options: Plain
    tags: Plain = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Hash of all that the result depends on, the package's version included."""
        from oamip_model.runs.store import key_of

        return key_of(work=self.work, options=self.options, version=oamip_model.__version__)

    @property
    def label(self) -> str:
        """The cell in a line."""
        return ", ".join(f"{name} {value}" for name, value in self.tags.items() if value is not None)


def score_rule(method: str, amount: float, images: int | None, scope: str = "layer") -> Plain:
    """The rule of a method, as :func:`~.scorers.make_scores` takes it.

    Parameters
    ----------
    method : str
        Name of the method.
    amount : float
        The share of each layer's units to remove, or of all together with ``scope`` "global". The
        methods decoupled and forward look for it.
    images : int or None
        How many images score the units, None for all training images. "published" always takes 10, one
        a class, as its authors did.
    scope : str, default "layer"
        "layer" or "global".
    """
    if method in ("decoupled", "forward"):
        return {"method": "oamip", "images": images, "score": {"strategy": method} | share_choice(amount, scope)}
    if method == ELIMINATION:
        if scope != "layer":
            raise InputError("scope: got global, the method elimination takes a share of each layer")
        return {"method": "oamip", "images": images, "score": {"strategy": ELIMINATION, "amount": amount}}
    if method == "critical":
        return {"method": "critical", "of": score_rule("decoupled", amount, images, scope)}
    if method == "published":
        return published_rule()
    if method in ("mean-activation", "apoz", "taylor", "snip"):
        return {"method": method, "images": images}
    return {"method": method}


def share_choice(amount: float, scope: str = "layer") -> Plain:
    """The choice of units by a share of them.

    Returns
    -------
    dict
        Keywords of :func:`oamip_model.choose_units`.

    Examples
    --------
    >>> share_choice(0.5), share_choice(0.5, "global")
    ({'amount': 0.5}, {'amount': 0.5, 'scope': 'global'})
    """
    return {"amount": amount} | ({} if scope == "layer" else {"scope": scope})


def published_rule(weight: float = PUBLISHED_WEIGHT, images: int = PUBLISHED_IMAGES, **score: Any) -> Plain:
    """The rule of the authors' program with relaxed ReLU states.

    Further keywords are those of :func:`oamip_model.score`.
    """
    asked = {"strategy": "joint", "gate": "published", "relaxed": True, "weight": weight} | score
    return {"method": "oamip", "images": images, "score": asked}


def weight_rule(method: str, weight: float, images: int | None) -> Plain:
    """The rule of a method for a weight of the loss, with cuts at a threshold.

    Parameters
    ----------
    method : str
        One of :data:`SCORED`.
    weight : float
        The weight.
    images : int or None
        How many images score the units, all where None.

    Examples
    --------
    >>> weight_rule("forward", 5.0, None)["score"]
    {'strategy': 'forward', 'weight': 5.0}
    """
    if method == "published":
        return published_rule(weight)
    return {"method": "oamip", "images": images, "score": {"strategy": method, "weight": weight}}


def published_threshold(network: str, data: str) -> float:
    """The threshold on scores in the authors' scripts, for a network and its data.

    It is 0.1 for dense networks, 0.2 for LeNet-5, and 0.3 on CIFAR-10 and for deeper ones.

    Examples
    --------
    >>> published_threshold("fc3", "mnist"), published_threshold("lenet5", "cifar-10")
    (0.1, 0.3)
    """
    if data == "cifar-10" or network.startswith(("vgg16", "resnet20")):
        return 0.3
    return 0.2 if network == "lenet5" else 0.1
