"""Cuts of the relaxation ``hull`` (mathematics:hull-1..4).

It is the convex hull of one gated ReLU over the box of its inputs.

Source: Anderson, Huchette, Ma, Tjandraatmadja, Vielma 2020, doi 10.1007/s10107-020-01474-5, for a ReLU; here for the
two sound gates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.program import Program
from oamip_model.formulation.relaxations.inputs import Inputs
from oamip_model.formulation.rows import MatrixRows
from oamip_model.network.maps import Array


def no_cuts(model: Any) -> MatrixRows:
    """No rows, in the variables that cuts have."""
    rows = MatrixRows.of([])
    for variable in (model.s, model.a, model.h):
        rows.plus_matrix(variable, sp.csr_array((0, len(variable))))
    return rows


class HullCuts:
    """Separation of points from the hulls of an instance's gated ReLUs.

    The family of cuts has terms w x of the inputs, each in [low, high]. It takes a part c in [0, 1]
    of each of them:

        h <= sum c w x - (sum c low) (1 - z) + (b + sum (1 - c) high) z   [ + c_s M (s - z) where
        the gate subtracts ]

    With whole c it is that of Anderson et al., and by linearity it holds for any c. The position of
    an input in its range is (w x - low) / (high - low). At a given z the right side is least if c
    takes the inputs whose position is below z.

    A state is in the rows of its own ReLU alone. So these rows cut a point off only if they do so
    for every z. They do if they do at the z where that least right side is greatest, which is the
    position of some input. With a part of this input taken, z has the coefficient 0 there. So the
    rows are of s, a and h only, and are the hull's projection.

    Bounds L, U of the pre-activation may be tighter than the box. Then sum c low may be raised to L
    - b - sum (1 - c) high. Likewise sum (1 - c) high may be lowered to U - b - sum c low. The
    choice of c ignores that, so separation is exact in the box only.

    Where the gate has z <= s, the same family mirrored bounds h from below, with s in the place of
    z. This is the lower envelope of s a.
    """

    def __init__(self, program: Program) -> None:
        model, layout, gate = program.model, program.layout, program.gate
        self.layout, self.gated, self.inputs = layout, layout.gated, Inputs.of(layout)
        self.sizes = [len(variable) for variable in (model.s, model.a, model.h)]
        self.starts = np.cumsum([0, *self.sizes])
        assert program.hull_cuts is not None
        self.model, self.home = model, program.hull_cuts
        self.scored = layout.gated.score >= 0
        self.mirrored = gate.capped
        self.capped = self.scored & gate.capped
        self.scale = gate.shift(layout.gated)

    def violated(self, point: Array, least: float) -> MatrixRows:
        """The most violated cut of each ReLU at a point.

        The point has the columns of s, a and h. A cut is taken if it is violated by more than ``least`` times max(1,
        U).
        """
        families = [self._cuts(point, 1.0, np.ones_like(self.scored))]
        if self.mirrored:
            families.append(self._cuts(point, -1.0, self.scored))
        scale = np.maximum(1.0, self.gated.upper)
        matrices, limits, at = [], [], []
        for matrix, limit, violation in families:
            keep = np.flatnonzero(violation > least * scale)
            matrices.append(matrix[keep])
            limits.append(limit[keep])
            at.append(keep)
        matrix = sp.csr_array(sp.vstack(matrices, format="csr"))
        first = len(self.home.rows.names)
        names = [
            (*self.layout.act[k], first + i) for i, k in enumerate(self.gated.act[np.concatenate(at)].tolist())
        ]  # fmt: skip
        rows = MatrixRows.of(names, upper=np.concatenate(limits))
        variables = (self.model.s, self.model.a, self.model.h)
        for variable, start, stop in zip(variables, self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            rows.plus_matrix(variable, sp.csr_array(matrix[:, start:stop]))
        return rows

    def _cuts(self, point: Array, sign: float, at: NDArray[np.bool_]) -> tuple[sp.csr_array, Array, Array]:
        """For each ReLU the most violated cut of the family, as a row.

        Returns its upper limit too, and by how much the point violates it; an empty row for ReLUs not ``at``. The sign
        is 1 for the family and -1 for its mirror image.
        """
        x, g, count = self.inputs, self.gated, len(self.gated.act)
        weight, b = sign * x.weight, sign * x.constant
        low, high = (x.low, x.high) if sign > 0 else (-x.high, -x.low)
        least, most = (g.lower, g.upper) if sign > 0 else (-g.upper, -g.lower)
        value = weight * point[x.column]
        score = np.where(self.scored, point[np.where(self.scored, g.score, 0)], 1.0)
        free = (g.state >= 0) & (sign > 0)
        # The score as one more input, of weight M where the gate subtracts.
        taken, taken_score = self._taken(value - low, high - low, score, b + self._total(high), free)

        low_in, high_out = self._total(taken * low), self._total((1.0 - taken) * high)
        low_in, high_out = np.maximum(low_in, least - b - high_out), np.minimum(high_out, most - b - low_in)
        on_score = taken_score * self.scale
        on_state = low_in + b + high_out - on_score
        # A free state is between 0 and its upper bound: 1, or the score, as in every other case.
        rest = np.where(free, np.maximum(on_state, 0.0), on_state)
        on_one = np.where(self.capped | ~free, 0.0, rest)
        on_score = on_score + rest - on_one
        limit = on_one - low_in
        violation = sign * point[self.starts[2] + g.act] - self._total(taken * value) - on_score * score - limit
        rows = np.arange(count)
        some, shifted = taken > 0, at & (on_score != 0)
        pieces = [
            (rows, self.starts[2] + g.act, np.full(count, sign)),
            (x.row[some], x.column[some], -(taken * weight)[some]),
            (rows[shifted], g.score[shifted], -on_score[shifted]),
        ]  # fmt: skip
        row, column, coefficient = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        matrix = sp.csr_array((coefficient, (row, column)), shape=(count, int(self.starts[-1])))
        return matrix, limit, np.where(at, violation, -np.inf)

    def _total(self, terms: Array) -> Array:
        """Sums of terms of the inputs, (gated,)."""
        count = len(self.gated.act)
        return np.asarray(np.bincount(self.inputs.row, weights=terms, minlength=count), dtype=np.float64)

    def _taken(
        self, above: Array, width: Array, score: Array, slope: Array, free: NDArray[np.bool_]
    ) -> tuple[Array, Array]:
        """The part c of each input, and of each score, (gated,).

        above: by how much the terms are more than their least; width: of their ranges; slope: of the right side in z,
        at z = 0. It falls by ``width`` where z passes an input's position.
        """
        shifted = np.flatnonzero(self.scale > 0)
        row = np.concatenate([self.inputs.row, shifted])
        above = np.concatenate([above, (self.scale * score)[shifted]])
        width = np.concatenate([width, self.scale[shifted]])
        wide = np.where(width > 0, width, 1.0)
        position = np.where(width > 0, above / wide, 0.0)
        order = np.lexsort((position, row))
        passed = np.cumsum(width[order]) - width[order]
        first = np.searchsorted(row[order], row[order])
        before = slope[row[order]] - (passed - passed[first])
        taken = np.empty(len(row))
        taken[order] = np.clip(before / wide[order], 0.0, 1.0)
        # Where s is the state, or its upper bound, larger z are not searched.
        limited = self.capped | ~free
        below = position < np.where(limited, score, np.inf)[row]
        taken = np.where(free[row], np.where(below, taken, 0.0), below)
        scores = np.zeros(len(slope))
        scores[shifted] = taken[len(self.inputs.row) :]
        return taken[: len(self.inputs.row)], scores
