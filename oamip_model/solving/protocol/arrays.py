"""A mixed-integer linear program as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.errors import InputError

Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Arrays:
    """A mixed-integer linear program as arrays, with the objective cost @ x + offset.

    The rows are row_lower <= matrix @ x <= row_upper, and lower <= x <= upper. The columns with
    ``integral`` take whole numbers only. Infinite bounds are +-inf.

    Parameters
    ----------
    matrix : scipy.sparse.csr_array
        Coefficients (rows, columns) of the rows.
    cost : array
        Costs (columns,).
    lower, upper : array
        Bounds (columns,) of the columns.
    row_lower, row_upper : array
        Bounds (rows,) of the rows.
    integral : array of bool
        Whether each column is integral, (columns,).
    offset : float, default 0.0
        The objective's constant.
    sense : {1, -1}, default 1
        The objective is minimised (1) or maximised (-1).
    """

    matrix: sp.csr_array
    cost: Array
    lower: Array
    upper: Array
    row_lower: Array
    row_upper: Array
    integral: NDArray[np.bool_]
    offset: float = 0.0
    sense: int = 1

    @property
    def is_mip(self) -> bool:
        """Whether any column is integral."""
        return bool(self.integral.any())

    def objective(self, x: Array) -> float:
        """The objective cost @ x + offset.

        Parameters
        ----------
        x : array
            A point (columns,).

        Returns
        -------
        float
            Its objective.
        """
        return float(self.cost @ x) + self.offset

    def violation(self, x: Array) -> float:
        """The largest absolute violation of a row, a bound or integrality.

        Parameters
        ----------
        x : array
            A point (columns,).

        Returns
        -------
        float
            A number from 0.
        """
        activity = self.matrix @ x
        parts = [self.row_lower - activity, activity - self.row_upper, self.lower - x, x - self.upper]
        parts.append(np.abs(x - np.round(x))[self.integral])
        return max((float(part.max()) for part in parts if part.size), default=0.0)


def append_rows(arrays: Arrays, rows: sp.csr_array, lower: Array, upper: Array) -> Arrays:
    """The program with rows appended: lower <= rows @ x <= upper.

    Parameters
    ----------
    arrays : Arrays
        The program.
    rows : scipy.sparse.csr_array
        Coefficients (new rows, columns).
    lower, upper : array
        Bounds (new rows,).

    Returns
    -------
    Arrays
        A new program.
    """
    return Arrays(
        sp.csr_array(sp.vstack([arrays.matrix, rows], format="csr")), arrays.cost, arrays.lower, arrays.upper,
        np.concatenate([arrays.row_lower, lower]), np.concatenate([arrays.row_upper, upper]),
        arrays.integral, arrays.offset, arrays.sense,
    )  # fmt: skip


def check_bounds(lower: Array, upper: Array, columns: int) -> None:
    """Raise InputError unless these are bounds of so many columns and do not cross.

    Parameters
    ----------
    lower, upper : array
        The bounds.
    columns : int
        Number of columns.

    Raises
    ------
    InputError
        For another shape, or a lower bound above its upper one.
    """
    if lower.shape != (columns,) or upper.shape != (columns,) or not (lower <= upper).all():
        raise InputError(
            f"bounds: got shapes {lower.shape} and {upper.shape}, accepted are {columns} each, lower <= upper"
        )
