"""What can be varied of the search for exchanges and of the level method."""

from __future__ import annotations

from typing import Any

from oamip_model.checks import Checked, option, options
from oamip_model.kinds import Choice, Made, Number, Whole

PATH = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Weights that are tried, from the least to the most, where the share of units to remove is given."""
_ROUNDS = Whole(0, 1000, words="a number of rounds")
PROJECTIONS = ("euclid", "lp")
"""Ways to find the next point of the level method."""


@options
class Exchanges(Checked):
    """The search for exchanges of units, after the layers' programs.

    See :mod:`oamip_model.scoring.layerwise.exchange`.

    Examples
    --------
    >>> Exchanges(10, least_images=500)
    Exchanges(10, least_images=500)
    """

    rounds: int = option(default=50, kind=_ROUNDS, kw_only=False, help="Rounds at most: one exchange a layer each.")
    candidates: int = option(
        default=12, kind=Whole(1, words="a number of units"),
        help="Kept units, and as many removed ones, that a round changes alone, by the gradient.",
    )  # fmt: skip
    pairs: int = option(
        default=4, kind=Whole(1, words="a number of pairs"), help="Pairs of these that are tried together."
    )
    least_images: int = option(
        default=1_000, kind=Whole(1, words="a number of images"),
        help="Images from which there is a search; with fewer it would fit them and not what they stand for.",
    )  # fmt: skip
    most_images: int = option(
        default=30_000, kind=Whole(1, words="a number of images"), help="Images that the search looks at, at most."
    )
    work: float = option(
        default=1e12, kind=Number(1), help="Multiplications after which the search ends, on every machine alike."
    )


def _exchanges(given: Any) -> Any:
    return given if isinstance(given, Exchanges) else _ROUNDS.take(given)


EXCHANGES = Made("is a number of rounds from 0 to 1000, or an Exchanges", _exchanges)
"""A number of rounds stands for an :class:`Exchanges` with them."""


@options
class LevelMethod(Checked):
    """The level method of the convex programs of single layers.

    See :mod:`oamip_model.scoring.layerwise.convex`.

    Examples
    --------
    >>> LevelMethod(max_calls=100)
    LevelMethod(max_calls=100)
    """

    level: float = option(
        default=0.5, kind=Number(0, 1, least_open=True, most_open=True),
        help="Where between bound and objective the next point's model value may lie.",
    )  # fmt: skip
    max_calls: int = option(
        default=500, kind=Whole(1, words="a number of calls"), help="Calls of the oracle at which a program ends."
    )
    projection: str = option(
        default="euclid", kind=Choice(PROJECTIONS),
        help="The next point is the nearest of the level set, or the nearest in the largest coordinate.",
    )  # fmt: skip


def _level(given: Any) -> Any:
    if not isinstance(given, LevelMethod):
        raise ValueError
    return given


LEVEL = Made("is a LevelMethod", _level)
