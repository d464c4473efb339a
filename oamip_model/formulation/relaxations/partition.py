"""Rows of the relaxations ``partition-P`` (mathematics:part-1..10).

They split the inputs of a gated ReLU into P groups.

Source: Tsay, Kronqvist, Thebelt, Misener 2021, arXiv 2102.04373. There they are for a ReLU. Here
they are for the two sound gates, whose score is a group of its own. With one group, all rows are
written in existing variables.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from oamip_model.formulation.layout import Expressions, Index, Layout, Parts
from oamip_model.formulation.relaxations.inputs import Inputs
from oamip_model.formulation.rows import MatrixRows, merged, names_of, plus_expressions
from oamip_model.network.maps import Array


def shares(layout: Layout, point: Array, state: Array) -> tuple[Array, Array]:
    """The variables v and w that belong to a point and its ReLUs' states.

    The point has the columns of s, a and h; states have the shape (gated,).
    """
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
    """The inputs of each gated ReLU in ``groups`` groups of equal size.

    They are ordered by weight times range.

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


def _state(model: Any, rows: MatrixRows, at: Index, coefficients: Array) -> MatrixRows:
    """``rows`` with coefficients times the state of gated ReLUs: z, or s where the bounds decide the ReLU."""
    g = model.layout.value.gated
    rows.plus(model.z, g.state[at], coefficients)
    return rows.plus(model.s, np.where(g.state[at] < 0, g.score[at], -1), coefficients)


def part_off(model: Any) -> MatrixRows:
    """v <= A - low (1 - z), for the sum A of a group's terms (mathematics:part-1)."""
    p = parts_of(model.layout.value)
    rows = MatrixRows.of(p.names, upper=-p.low).plus(model.v, np.arange(len(p.row)))
    return merged(_state(model, plus_expressions(rows, model, p.sums, -1.0), p.row, -p.low))


def part_on(model: Any) -> MatrixRows:
    """v <= high z (mathematics:part-2)."""
    p = parts_of(model.layout.value)
    return _state(model, MatrixRows.of(p.names, upper=0.0).plus(model.v, np.arange(len(p.row))), p.row, -p.high)


def relu_parts(model: Any) -> MatrixRows:
    """h <= sum of v + b z, b the pre-activation's constant (mathematics:part-3)."""
    p = parts_of(model.layout.value)
    at, part = np.unique(p.row, return_inverse=True)
    return at_most_parts(model, at, part, np.zeros(len(at)))


def at_most_parts(model: Any, at: Index, part: Index, scale: Array) -> MatrixRows:
    """h <= sum of v + b z - scale (z - s) for gated ReLUs ``at``.

    part: the row of each v, or -1.
    """
    layout: Layout = model.layout.value
    g, b = layout.gated, layout.pre_rows.constant
    rows = MatrixRows.of(names_of(layout, layout.gated.act[at]), upper=0.0).plus(model.h, g.act[at])
    rows.plus_matrix(model.v, row_sums(part, len(at))).plus(model.z, g.state[at], scale - b[g.pre[at]])
    decided = np.where(g.state[at] < 0, -b[g.pre[at]], -scale)
    return rows.plus(model.s, g.score[at], decided)


def row_sums(part: Index, rows: int) -> sp.csr_array:
    """Minus the sum of the parts of each row."""
    inside = np.flatnonzero(part >= 0)
    return sp.csr_array((-np.ones(len(inside)), (part[inside], inside)), shape=(rows, len(part)))
