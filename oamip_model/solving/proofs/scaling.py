"""The scale of a program, whatever the scale of the network's weights.

See mathematics:scale-1..2. A ReLU is positively homogeneous, so a unit may be measured by its own
largest value. A solver then gets columns with values up to about 1 and rows with coefficients up to
1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.solving.proofs.certificates import implied_bounds
from oamip_model.solving.protocol import Array, Arrays

DROPPED = 1e-9
"""An entry of a scaled row below this is moved into the row's bounds. HiGHS 1.15 drops such entries with a warning."""
_INFINITE = 1e20
"""Bounds from this size on count as infinite, as they do in solvers."""
_PASSES = 50
"""Passes over the rows at most, in which columns without bounds get their units."""
_PLAIN = 1e-3, 1e3
"""Rows over integral columns are not divided when their largest coefficient is in this range."""


def column_units(arrays: Arrays) -> Array:
    """The unit of each column, a bound of its absolute value where one is known.

    Integral columns have the unit 1. A column without bounds gets its unit from its rows, once the
    units of the other columns of such a row are known. Equations come first, then inequalities.

    Parameters
    ----------
    arrays : Arrays
        The program.

    Returns
    -------
    array
        Units (columns,), all positive.
    """
    lower, upper = (np.where(np.abs(side) < _INFINITE, side, np.inf) for side in (arrays.lower, arrays.upper))
    most = np.maximum(np.abs(lower), np.abs(upper))
    known = arrays.integral | np.isfinite(most)
    units = np.where(known & ~arrays.integral & (most > 0), np.where(np.isfinite(most), most, 1.0), 1.0)
    if known.all():
        return units
    entries = arrays.matrix.tocoo()
    row, column, value = entries.row, entries.col, np.abs(entries.data)
    some = value > 0
    row, column, value = row[some], column[some], value[some]
    count = arrays.matrix.shape[0]
    sides = [np.where(np.isfinite(side), np.abs(side), 0.0) for side in (arrays.row_lower, arrays.row_upper)]
    limit, equation = np.maximum(*sides), arrays.row_lower == arrays.row_upper
    for _ in range(_PASSES):
        unknown = ~known[column]
        single = unknown & (np.bincount(row, unknown, count)[row] == 1)
        if (single & equation[row]).any():
            single &= equation[row]
        at = np.flatnonzero(single)
        if not len(at):
            break
        total = limit + np.bincount(row, np.where(unknown, 0.0, value * units[column]), count)
        found = np.zeros(len(units))
        np.maximum.at(found, column[at], total[row[at]] / value[at])
        usable = (found > 0) & np.isfinite(found)
        units[usable] = found[usable]
        known[column[at]] = True
    return units


@dataclass(frozen=True)
class Scale:
    """The scale of a program.

    In its units a program has x = units * x', and each row is divided by its largest coefficient.

    Parameters
    ----------
    units : array
        Units (columns,).
    low, high : array
        Bounds (columns,) in the program's own units, finite where the program implies any.
    integral : array of bool
        Whether each column is integral, (columns,).
    """

    units: Array
    low: Array
    high: Array
    integral: NDArray[np.bool_]

    @classmethod
    def of(cls, arrays: Arrays) -> Scale:
        """The scale of a program.

        Parameters
        ----------
        arrays : Arrays
            The program.

        Returns
        -------
        Scale
            Units and implied bounds of its columns.
        """
        low, high = implied_bounds(arrays)
        return cls(column_units(arrays), low, high, arrays.integral)

    def rows(self, matrix: sp.csr_array, lower: Array, upper: Array) -> tuple[sp.csr_array, Array, Array, Array]:
        """Rows over the scaled columns, each divided by its largest coefficient.

        An entry below DROPPED is left out where its column has bounds. Then the row's bounds are
        moved outward by the range of its term, so that no point is lost.

        Parameters
        ----------
        matrix : scipy.sparse.csr_array
            Coefficients (rows, columns) in the program's own units.
        lower, upper : array
            Bounds (rows,).

        Returns
        -------
        matrix, lower, upper, sizes
            The scaled rows, and the divisor of each, (rows,).
        """
        column, counts = matrix.indices, np.diff(matrix.indptr)
        filled = np.flatnonzero(counts)
        value, starts = matrix.data * self.units[column], matrix.indptr[filled]
        sizes, plain = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[0], dtype=bool)
        if len(filled):
            sizes[filled] = np.maximum.reduceat(np.abs(value), starts)
            plain[filled] = np.logical_and.reduceat(self.integral[column], starts)
        plain &= (sizes >= _PLAIN[0]) & (sizes <= _PLAIN[1])
        sizes = np.where((sizes > 0) & ~plain, sizes, 1.0)
        value /= np.repeat(sizes, counts)
        lower, upper = lower / sizes, upper / sizes
        small = np.flatnonzero(np.abs(value) < DROPPED)
        # The indices are copied, since sorting the scaled rows in place would reorder those of the program.
        places = column.copy(), matrix.indptr.copy()
        if not len(small):
            return sp.csr_array((value, *places), shape=matrix.shape), lower, upper, sizes
        least, most = (side[column[small]] / self.units[column[small]] for side in (self.low, self.high))
        bounded = np.isfinite(least) & np.isfinite(most)
        dropped = small[bounded]
        ends = value[dropped] * np.stack([least[bounded], most[bounded]])
        row = np.searchsorted(matrix.indptr, dropped, side="right") - 1
        lower = lower - np.bincount(row, ends.max(axis=0), len(lower))
        upper = upper - np.bincount(row, ends.min(axis=0), len(upper))
        value[dropped] = 0.0
        scaled = sp.csr_array((value, *places), shape=matrix.shape)
        scaled.eliminate_zeros()
        return scaled, lower, upper, sizes

    def program(self, arrays: Arrays) -> tuple[Arrays, Array]:
        """The program over the scaled columns.

        Parameters
        ----------
        arrays : Arrays
            The program.

        Returns
        -------
        arrays, sizes
            The scaled program, and the divisor of each row, (rows,).
        """
        matrix, row_lower, row_upper, sizes = self.rows(arrays.matrix, arrays.row_lower, arrays.row_upper)
        scaled = replace(
            arrays, matrix=matrix, row_lower=row_lower, row_upper=row_upper, cost=arrays.cost * self.units,
            lower=arrays.lower / self.units, upper=arrays.upper / self.units,
        )  # fmt: skip
        return scaled, sizes
