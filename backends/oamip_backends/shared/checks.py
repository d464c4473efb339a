"""What is checked of every program, start and point, whichever solver it goes to or comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from oamip_model.solving.protocol import Array, Arrays, InputError

BROKEN = 1e-4
"""A point that breaks a row or bound by more than this, relative to 1 + |its bound|, is not a solution."""

FRACTIONAL = 1e-5
"""An integral column further than this from an integer is fractional."""

CLEAN = 1e-6
"""Rounding integral columns and clipping to the bounds is kept where it breaks no row by more than this."""


def prepare(arrays: Arrays) -> tuple[Arrays, str]:
    """The arrays with bounds in order, and why they are infeasible at sight ("" where they are not).

    Bounds that cross by less than 1e-9 are rounding errors of whoever computed them: the upper one is moved.
    Raises InputError for NaN, for infinite costs or coefficients, and for shapes that do not fit.
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
    crossing = lower - 1e-9 > upper
    wrong = crossing | (lower == np.inf) | (upper == -np.inf)
    if wrong.any():
        at = int(np.argmax(wrong))
        return upper, f"{what} {at} has lower bound {lower[at]:g} and upper bound {upper[at]:g}"
    return (np.maximum(lower, upper), "") if (lower > upper).any() else (upper, "")


def check_start(start: Array | None, columns: int) -> Array | None:
    """The start as floats. Raises InputError where it is not one finite number a column."""
    if start is None:
        return None
    start = np.ascontiguousarray(start, dtype=np.float64)
    if start.shape != (columns,) or not np.isfinite(start).all():
        raise InputError(f"start: got shape {start.shape}, accepted are {columns} finite numbers, one a column")
    return start


def check_log_file(path: Path | None) -> Path | None:
    """The path, if a log can be appended to it. Raises InputError where it cannot."""
    if path is not None:
        try:
            with Path(path).open("a"):
                pass
        except OSError as error:
            raise InputError(f"log_file: {path} cannot be written ({error.strerror})") from None
    return path


def breach(arrays: Arrays, x: Array, cuts: Sequence[Arrays] = ()) -> tuple[float, float]:
    """The largest breach by x of a row or bound, relative to 1 + |bound|, and of integrality.

    cuts: programs with the same columns whose rows hold as well.
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
    """x with integral columns rounded and all columns within their bounds, where that keeps the rows; else x itself.

    worst: the largest breach by x, as :func:`breach` gives it.
    """
    candidate = np.where(arrays.integral, np.round(x), x)
    candidate = np.clip(candidate, arrays.lower, arrays.upper)
    if np.array_equal(candidate, x):
        return x
    return candidate if breach(arrays, candidate, cuts)[0] <= max(CLEAN, worst) else x
