"""The rows of gated ReLUs and of max pooling, one function for each constraint.

The gates are those of mathematics:gate-pub-1..4, mathematics:gate-sub-1..7 and mathematics:gate-switch-1..6.
A layout's arrays stand for the symbols of that page: ``g.lower`` L, ``g.upper`` U, ``g.scale`` M, and columns of h,
a, s, z.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.layout import Expressions, Gated, Layout
from oamip_model.formulation.matrix import MatrixRows
from oamip_model.network.ops import Array


def plus_expressions(rows: MatrixRows, model: Any, expressions: Expressions, sign: float) -> MatrixRows:
    """``rows`` with sign * (matrix @ (s, a, h)) added; the constant is the caller's business."""
    units, pre = len(model.s), len(model.a)
    matrix = expressions.matrix * sign
    rows.plus_matrix(model.s, matrix[:, :units])
    rows.plus_matrix(model.a, matrix[:, units : units + pre])
    return rows.plus_matrix(model.h, matrix[:, units + pre :])


def preactivation(model: Any) -> MatrixRows:
    """a = affine map of the activations before it."""
    x: Expressions = model.layout.value.pre_rows
    rows = MatrixRows.of(model.layout.value.pre, x.constant, x.constant).plus(model.a, np.arange(len(model.a)))
    return merged(plus_expressions(rows, model, x, -1.0))


def logits(model: Any) -> MatrixRows:
    """o = affine map of the last hidden activations."""
    x: Expressions = model.layout.value.logits
    rows = MatrixRows.of(list(model.LOGIT), x.constant, x.constant).plus(model.o, np.arange(len(model.o)))
    return plus_expressions(rows, model, x, -1.0)


def merged(rows: MatrixRows) -> MatrixRows:
    """The same rows with one block per variable."""
    blocks: dict[int, tuple[Any, Any]] = {}
    for variable, block in rows.blocks:
        known = blocks.get(id(variable))
        blocks[id(variable)] = (variable, block if known is None else known[1] + block)
    return MatrixRows(rows.names, rows.lower, rows.upper, list(blocks.values()))


def _gated(model: Any) -> tuple[Layout, Gated, NDArray[np.bool_]]:
    layout: Layout = model.layout.value
    return layout, layout.gated, layout.gated.score >= 0


def _names(layout: Layout, act: NDArray[np.int64]) -> list[tuple[int, str, int]]:
    return [layout.act[k] for k in act.tolist()]


def relu_lower(model: Any) -> MatrixRows:
    """h >= a - (1 - s) M (mathematics:gate-sub-3, mathematics:gate-switch-2, mathematics:gate-pub-1).

    M is U+ in the gate ``switch`` and 0 where there is no score.
    """
    layout, g, scored = _gated(model)
    scale = np.where(scored, g.upper if model.gate == "switch" else g.scale, 0.0)
    rows = MatrixRows.of(_names(layout, g.act), -scale)
    return rows.plus(model.h, g.act).plus(model.a, g.pre, -1.0).plus(model.s, g.score, -scale)


def relu_held(model: Any) -> MatrixRows:
    """What is left of the rows where the bounds decide a ReLU, and do not hold for every score.

    In the published gate L <= a <= 0 if off and 0 <= h <= U+ if on (mathematics:gate-pub-4); with a cutoff a <= 0 if
    off and a >= 0 if on (mathematics:gate-sub-7).
    """
    held = model.layout.value.held
    rows = MatrixRows.of(held.names, held.lower - held.rows.constant, held.upper - held.rows.constant)
    return plus_expressions(rows, model, held.rows, 1.0)


def relu_upper(model: Any) -> MatrixRows:
    """h <= a' - (L - M)(1 - z), with a' = a - (1 - s) M (mathematics:gate-sub-4).

    M is 0 without a score, and in the gate ``switch``, where a' = a (mathematics:gate-switch-3).
    The published gate has L in the place of L - M (mathematics:gate-pub-2). Where ``switch`` needs no state, s is the
    state (mathematics:gate-switch-6).
    """
    layout, g, scored = _gated(model)
    keep = np.flatnonzero((g.state >= 0) | (scored & (model.gate == "switch")))
    low, scale = g.lower[keep], np.where(scored & (model.gate != "switch"), g.scale, 0.0)[keep]
    big_m = low if model.gate == "published" else low - scale
    rows = MatrixRows.of(_names(layout, g.act[keep]), upper=-scale - big_m)
    rows.plus(model.h, g.act[keep]).plus(model.a, g.pre[keep], -1.0).plus(model.z, g.state[keep], -big_m)
    on_score = np.where(g.state[keep] < 0, -big_m, -scale)
    return rows.plus(model.s, g.score[keep], on_score)


def relu_state(model: Any) -> MatrixRows:
    """h <= U+ z (mathematics:gate-sub-5, mathematics:gate-switch-4, mathematics:gate-pub-3)."""
    layout, g, _ = _gated(model)
    keep = np.flatnonzero(g.state >= 0)
    rows = MatrixRows.of(_names(layout, g.act[keep]), upper=0.0)
    return rows.plus(model.h, g.act[keep]).plus(model.z, g.state[keep], -g.upper[keep])


def relu_score(model: Any) -> MatrixRows:
    """h <= U+ s (mathematics:gate-sub-6, where M >= U+ makes it valid; mathematics:gate-switch-6)."""
    layout, g, scored = _gated(model)
    keep = np.flatnonzero(scored & ((g.state < 0) | (model.gate == "subtractive")))
    rows = MatrixRows.of(_names(layout, g.act[keep]), upper=0.0)
    return rows.plus(model.h, g.act[keep]).plus(model.s, g.score[keep], -g.upper[keep])


def state_score(model: Any) -> MatrixRows:
    """z <= s (mathematics:gate-switch-5)."""
    layout, g, scored = _gated(model)
    keep = np.flatnonzero(scored & (g.state >= 0))
    rows = MatrixRows.of(_names(layout, g.act[keep]), upper=0.0)
    return rows.plus(model.z, g.state[keep]).plus(model.s, g.score[keep], -1.0)


def pool_lower(model: Any) -> MatrixRows:
    """o >= h_j for every window entry that can be the maximum (mathematics:pool-1).

    The output o is a variable h of its own.
    """
    pooled = model.layout.value.pooled
    rows = MatrixRows.of(model.layout.value.choice, pooled.entries.constant).plus(model.h, pooled.act)
    return merged(plus_expressions(rows, model, pooled.entries, -1.0))


def pool_upper(model: Any) -> MatrixRows:
    """o <= h_j + (Umax_{-j} - L_j)(1 - q_j) (mathematics:pool-2)."""
    pooled = model.layout.value.pooled
    big_m: Array = pooled.big_m
    rows = MatrixRows.of(model.layout.value.choice, upper=pooled.entries.constant + big_m).plus(model.h, pooled.act)
    return merged(plus_expressions(rows, model, pooled.entries, -1.0)).plus(model.q, np.arange(len(model.q)), big_m)


def pool_choice(model: Any) -> MatrixRows:
    """One entry of each window is the maximum: the sum of its q is 1 (mathematics:pool-3)."""
    pooled = model.layout.value.pooled
    outputs, row = np.unique(pooled.act, return_inverse=True)
    rows = MatrixRows.of(_names(model.layout.value, outputs), 1.0, 1.0)
    ones = (np.ones(len(row)), (row, np.arange(len(row))))
    return rows.plus_matrix(model.q, sp.csr_array(ones, shape=(len(outputs), len(model.q))))
