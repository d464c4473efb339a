"""The gate that subtracts, for continuous and for binary scores.

It is h = max(0, a - (1 - s) M).

M says what a fractional score means (mathematics:gate-sub-2). It is U+ of the interval bounds that hold for every
score, however tight the bounds of a program are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from oamip_model.formulation.gates.base import Gate, Mask, Relus, gated_of
from oamip_model.formulation.layout import Gated
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.relaxations.partition import at_most_parts, parts_of
from oamip_model.formulation.rows import MatrixRows, Rule, names_of
from oamip_model.network.maps import Array

if TYPE_CHECKING:
    from torch import Tensor

_ROUNDING = 1e-9
"""Difference of two sums of the same terms, relative to the larger of them and 1, that is taken for rounding."""


class Subtractive(Gate):
    """h = max(0, a'), a' = a - (1 - s) M (mathematics:gate-sub-1..6).

    The state z is the sign of a', which lies in [L - M, U].
    """

    name = "subtractive"
    scores = ("continuous", "binary")
    relaxations: ClassVar[tuple[str, ...]] = RELAXATIONS
    scaled = True

    @property
    def tightens(self) -> bool:
        """Whether bounds of every method hold."""
        return self.sound

    def output(self, a: Array, s: Array, scale: Array) -> Array:
        """The activation max(0, a - (1 - s) M)."""
        return np.maximum(a - (1.0 - s) * scale, 0.0)

    def torch_output(self, a: Tensor, s: Tensor, scale: Tensor) -> Tensor:
        """The same in torch."""
        from torch.nn.functional import relu

        return relu(a - (1.0 - s) * scale)

    def decided(self, r: Relus) -> tuple[Mask, Array, Array]:
        """A constant c > 0 is open where M is larger.

        There s c is not max(0, c - (1 - s) M).

        M is larger where terms cancel. It is also larger where bounds tighter than those of M
        decide that all ReLUs before it are off.
        """
        c = r.constant
        close = r.scale - c <= _ROUNDING * np.maximum(c, 1.0)
        decided = r.fixed & (~r.scored | (c <= 0) | close)
        return decided, np.where(r.fixed, c, r.low), np.where(r.fixed, c, r.high)

    def shift(self, g: Gated) -> Array:
        """M."""
        return np.where(g.score >= 0, g.scale, 0.0)

    def slack(self, g: Gated) -> Array:
        """M."""
        return self.shift(g)

    def complementary(self, g: Gated) -> Mask:
        """All of them."""
        return np.ones(len(g.act), dtype=bool)

    def score_rows(self, groups: int) -> dict[str, Rule]:
        """h <= U+ s, which holds because M >= U+.

        With groups there are two faces of the hull over the box of (a, s) instead.
        """
        if groups:
            return {"relu_score": hull_score, "relu_shift": relu_shift}
        return super().score_rows(groups)

    def part_rows(self) -> dict[str, Rule]:
        """h <= sum of v + b z - M (z - s)."""
        return {"relu_parts_score": relu_parts_score}


def relu_shift(model: Any) -> MatrixRows:
    """h <= a - L (1 - z), a face of the hull over the box of (a, s).

    Big-M lacks it (mathematics:part-5).
    """
    layout, g, scored = gated_of(model)
    at = np.flatnonzero(scored)
    rows = MatrixRows.of(names_of(layout, g.act[at]), upper=-g.lower[at]).plus(model.h, g.act[at])
    return rows.plus(model.a, g.pre[at], -1.0).plus(model.z, g.state[at], -g.lower[at])


def hull_score(model: Any) -> MatrixRows:
    """h <= M s - (M - U) z, which with h <= U z implies h <= U s.

    See mathematics:part-6.
    """
    layout, g, scored = gated_of(model)
    at = np.flatnonzero(scored)
    rows = MatrixRows.of(names_of(layout, g.act[at]), upper=0.0).plus(model.h, g.act[at])
    return rows.plus(model.s, g.score[at], -g.scale[at]).plus(model.z, g.state[at], (g.scale - g.upper)[at])


def relu_parts_score(model: Any) -> MatrixRows:
    """h <= sum of v + b z - M (z - s) (mathematics:part-4)."""
    layout, g, _ = gated_of(model)
    p = parts_of(layout)
    scored = np.isin(np.arange(len(p.row)), p.kept)
    at, inverse = np.unique(p.row[scored], return_inverse=True)
    part = np.full(len(p.row), -1, dtype=np.int64)
    part[scored] = inverse
    return at_most_parts(model, at, part, g.scale[at])
