"""Rows of the relaxations ``partition-P``: the inputs of a gated ReLU in P groups (mathematics:part-1).

Source: Tsay, Kronqvist, Thebelt, Misener 2021, arXiv 2102.04373; there for a ReLU, here for the two sound gates, whose
score is a group of its own. With one group everything is written in the variables that are there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from oamip_model.formulation.gates import merged, plus_expressions
from oamip_model.formulation.inputs import Inputs
from oamip_model.formulation.layout import Expressions, Index, Layout, Parts
from oamip_model.formulation.matrix import MatrixRows
from oamip_model.network.ops import Array


def shares(layout: Layout, point: Array, state: Array) -> tuple[Array, Array]:
    """The variables v and w that go with a point (columns of s, a, h) and states (gated,) of its ReLUs."""
    p = parts_of(layout)
    value = p.sums.matrix @ point
    on = state[p.row]
    v = np.minimum(p.high * on, value - p.low * (1.0 - on))
    s = point[layout.gated.score[p.row[p.kept]]]
    w = np.maximum(p.low[p.kept] * s, value[p.kept] - p.high[p.kept] * (1.0 - s))
    return v, w


def parts_of(layout: Layout) -> Parts:
    """The groups of a layout that was made for a partition of at least two."""
    assert layout.parts is not None
    return layout.parts


def partition(layout: Layout, groups: int) -> Parts:
    """The inputs of each gated ReLU in ``groups`` groups of equal size, by rank of weight times range.

    A ReLU with one input, or none, has no groups: its rows are tight without. A group's bounds are those of its inputs,
    and what the bounds of the pre-activation leave of the other groups'.
    """
    g, x = layout.gated, Inputs.of(layout)
    count = np.bincount(x.row, minlength=len(g.act))
    signed = np.sign(x.weight) * (x.high - x.low)
    order = np.lexsort((signed, x.row))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    size = count[x.row]
    key = x.row * groups + rank * np.minimum(groups, size) // np.maximum(size, 1)
    many = size > 1
    keys, part = np.unique(key[many], return_inverse=True)
    row, group = keys // groups, keys % groups
    width = layout.pre_rows.matrix.shape[1]
    matrix = sp.csr_array((x.weight[many], (part, x.column[many])), shape=(len(keys), width))
    low, high = (np.bincount(part, weights=side[many], minlength=len(keys)) for side in (x.low, x.high))
    all_low, all_high = (np.bincount(row, weights=side, minlength=len(g.act)) for side in (low, high))
    least = (g.lower - x.constant - all_high)[row] + high
    most = (g.upper - x.constant - all_low)[row] + low
    names = [(*layout.act[k], p) for k, p in zip(g.act[row].tolist(), group.tolist(), strict=True)]
    sums = Expressions(matrix, np.zeros(len(keys)))
    return Parts(row, sums, np.maximum(low, least), np.minimum(high, most), names, np.flatnonzero(g.score[row] >= 0))


def _names(layout: Layout, at: Index) -> list[tuple[int, str, int]]:
    return [layout.act[k] for k in layout.gated.act[at].tolist()]


def _state(model: Any, rows: MatrixRows, at: Index, coefficients: Array) -> MatrixRows:
    """``rows`` with coefficients times the state of gated ReLUs: z, or s where the bounds decide the ReLU."""
    g = model.layout.value.gated
    rows.plus(model.z, g.state[at], coefficients)
    return rows.plus(model.s, np.where(g.state[at] < 0, g.score[at], -1), coefficients)


def relu_shift(model: Any) -> MatrixRows:
    """h <= a - L (1 - z), a face of the hull over the box of (a, s) that big-M lacks (mathematics:part-5)."""
    layout: Layout = model.layout.value
    g = layout.gated
    at = np.flatnonzero(g.score >= 0)
    rows = MatrixRows.of(_names(layout, at), upper=-g.lower[at]).plus(model.h, g.act[at])
    return rows.plus(model.a, g.pre[at], -1.0).plus(model.z, g.state[at], -g.lower[at])


def relu_score(model: Any) -> MatrixRows:
    """h <= M s - (M - U) z, which with h <= U z implies h <= U s (mathematics:part-6)."""
    layout: Layout = model.layout.value
    g = layout.gated
    at = np.flatnonzero(g.score >= 0)
    rows = MatrixRows.of(_names(layout, at), upper=0.0).plus(model.h, g.act[at])
    return rows.plus(model.s, g.score[at], -g.scale[at]).plus(model.z, g.state[at], (g.scale - g.upper)[at])


def relu_kept(model: Any) -> MatrixRows:
    """h >= L s where L > 0 (mathematics:part-10)."""
    layout: Layout = model.layout.value
    g = layout.gated
    at = np.flatnonzero((g.score >= 0) & (g.lower > 0))
    return MatrixRows.of(_names(layout, at), 0.0).plus(model.h, g.act[at]).plus(model.s, g.score[at], -g.lower[at])


def _parts(model: Any) -> tuple[Layout, Parts]:
    layout: Layout = model.layout.value
    return layout, parts_of(layout)


def part_off(model: Any) -> MatrixRows:
    """v <= A - low (1 - z), for the sum A of a group's terms (mathematics:part-1)."""
    _, p = _parts(model)
    rows = MatrixRows.of(p.names, upper=-p.low).plus(model.v, np.arange(len(p.row)))
    return merged(_state(model, plus_expressions(rows, model, p.sums, -1.0), p.row, -p.low))


def part_on(model: Any) -> MatrixRows:
    """v <= high z (mathematics:part-2)."""
    _, p = _parts(model)
    return _state(model, MatrixRows.of(p.names, upper=0.0).plus(model.v, np.arange(len(p.row))), p.row, -p.high)


def relu_parts(model: Any) -> MatrixRows:
    """h <= sum of v + b z, b the pre-activation's constant (mathematics:part-3)."""
    layout, p = _parts(model)
    at, part = np.unique(p.row, return_inverse=True)
    return _at_most_parts(model, layout, at, part, np.zeros(len(at)))


def relu_parts_score(model: Any) -> MatrixRows:
    """h <= sum of v + b z - M (z - s) (mathematics:part-4)."""
    layout, p = _parts(model)
    scored = np.isin(np.arange(len(p.row)), p.kept)
    at, inverse = np.unique(p.row[scored], return_inverse=True)
    part = np.full(len(p.row), -1, dtype=np.int64)
    part[scored] = inverse
    return _at_most_parts(model, layout, at, part, layout.gated.scale[at])


def _at_most_parts(model: Any, layout: Layout, at: Index, part: Index, scale: Array) -> MatrixRows:
    """h <= sum of v + b z - scale (z - s) for gated ReLUs ``at``; part: the row of each v, or -1."""
    g, b = layout.gated, layout.pre_rows.constant
    rows = MatrixRows.of(_names(layout, at), upper=0.0).plus(model.h, g.act[at])
    rows.plus_matrix(model.v, _sums(part, len(at))).plus(model.z, g.state[at], scale - b[g.pre[at]])
    decided = np.where(g.state[at] < 0, -b[g.pre[at]], -scale)
    return rows.plus(model.s, g.score[at], decided)


def kept_off(model: Any) -> MatrixRows:
    """w >= A - high (1 - s) (mathematics:part-7)."""
    layout, p = _parts(model)
    k, high = p.kept, p.high[p.kept]
    rows = MatrixRows.of([p.names[i] for i in k.tolist()], -high).plus(model.w, np.arange(len(k)))
    rows.plus(model.s, layout.gated.score[p.row[k]], -high)
    return merged(plus_expressions(rows, model, p.sums.take(k), -1.0))


def kept_on(model: Any) -> MatrixRows:
    """w >= low s (mathematics:part-8)."""
    layout, p = _parts(model)
    rows = MatrixRows.of([p.names[i] for i in p.kept.tolist()], 0.0).plus(model.w, np.arange(len(p.kept)))
    return rows.plus(model.s, layout.gated.score[p.row[p.kept]], -p.low[p.kept])


def relu_kept_parts(model: Any) -> MatrixRows:
    """h >= sum of w + b s (mathematics:part-9)."""
    layout, p = _parts(model)
    g = layout.gated
    at, part = np.unique(p.row[p.kept], return_inverse=True)
    rows = MatrixRows.of(_names(layout, at), 0.0).plus(model.h, g.act[at])
    rows.plus_matrix(model.w, _sums(part, len(at)))
    return rows.plus(model.s, g.score[at], -layout.pre_rows.constant[g.pre[at]])


def _sums(part: Index, rows: int) -> sp.csr_array:
    """Minus the sum of the parts of each row."""
    inside = np.flatnonzero(part >= 0)
    return sp.csr_array((-np.ones(len(inside)), (part[inside], inside)), shape=(rows, len(part)))
