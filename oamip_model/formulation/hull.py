"""Cuts of the relaxation ``hull``: the convex hull of one gated ReLU over the box of its inputs (FORMULATION.md 4).

Source: Anderson, Huchette, Ma, Tjandraatmadja, Vielma 2020, doi 10.1007/s10107-020-01474-5, for a ReLU; here for the
two sound gates.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.inputs import Inputs
from oamip_model.formulation.layout import Layout
from oamip_model.formulation.matrix import MatrixRows
from oamip_model.network.ops import Array


def no_cuts(model: Any) -> MatrixRows:
    """No rows, in the variables that cuts have."""
    rows = MatrixRows.of([])
    for variable in (model.s, model.a, model.h, model.z):
        rows.plus_matrix(variable, sp.csr_array((0, len(variable))))
    return rows


class HullCuts:
    """Separates points from the hulls of an instance's gated ReLUs, all of them at once.

    The family, with terms w x of the inputs, each in [low, high], and any subset J of them:

        h <= sum_J (w x - low (1 - z)) + (b + sum_not_J high) z   [ + M (s - z) in 3a, if that is less ]

    The most violated J takes the smaller of w x - low (1 - z) and high z for each input. With bounds L, U of the
    pre-activation that are tighter than the box, sum_J low may be raised to L - b - sum_not_J high, and sum_not_J high
    lowered to U - b - sum_J low (J is chosen without regard to that, so only in the box is separation exact). In 3b the
    same family mirrored bounds h from below, with s in the place of z: the lower envelope of s a.
    """

    def __init__(self, model: Any) -> None:
        layout: Layout = model.layout.value
        self.gate, self.layout, self.gated, self.inputs = model.gate, layout, layout.gated, Inputs.of(layout)
        self.sizes = [len(variable) for variable in (model.s, model.a, model.h, model.z)]
        self.starts = np.cumsum([0, *self.sizes])
        self.model = model
        self.scored = layout.gated.score >= 0
        # Column of the state: z, or s where the bounds decide the ReLU.
        self.state = np.where(layout.gated.state >= 0, self.starts[3] + layout.gated.state, layout.gated.score)

    def violated(self, point: Array, least: float) -> MatrixRows:
        """The most violated cut of each ReLU at a point (columns of s, a, h, z), if it is violated by more than
        ``least`` times max(1, U)."""
        families = [self._cuts(point, 1.0, self.state, np.ones_like(self.scored))]
        if self.gate == "switch":
            families.append(self._cuts(point, -1.0, self.gated.score, self.scored))
        scale = np.maximum(1.0, self.gated.upper)
        matrices, limits, at = [], [], []
        for matrix, limit, violation in families:
            keep = np.flatnonzero(violation > least * scale)
            matrices.append(matrix[keep])
            limits.append(limit[keep])
            at.append(keep)
        matrix = sp.csr_array(sp.vstack(matrices, format="csr"))
        first = len(self.model.hull_cuts.rows.names)
        names = [
            (*self.layout.act[k], first + i) for i, k in enumerate(self.gated.act[np.concatenate(at)].tolist())
        ]  # fmt: skip
        rows = MatrixRows.of(names, upper=np.concatenate(limits))
        variables = (self.model.s, self.model.a, self.model.h, self.model.z)
        for variable, start, stop in zip(variables, self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True):
            rows.plus_matrix(variable, sp.csr_array(matrix[:, start:stop]))
        return rows

    def _cuts(
        self, point: Array, sign: float, state: NDArray[np.int64], at: NDArray[np.bool_]
    ) -> tuple[sp.csr_array, Array, Array]:
        """For each ReLU the most violated cut of the family (sign 1) or of its mirror image (-1), as a row, its upper
        limit, and by how much the point violates it; for those not ``at``, an empty row."""
        x, g, count = self.inputs, self.gated, len(self.gated.act)
        weight, b = sign * x.weight, sign * x.constant
        low, high = (x.low, x.high) if sign > 0 else (-x.high, -x.low)
        least, most = (g.lower, g.upper) if sign > 0 else (-g.upper, -g.lower)
        on = point[state]
        value = weight * point[x.column]
        taken = value - low * (1.0 - on[x.row]) < high * on[x.row]

        def total(terms: Array, where: NDArray[np.bool_]) -> Array:
            return np.asarray(np.bincount(x.row[where], weights=terms[where], minlength=count), dtype=np.float64)

        low_in, high_out = total(low, taken), total(high, ~taken)
        low_in, high_out = np.maximum(low_in, least - b - high_out), np.minimum(high_out, most - b - low_in)
        on_state = low_in + b + high_out
        # The score as one more input of weight M, in 3a.
        scale = np.where(self.scored & (self.gate == "subtractive"), g.scale, 0.0)
        score = np.where(self.scored, point[np.where(self.scored, g.score, 0)], 0.0)
        shifted = (scale > 0) & (score < on)
        on_state = on_state - np.where(shifted, scale, 0.0)
        on_score = np.where(shifted, scale, 0.0)
        violation = (
            sign * point[self.starts[2] + g.act] - total(value, taken) + low_in - on_state * on - on_score * score
        )
        rows = np.arange(count)
        pieces = [
            (rows, self.starts[2] + g.act, np.full(count, sign)), (x.row[taken], x.column[taken], -weight[taken]),
            (rows[at], state[at], -on_state[at]), (rows[shifted], g.score[shifted], -on_score[shifted]),
        ]  # fmt: skip
        row, column, coefficient = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        matrix = sp.csr_array((coefficient, (row, column)), shape=(count, int(self.starts[-1])))
        return matrix, -low_in, np.where(at, violation, -np.inf)
