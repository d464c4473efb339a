"""Bounds of a linear program's optimum that follow from any duals.

Weak duality gives a lower bound from any duals, right or wrong (mathematics:cert-1..2). A bound on
the rounding errors is subtracted (A. Neumaier and O. Shcherbina, *Safe bounds in linear and
mixed-integer linear programming*, Mathematical Programming 99, 2004), so that the bound holds in
exact arithmetic. Nothing here depends on a solver or a network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.solving.protocol import Array, Arrays

_ROUNDING = 2.0**-53
"""Largest relative error of one operation in double precision."""
_OUTWARD = 1e-12
"""Share by which implied bounds are moved outward, relative to the terms that were summed for them."""
_PASSES = 50
"""Passes of bound propagation at most. A network needs about one for each of its layers."""
_LEAST_SHARE = 0.5
"""Duals that have to be scaled down below this share prove too little to be of use."""


@dataclass(frozen=True)
class Rows:
    """Rows low <= matrix @ x <= high, with what safe bounds need of them many times.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array
        Coefficients (rows, columns).
    low, high : array
        Bounds (rows,).
    """

    matrix: sp.csr_array
    low: Array
    high: Array

    @cached_property
    def columns(self) -> sp.csc_array:
        """The transposed matrix, (columns, rows), which shares its numbers."""
        return self.matrix.T

    @cached_property
    def sizes(self) -> sp.csc_array:
        """The absolute values of ``columns``."""
        by = self.columns
        return sp.csc_array((np.abs(by.data), by.indices, by.indptr), shape=by.shape)

    @cached_property
    def counts(self) -> Array:
        """The number of entries of each column, (columns,)."""
        return np.bincount(self.matrix.indices, minlength=self.matrix.shape[1]).astype(np.float64)

    @classmethod
    def joined(cls, blocks: Sequence[Rows]) -> Rows:
        """The rows of several blocks as one block.

        Parameters
        ----------
        blocks : sequence of Rows
            Blocks with the same columns.

        Returns
        -------
        Rows
            All their rows, in order.
        """
        rows = [block.matrix for block in blocks]
        # The arrays are put behind each other: scipy's vstack takes ten times as long for a few rows.
        indptr = np.cumsum(np.concatenate([[0], *(np.diff(part.indptr) for part in rows)]))
        data, indices = (np.concatenate([getattr(part, name) for part in rows]) for name in ("data", "indices"))
        shape = (len(indptr) - 1, rows[0].shape[1])
        low, high = (np.concatenate([getattr(block, side) for block in blocks]) for side in ("low", "high"))
        return cls(sp.csr_array((data, indices, indptr), shape=shape), low, high)

    def take(self, at: NDArray[np.int64]) -> Rows:
        """Some of the rows.

        Parameters
        ----------
        at : array of int
            Numbers of rows.

        Returns
        -------
        Rows
            These rows, in this order.
        """
        return Rows(sp.csr_array(self.matrix[at]), self.low[at], self.high[at])


def safe_bound(arrays: Arrays, duals: Array) -> float:
    """A bound on the optimum of a linear program that holds for any duals.

    Parameters
    ----------
    arrays : Arrays
        The program. Integrality is ignored, so the bound holds for the integer program too.
    duals : array of shape (rows,)
        Derivatives of the optimum by the row bounds. A dual that points to a side without a bound counts as 0.

    Returns
    -------
    float
        A lower bound where the program is minimised, an upper one otherwise. It is infinite where the duals prove none.

    Examples
    --------
    >>> row, cost, zero = sp.csr_array([[1.0, 1.0]]), np.array([1.0, 2.0]), np.zeros(2)
    >>> arrays = Arrays(row, cost, zero, zero + np.inf, np.array([1.5]), np.array([np.inf]), zero > 0)
    >>> [round(safe_bound(arrays, np.array([y])), 6) for y in (1.25, 1.0, 0.5)]
    [1.5, 1.5, 0.75]
    """
    rows = Rows(arrays.matrix, arrays.row_lower, arrays.row_upper)
    lower, upper = implied_bounds(arrays)
    value = weak_duality(arrays.sense * arrays.cost, lower, upper, [rows], arrays.sense * duals)
    return float(arrays.sense * value + arrays.offset)


def weak_duality(cost: Array, lower: Array, upper: Array, blocks: Sequence[Rows], duals: Array) -> float:
    """A lower bound of ``cost @ x`` by weak duality, rounding included.

    It holds for every x within its bounds and the rows of all blocks. A dual may point to a side
    without a bound: then it counts as 0. A reduced cost may do so, too: then all duals are scaled
    down until none does.

    Parameters
    ----------
    cost : array
        Costs (columns,).
    lower, upper : array
        Bounds (columns,) of the columns.
    blocks : sequence of Rows
        Rows with the same columns.
    duals : array
        Duals (rows of all blocks,), in their order.

    Returns
    -------
    float
        The bound, -inf where the duals would be scaled down too far.
    """
    starts = np.cumsum([0, *(len(block.low) for block in blocks)])
    gained, size, sums, magnitude = np.zeros(len(cost)), np.zeros(len(cost)), 0.0, 0.0
    entries = np.ones(len(cost))
    for block, (first, last) in zip(blocks, pairwise(starts.tolist()), strict=True):
        y = duals[first:last]
        side = np.where(y > 0, block.low, np.where(y < 0, block.high, 0.0))
        open_side = ~np.isfinite(side)
        y, side = np.where(open_side, 0.0, y), np.where(open_side, 0.0, side)
        gained += block.columns @ y
        size += block.sizes @ np.abs(y)
        entries += block.counts
        terms = y * side
        sums, magnitude = sums + float(terms.sum()), magnitude + float(np.abs(terms).sum())
    if not (np.isfinite(gained).all() and np.isfinite(sums)):
        return -np.inf
    share = _share(cost, lower, upper, gained, size, entries)
    if share < _LEAST_SHARE:
        return -np.inf
    gained, size, sums, magnitude = share * gained, share * size, share * sums, share * magnitude
    reduced, error = cost - gained, _error(cost, size, entries)
    low, high = reduced - error, reduced + error
    if ((low < 0) & np.isinf(upper)).any() or ((high > 0) & np.isinf(lower)).any():
        return -np.inf
    with np.errstate(invalid="ignore"):  # 0 times an infinite bound, which no reduced cost points to
        corners = np.stack([low * lower, high * lower, low * upper, high * upper])
    terms = np.where(np.isfinite(corners), corners, np.inf).min(axis=0)
    terms = np.where(np.isinf(terms), 0.0, terms)
    rounding = 4.0 * _ROUNDING * (len(cost) + int(starts[-1]) + 4) * (magnitude + float(np.abs(terms).sum()))
    return float(terms.sum() + sums - rounding)


def _error(cost: Array, size: Array, entries: Array) -> Array:
    """The largest rounding error of each reduced cost, (columns,)."""
    return np.asarray(4.0 * _ROUNDING * (entries + 2.0) * (np.abs(cost) + size))


def _share(cost: Array, lower: Array, upper: Array, gained: Array, size: Array, entries: Array) -> float:
    """The largest factor of the duals for which no reduced cost points to a side without a bound."""
    error = _error(cost, size, entries)
    up, down = np.isinf(upper) & (cost - gained - error < 0), np.isinf(lower) & (cost - gained + error > 0)
    if (up & (cost <= 0)).any() or (down & (cost >= 0)).any():
        return 0.0
    at = np.flatnonzero(up | down)
    if not len(at):
        return 1.0
    # With the share k, |cost| - k |gained| must exceed the rounding error, which is largest for k = 1.
    most = (np.abs(cost[at]) - error[at]) / np.abs(gained[at])
    return float(np.clip(most.min() * (1.0 - 8.0 * _ROUNDING), 0.0, 1.0))


def implied_bounds(arrays: Arrays) -> tuple[Array, Array]:
    """The bounds of the columns, and those that single rows imply instead of infinity.

    A row bounds a column when all its other columns are bounded. Implied bounds hold for every
    point of the program. They are moved outward by more than rounding can have moved them.

    Parameters
    ----------
    arrays : Arrays
        The program.

    Returns
    -------
    lower, upper : array
        Bounds (columns,), infinite where no row implies any.
    """
    lower, upper = arrays.lower.copy(), arrays.upper.copy()
    if np.isfinite(lower).all() and np.isfinite(upper).all():
        return lower, upper
    entries = arrays.matrix.tocoo()
    row, column, value = entries.row, entries.col, entries.data
    positive, count = value > 0, arrays.matrix.shape[0]
    for _ in range(_PASSES):
        before = lower.copy(), upper.copy()
        for side, sign in ((arrays.row_upper, 1.0), (arrays.row_lower, -1.0)):
            # The other columns of a row are at the ends farthest from this side of it. The side then bounds the column.
            far, bounds_upper = positive == (sign < 0), positive == (sign > 0)
            ends = np.where(far, before[1][column], before[0][column])
            bounded = np.isfinite(ends)
            terms = value * np.where(bounded, ends, 0.0)
            missing = np.bincount(row, ~bounded, count)[row] - ~bounded
            total, size = np.bincount(row, terms, count)[row], np.bincount(row, np.abs(terms), count)[row]
            wanted = np.isinf(np.where(bounds_upper, before[1][column], before[0][column]))
            k = np.flatnonzero(wanted & (missing == 0) & np.isfinite(side[row]))
            limit = side[row[k]] - (total[k] - terms[k])
            limit = (limit + sign * _OUTWARD * (np.abs(side[row[k]]) + size[k])) / value[k]
            above = bounds_upper[k]
            np.minimum.at(upper, column[k][above], limit[above])
            np.maximum.at(lower, column[k][~above], limit[~above])
        if np.array_equal(before[0], lower) and np.array_equal(before[1], upper):
            break
    return lower, upper
