"""Checks of every program, start and point, whatever the solver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from oamip_model.solving.protocol import Array, Arrays, InputError

BROKEN = 1e-4
"""A point that violates a row or bound by more than this, relative to 1 + |its bound|, is not a solution."""

FRACTIONAL = 1e-5
"""An integral column further than this from an integer is fractional."""

CLEAN = 1e-6
"""Integral columns are rounded, and all are clipped to their bounds, where that violates no row by more than this."""


def prepare(arrays: Arrays) -> tuple[Arrays, str]:
    """The program with its bounds in order, and why it is infeasible at sight.

    Bounds that cross by less than 1e-9 are taken for rounding errors, and the upper one is moved.

    Parameters
    ----------
    arrays : Arrays
        The program.

    Returns
    -------
    arrays : Arrays
        The program with a canonical matrix and bounds that do not cross.
    fault : str
        Which bounds cross, "" where none do.

    Raises
    ------
    InputError
        For NaN, for infinite costs or coefficients, and for shapes that do not fit.
    """
    rows, columns = arrays.matrix.shape
    if arrays.matrix.format != "csr" or not arrays.matrix.has_canonical_format:
        matrix = sp.csr_array(arrays.matrix, copy=True)
        matrix.sum_duplicates()
        arrays = replace(arrays, matrix=matrix)
    if columns == 0:
        raise InputError("arrays: got a program without columns, accepted is one column or more")
    for name, size in (("cost", columns), ("lower", columns), ("upper", columns), ("integral", columns),
                       ("row_lower", rows), ("row_upper", rows)):  # fmt: skip
        given = getattr(arrays, name)
        if given.shape != (size,):
            raise InputError(f"arrays: {name} has shape {given.shape}, accepted is ({size},)")
        if np.isnan(given).any():
            raise InputError(f"arrays: {name} holds NaN, accepted are numbers")
    if not (np.isfinite(arrays.cost).all() and np.isfinite(arrays.matrix.data).all() and np.isfinite(arrays.offset)):
        raise InputError("arrays: cost, offset or matrix holds NaN or infinity, accepted are finite numbers")
    if arrays.sense not in (1, -1):
        raise InputError(f"arrays: sense is {arrays.sense}, accepted is 1 (minimise) or -1 (maximise)")
    upper, column_fault = _ordered(arrays.lower, arrays.upper, "column")
    row_upper, row_fault = _ordered(arrays.row_lower, arrays.row_upper, "row")
    integral = arrays.integral.astype(bool)
    return replace(arrays, upper=upper, row_upper=row_upper, integral=integral), column_fault or row_fault


def _ordered(lower: Array, upper: Array, what: str) -> tuple[Array, str]:
    """Upper bounds that do not cross the lower ones by rounding, and which bounds cross ("" where none do)."""
    crossing = lower - 1e-9 > upper
    wrong = crossing | (lower == np.inf) | (upper == -np.inf)
    if wrong.any():
        at = int(np.argmax(wrong))
        return upper, f"{what} {at} has lower bound {lower[at]:g} and upper bound {upper[at]:g}"
    return (np.maximum(lower, upper), "") if (lower > upper).any() else (upper, "")


def check_start(start: Array | None, columns: int) -> Array | None:
    """The start as floats.

    Parameters
    ----------
    start : array, optional
        A point.
    columns : int
        Number of columns.

    Returns
    -------
    array or None
        The point (columns,).

    Raises
    ------
    InputError
        Where it is not one finite number for each column.
    """
    if start is None:
        return None
    start = np.ascontiguousarray(start, dtype=np.float64)
    if start.shape != (columns,) or not np.isfinite(start).all():
        raise InputError(f"start: got shape {start.shape}, accepted are {columns} finite numbers, one a column")
    return start


def check_log_file(path: Path | None) -> Path | None:
    """The path of a log, if the file can be written.

    Parameters
    ----------
    path : Path, optional
        The file.

    Returns
    -------
    Path or None
        The same path.

    Raises
    ------
    InputError
        Where it cannot be written.
    """
    if path is not None:
        try:
            with Path(path).open("a"):
                pass
        except OSError as error:
            raise InputError(f"log_file: {path} cannot be written ({error.strerror})") from None
    return path


def breach(arrays: Arrays, x: Array, cuts: Sequence[Arrays] = ()) -> tuple[float, float]:
    """The largest violation of a row or bound by a point, and that of integrality.

    Parameters
    ----------
    arrays : Arrays
        The program.
    x : array
        The point (columns,).
    cuts : sequence of Arrays, optional
        Programs with the same columns, whose rows hold as well.

    Returns
    -------
    rows : float
        The violation of rows and bounds, relative to 1 + |bound|.
    fraction : float
        The distance of an integral column from a whole number.
    """
    if not np.isfinite(x).all():
        return np.inf, np.inf
    if cuts:
        parts = [breach(part, x) for part in (arrays, *cuts)]
        return max(part[0] for part in parts), parts[0][1]
    activity = arrays.matrix @ x
    pairs = (
        (arrays.row_lower - activity, arrays.row_lower), (activity - arrays.row_upper, arrays.row_upper),
        (arrays.lower - x, arrays.lower), (x - arrays.upper, arrays.upper),
    )  # fmt: skip
    worst = 0.0
    for excess, limit in pairs:
        finite = np.isfinite(limit)
        if finite.any():
            worst = max(worst, float((excess[finite] / (1.0 + np.abs(limit[finite]))).max()))
    integral = x[arrays.integral]
    return worst, float(np.abs(integral - np.round(integral)).max()) if integral.size else 0.0


def tidy(arrays: Arrays, x: Array, worst: float, cuts: Sequence[Arrays] = ()) -> Array:
    """A point whose integral columns are rounded, and which is clipped to its bounds.

    The point is not changed where that would violate the rows.

    Parameters
    ----------
    arrays : Arrays
        The program.
    x : array
        The point (columns,).
    worst : float
        Its violation of rows and bounds, as :func:`breach` gives it.
    cuts : sequence of Arrays, optional
        Programs with the same columns, whose rows hold as well.

    Returns
    -------
    array
        The point (columns,).
    """
    candidate = np.where(arrays.integral, np.round(x), x)
    candidate = np.clip(candidate, arrays.lower, arrays.upper)
    if np.array_equal(candidate, x):
        return x
    return candidate if breach(arrays, candidate, cuts)[0] <= max(CLEAN, worst) else x
