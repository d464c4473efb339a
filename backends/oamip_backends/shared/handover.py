"""Numbers that a solver would drop or clip, for which a program is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oamip_model.solving.protocol import Array, Arrays

INFINITE = 1e20
"""Bounds from this size on count as infinite in solvers, so that a finite one would be lost."""

SMALL_COSTS = 1e-3
"""Where all costs are below this, they are given in a larger unit to solvers that need it. Seen
with CBC 2.10.3: with costs of about 1e-8 it stops at points with half of the optimum, or a
hundredth."""

HARMLESS = 1e-8
"""Largest change of a row, or of the objective, by coefficients that are left out. It is a tenth of
a row's tolerance."""


@dataclass(frozen=True)
class Limits:
    """The numbers that one solver takes unchanged. It drops, clips or refuses others.

    Parameters
    ----------
    solver : str
        The solver's name.
    dropped : float, default 0.0
        Coefficients of rows up to this size are left out.
    largest : float, default inf
        Coefficients of rows from this size on are refused.
    dropped_cost : float, default 0.0
        Costs up to this size are left out.
    largest_cost : float, default inf
        Costs from this size on are refused.
    """

    solver: str
    dropped: float = 0.0
    largest: float = np.inf
    dropped_cost: float = 0.0
    largest_cost: float = np.inf


def leaves_out(limits: Limits, values: Array) -> bool:
    """Whether the solver leaves out any of some coefficients, zeros among them.

    Parameters
    ----------
    limits : Limits
        The solver's limits.
    values : array
        The coefficients.

    Returns
    -------
    bool
        Whether one of them is left out.
    """
    return bool((np.abs(values) <= limits.dropped).any())


def refusal(limits: Limits, arrays: Arrays) -> str:
    """The reason why the solver cannot get a program as it is.

    A coefficient that it would leave out is harmless where that changes the row by no more than
    HARMLESS.

    Parameters
    ----------
    limits : Limits
        The solver's limits.
    arrays : Arrays
        The program.

    Returns
    -------
    str
        The reason with the place of the number, "" where there is none.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> row, zero = csr_array([[1.0, 1e-13]]), np.zeros(2)
    >>> wide = Arrays(row, zero, zero, np.array([1.0, 1e13]), zero[:1], zero[:1] + 1, zero > 0)
    >>> refusal(Limits("mysolver", dropped=1e-12), wide)
    'mysolver leaves out coefficients up to 1e-12, and row 0 has 1e-13 in column 1: scale the program'
    """
    reason = _far_bounds(limits, arrays) or refused_costs(limits, arrays)
    if reason:
        return reason
    size = np.abs(arrays.matrix.data)
    at = int(size.argmax()) if len(size) else 0
    if len(size) and size[at] >= limits.largest:
        row, column = _place(arrays, at)
        return (
            f"{limits.solver} takes coefficients below {limits.largest:g}, and row {row} has "
            f"{arrays.matrix.data[at]:g} in column {column}: scale the program"
        )
    dropped = np.flatnonzero((size <= limits.dropped) & (size > 0))
    if len(dropped):
        effects = size[dropped] * _reach(arrays)[arrays.matrix.indices[dropped]]
        rows = np.searchsorted(arrays.matrix.indptr, dropped, side="right") - 1
        total = np.bincount(rows, effects)
        worst = int(total.argmax())
        if total[worst] > HARMLESS:
            first = int(dropped[rows == worst][effects[rows == worst].argmax()])
            row, column = _place(arrays, first)
            return (
                f"{limits.solver} leaves out coefficients up to {limits.dropped:g}, and row {row} has "
                f"{arrays.matrix.data[first]:g} in column {column}: scale the program"
            )
    return ""


def refused_costs(limits: Limits, arrays: Arrays) -> str:
    """The reason why the solver cannot get the costs of a program as they are.

    Parameters
    ----------
    limits : Limits
        The solver's limits.
    arrays : Arrays
        The program.

    Returns
    -------
    str
        The reason with the place of the cost, "" where there is none.
    """
    size = np.abs(arrays.cost)
    at = int(size.argmax())
    if size[at] >= limits.largest_cost:
        return (
            f"{limits.solver} takes costs below {limits.largest_cost:g}, and column {at} has {arrays.cost[at]:g}: "
            "scale the program"
        )
    dropped = np.flatnonzero((size <= limits.dropped_cost) & (size > 0))
    if len(dropped):
        effects = size[dropped] * _reach(arrays)[dropped]
        if effects.sum() > HARMLESS:
            at = int(dropped[effects.argmax()])
            return (
                f"{limits.solver} leaves out costs up to {limits.dropped_cost:g}, and column {at} has "
                f"{arrays.cost[at]:g}: scale the program"
            )
    return ""


def with_larger_costs(arrays: Arrays) -> tuple[Arrays, float]:
    """The program with its costs in another unit, where all of them are tiny.

    The tolerances of solvers are absolute. The unit is a power of two, so that nothing is rounded.

    Parameters
    ----------
    arrays : Arrays
        The program.

    Returns
    -------
    arrays : Arrays
        The program, whose costs and offset were multiplied.
    unit : float
        The factor, 1 where the costs were not changed.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> zero = np.zeros(2)
    >>> tiny = Arrays(csr_array([[1.0, 1.0]]), np.array([3e-9, 1e-9]), zero, zero, zero[:1], zero[:1], zero > 0)
    >>> larger, unit = with_larger_costs(tiny)
    >>> unit == 2.0**29, larger.cost.round(3).tolist()
    (True, [1.611, 0.537])
    """
    largest = float(np.abs(arrays.cost).max())
    unit = 2.0 ** min(-math.floor(math.log2(largest)), 1000) if 0 < largest < SMALL_COSTS else 1.0
    return replace(arrays, cost=arrays.cost * unit, offset=arrays.offset * unit), unit


def _place(arrays: Arrays, entry: int) -> tuple[int, int]:
    """Row and column of an entry of the matrix."""
    row = int(np.searchsorted(arrays.matrix.indptr, entry, side="right")) - 1
    return row, int(arrays.matrix.indices[entry])


def _reach(arrays: Arrays) -> Array:
    """The largest absolute value of each column, (columns,)."""
    return np.maximum(np.abs(arrays.lower), np.abs(arrays.upper))


def _far_bounds(limits: Limits, arrays: Arrays) -> str:
    """The reason where a finite bound would count as infinite, "" where none does."""
    sides = (
        ("column", arrays.lower), ("column", arrays.upper), ("row", arrays.row_lower), ("row", arrays.row_upper),
    )  # fmt: skip
    for what, side in sides:
        far: NDArray[np.bool_] = (np.abs(side) >= INFINITE) & np.isfinite(side)
        if far.any():
            at = int(far.argmax())
            return (
                f"{limits.solver} takes bounds from {INFINITE:g} on for infinite, and {what} {at} has {side[at]:g}: "
                "scale the program"
            )
    return ""
