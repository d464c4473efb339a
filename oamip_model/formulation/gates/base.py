"""What a gate is: the one home of all that follows from how a score acts.

A score acts on the activation of its unit.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from oamip_model.formulation.layout import Gated, Index, Layout
from oamip_model.formulation.rows import MatrixRows, Rule, names_of
from oamip_model.network.maps import Array

if TYPE_CHECKING:
    from torch import Tensor

    from oamip_model.bounds.types import Validity

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Relus:
    """The ReLUs of a layer before they get variables, one entry each.

    Parameters
    ----------
    fixed : array of bool
        Whether the pre-activation is a number, and not an expression in the scores.
    constant : array
        That number, or the expression's constant.
    low, high : array
        Bounds L and U of the pre-activation.
    scale : array
        M.
    scored : array of bool
        Whether the ReLU has a score.
    """

    fixed: Mask
    constant: Array
    low: Array
    high: Array
    scale: Array
    scored: Mask


class Gate(ABC):
    """A gate, which is the way a score s in [0, 1] acts on its unit's activation.

    The activation is max(0, a) without a score. A score of 1 leaves the unit as trained and a score
    of 0 removes it, in every gate (mathematics:score-1). The gate decides what a fractional score
    means. So the rows that are here are exact for every gate with binary scores, and a subclass for
    those states :meth:`output` alone. One for continuous scores states the coefficients of the rows
    as well (:meth:`shift`, :meth:`off`, :meth:`slack`). It states which constants need no rows
    (:meth:`decided`), and perhaps further rows (:meth:`score_rows`). Their variables are s, a, h
    and the ReLU state z.

    Attributes
    ----------
    name : str
        The name that users give.
    scores : tuple of str
        The kinds of scores whose integer program is exact, the usual one first, of "binary" and
        "continuous".
    relaxations : tuple of str
        The relaxations that its rows have.
    validity : str
        What the bounds L and U must hold for. With "trained network" alone the bounds are rows of
        the program.
    epsilon : float, optional
        Half width of the box around the images, where there is one.
    scaled : bool
        Whether a fractional score depends on M.
    capped : bool
        Whether z <= s. Then s is the state of a ReLU that needs none.
    """

    name: ClassVar[str]
    scores: ClassVar[tuple[str, ...]] = ("binary",)
    relaxations: ClassVar[tuple[str, ...]] = ("big-m",)
    validity: ClassVar[Validity] = "every score"
    epsilon: ClassVar[float | None] = None
    scaled: ClassVar[bool] = False
    capped: ClassVar[bool] = False

    @property
    def sound(self) -> bool:
        """Whether its bounds hold for every score, so that no score is forbidden."""
        return self.validity == "every score"

    @property
    def tightens(self) -> bool:
        """Whether bounds of every method hold, and not those by interval arithmetic alone.

        The others take a fractional score to pass between max(0, a - (1 - s) M) and s max(0, a).
        """
        return self.sound and self.scores == ("binary",)

    # The forward pass. Arrays broadcast: a (..., activations) pre-activations, s their scores, scale M.

    @abstractmethod
    def output(self, a: Array, s: Array, scale: Array) -> Array:
        """The activation h that is passed on, in numpy; s is 1 where there is no score."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        # The forward pass in torch of a parent is not that of a class which has one of its own in numpy.
        if "output" in vars(cls) and "torch_output" not in vars(cls):
            cls.torch_output = Gate.torch_output  # type: ignore[method-assign]

    def torch_output(self, a: Tensor, s: Tensor, scale: Tensor) -> Tensor:
        """The activation in torch, with gradients.

        It is that of :meth:`output`, where its operators are those of torch too.
        """
        return self.output(a, s, scale)  # type: ignore[arg-type,return-value]

    def state(self, a: Array, s: Array, scale: Array) -> Array:
        """The value of z that belongs to an activation.

        It is 1 where the ReLU passes something on.
        """
        return np.where(self.output(a, s, scale) > 0, 1.0, 0.0)

    # Methods that decide ReLUs before there are rows.

    def decided(self, r: Relus) -> tuple[Mask, Array, Array]:
        """The ReLUs whose output is a constant or a multiple of the score.

        Returns L and U of the others as well.
        """
        return r.fixed, r.low, r.high

    def constant_output(self, r: Relus, at: Mask) -> tuple[Index, Array, Array, Array]:
        """The outputs of decided ReLUs ``at`` with a score: rate * s + level.

        They hold for s >= least.

        Returns the entries where that is not always 0, rates, levels and least scores.
        """
        where = np.flatnonzero(at & (r.high > 0) & (r.constant > 0))
        none = np.zeros(len(where))
        return where, r.constant[where], none, none

    def without_state(self, low: Array) -> Mask:
        """The ReLUs with lower bounds L that need no state."""
        return (low >= 0) & self.capped

    # Coefficients of the rows, one for each gated ReLU. A ReLU without a score has M = 0.

    def shift(self, g: Gated) -> Array:
        """M in h <= a - (1 - s) M - B (1 - z), 0 where the score is not subtracted."""
        return np.zeros(len(g.act))

    def off(self, g: Gated) -> Array:
        """B in the same row: what the right side may be below h where z = 0."""
        return np.asarray(g.lower - self.shift(g))

    def slack(self, g: Gated) -> Array:
        """K in h >= a - (1 - s) K."""
        return np.where(g.score >= 0, g.upper, 0.0)

    def complementary(self, g: Gated) -> Mask:
        """The ReLUs for which h = max(0, a - (1 - s) M) at fractional scores too.

        M is that of :meth:`shift`.
        """
        return np.asarray(g.score < 0)

    def rows(self) -> dict[str, Rule]:
        """The rules of the rows of gated ReLUs by the name of each constraint, in order."""
        return {"relu_lower": self.relu_lower, "relu_upper": self.relu_upper, "relu_state": relu_state}

    def score_rows(self, groups: int) -> dict[str, Rule]:
        """The rules of further rows, which only ReLUs with a score have: h <= U+ s.

        groups: of a partition of the inputs, 1 for the relaxation "hull", 0 for "big-m".
        """
        return {"relu_score": every_score}

    def part_rows(self) -> dict[str, Rule]:
        """The rules of further rows that a partition into two groups or more has.

        They come besides those of every gate.
        """
        return {}

    def relu_lower(self, model: Any) -> MatrixRows:
        """h >= a - (1 - s) K.

        See mathematics:gate-sub-3, mathematics:gate-switch-2 and mathematics:gate-pub-1.
        """
        layout, g, _ = gated_of(model)
        slack = self.slack(g)
        rows = MatrixRows.of(names_of(layout, g.act), -slack)
        return rows.plus(model.h, g.act).plus(model.a, g.pre, -1.0).plus(model.s, g.score, -slack)

    def relu_upper(self, model: Any) -> MatrixRows:
        """h <= a - (1 - s) M - B (1 - z); where there is no z, s is the state.

        See mathematics:gate-sub-4, mathematics:gate-switch-3, mathematics:gate-switch-6 and mathematics:gate-pub-2.
        """
        layout, g, scored = gated_of(model)
        keep = np.flatnonzero((g.state >= 0) | (scored & self.capped))
        shift, off = self.shift(g)[keep], self.off(g)[keep]
        rows = MatrixRows.of(names_of(layout, g.act[keep]), upper=-shift - off)
        rows.plus(model.h, g.act[keep]).plus(model.a, g.pre[keep], -1.0).plus(model.z, g.state[keep], -off)
        return rows.plus(model.s, g.score[keep], np.where(g.state[keep] < 0, -off, -shift))


def gated_of(model: Any) -> tuple[Layout, Gated, Mask]:
    """The layout of an instance, its gated ReLUs, and which of those have a score."""
    layout: Layout = model.layout.value
    return layout, layout.gated, layout.gated.score >= 0


def relu_state(model: Any) -> MatrixRows:
    """h <= U+ z.

    See mathematics:gate-sub-5, mathematics:gate-switch-4 and mathematics:gate-pub-3.
    """
    layout, g, _ = gated_of(model)
    keep = np.flatnonzero(g.state >= 0)
    rows = MatrixRows.of(names_of(layout, g.act[keep]), upper=0.0)
    return rows.plus(model.h, g.act[keep]).plus(model.z, g.state[keep], -g.upper[keep])


def every_score(model: Any) -> MatrixRows:
    """h <= U+ s for every gated ReLU with a score."""
    return relu_score(model, np.flatnonzero(gated_of(model)[2]))


def relu_score(model: Any, at: Index) -> MatrixRows:
    """h <= U+ s for the gated ReLUs ``at``.

    See mathematics:gate-sub-6 and mathematics:gate-switch-6.
    """
    layout, g, _ = gated_of(model)
    rows = MatrixRows.of(names_of(layout, g.act[at]), upper=0.0)
    return rows.plus(model.h, g.act[at]).plus(model.s, g.score[at], -g.upper[at])
