"""The gate that switches a unit on or off: h = s max(0, a), for binary scores.

Its rows are tighter than those of the gate that subtracts, for the same bounds. With scores in [0,
1] they are a relaxation, which needs the option ``relaxed``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from oamip_model.formulation.gates.base import Gate, gated_of, relu_score
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.relaxations.partition import parts_of, row_sums
from oamip_model.formulation.rows import MatrixRows, Rule, merged, names_of, plus_expressions
from oamip_model.network.maps import Array

if TYPE_CHECKING:
    from torch import Tensor


class Switch(Gate):
    """h = s max(0, a) (mathematics:gate-switch-1..6).

    Its rows are 0 <= h <= U+ z, z <= s, h >= a - U+ (1 - s) and h <= a - L (1 - z).

    See mathematics:gate-switch-1..6. They are exact for every gate with binary scores, and tighter than those of
    :class:`Gate`, so that a subclass for binary scores has all relaxations.
    """

    name = "switch"
    relaxations = RELAXATIONS
    capped = True

    def output(self, a: Array, s: Array, scale: Array) -> Array:
        """The score times max(0, a)."""
        return np.asarray(s * np.maximum(a, 0.0))

    def torch_output(self, a: Tensor, s: Tensor, scale: Tensor) -> Tensor:
        """The same in torch."""
        from torch.nn.functional import relu

        return s * relu(a)

    def state(self, a: Array, s: Array, scale: Array) -> Array:
        """The score where a > 0, since z <= s.

        It is 0 or 1 unless the scores are relaxed as well.
        """
        return np.where(a > 0, 1.0, 0.0) * s

    def score_rows(self, groups: int) -> dict[str, Rule]:
        """h <= U+ s where s is the state, z <= s, and with groups h >= L s.

        The last holds where L > 0.
        """
        rows: dict[str, Rule] = {"relu_score": _stateless_score, "state_score": state_score}
        return rows | {"relu_kept": relu_kept} if groups else rows

    def part_rows(self) -> dict[str, Rule]:
        """Bounds of h from below, by shares w of the groups where the score is 1."""
        return {"kept_off": kept_off, "kept_on": kept_on, "relu_kept_parts": relu_kept_parts}


def _stateless_score(model: Any) -> MatrixRows:
    _, g, scored = gated_of(model)
    return relu_score(model, np.flatnonzero(scored & (g.state < 0)))


def state_score(model: Any) -> MatrixRows:
    """z <= s (mathematics:gate-switch-5)."""
    layout, g, scored = gated_of(model)
    keep = np.flatnonzero(scored & (g.state >= 0))
    rows = MatrixRows.of(names_of(layout, g.act[keep]), upper=0.0)
    return rows.plus(model.z, g.state[keep]).plus(model.s, g.score[keep], -1.0)


def relu_kept(model: Any) -> MatrixRows:
    """h >= L s where L > 0 (mathematics:part-10)."""
    layout, g, scored = gated_of(model)
    at = np.flatnonzero(scored & (g.lower > 0))
    rows = MatrixRows.of(names_of(layout, g.act[at]), 0.0).plus(model.h, g.act[at])
    return rows.plus(model.s, g.score[at], -g.lower[at])


def kept_off(model: Any) -> MatrixRows:
    """w >= A - high (1 - s), for the sum A of a group's terms.

    See mathematics:part-7.
    """
    layout, g, _ = gated_of(model)
    p = parts_of(layout)
    k, high = p.kept, p.high[p.kept]
    rows = MatrixRows.of([p.names[i] for i in k.tolist()], -high).plus(model.w, np.arange(len(k)))
    rows.plus(model.s, g.score[p.row[k]], -high)
    return merged(plus_expressions(rows, model, p.sums.take(k), -1.0))


def kept_on(model: Any) -> MatrixRows:
    """w >= low s (mathematics:part-8)."""
    layout, g, _ = gated_of(model)
    p = parts_of(layout)
    rows = MatrixRows.of([p.names[i] for i in p.kept.tolist()], 0.0).plus(model.w, np.arange(len(p.kept)))
    return rows.plus(model.s, g.score[p.row[p.kept]], -p.low[p.kept])


def relu_kept_parts(model: Any) -> MatrixRows:
    """h >= sum of w + b s, b the pre-activation's constant (mathematics:part-9)."""
    layout, g, _ = gated_of(model)
    p = parts_of(layout)
    at, part = np.unique(p.row[p.kept], return_inverse=True)
    rows = MatrixRows.of(names_of(layout, g.act[at]), 0.0).plus(model.h, g.act[at])
    rows.plus_matrix(model.w, row_sums(part, len(at)))
    return rows.plus(model.s, g.score[at], -layout.pre_rows.constant[g.pre[at]])
