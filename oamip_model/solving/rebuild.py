"""A session for backends that keep no model between solves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.solving.protocol import (
    Array,
    Arrays,
    Backend,
    Options,
    Solution,
    SolverError,
    append_rows,
    check_bounds,
    check_options,
)


class RebuildSession:
    """A session for backends without one. Every solve passes the whole model.

    Parameters
    ----------
    backend : Backend
        The solver.
    arrays : Arrays
        The program.
    options : Options
        Limits, threads, seed and log file of every solve.
    """

    def __init__(self, backend: Backend, arrays: Arrays, options: Options) -> None:
        self._backend, self._arrays, self._options = backend, arrays, options
        self._rows = arrays.matrix.shape[0]

    def solve(self, start: Array | None = None, *, relaxed: bool = False, time_limit: float | None = None) -> Solution:
        """Solve from a feasible point, perhaps relaxed. See :meth:`Session.solve`."""
        arrays = replace(self._arrays, integral=np.zeros_like(self._arrays.integral)) if relaxed else self._arrays
        options = self._options if time_limit is None else replace(self._options, time_limit=time_limit)
        check_options(self._backend, options, start)
        found: object = self._backend.solve(arrays, options, start)
        if not isinstance(found, Solution):
            raise SolverError(
                f"{self._backend.name}: its solve gave an object of type {type(found).__name__}, accepted is a Solution"
            )
        return found

    def add_rows(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows to the program. See :meth:`Session.add_rows`."""
        self._arrays = append_rows(self._arrays, rows, lower, upper)

    def set_cost(self, cost: Array) -> None:
        """Replace the costs. See :meth:`CostSession.set_cost`."""
        self._arrays = replace(self._arrays, cost=np.asarray(cost, dtype=np.float64))

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """Replace the columns' bounds. See :meth:`TreeSession.set_bounds`."""
        check_bounds(lower, upper, len(self._arrays.cost))
        self._arrays = replace(self._arrays, lower=lower.copy(), upper=upper.copy())

    def keep_rows(self, keep: NDArray[np.bool_]) -> None:
        """Drop the added rows that are not kept. See :meth:`TreeSession.keep_rows`."""
        a = self._arrays
        at = np.concatenate([np.arange(self._rows), self._rows + np.flatnonzero(keep)])
        matrix = sp.csr_array(a.matrix[at])
        self._arrays = replace(a, matrix=matrix, row_lower=a.row_lower[at], row_upper=a.row_upper[at])

    def basis(self) -> object:
        """None, since nothing is kept between solves. See :meth:`TreeSession.basis`."""
        return None

    def set_basis(self, basis: object) -> None:
        """Do nothing, since nothing is kept between solves.

        See :meth:`TreeSession.set_basis`.
        """

    def close(self) -> None:
        """Do nothing, since there is no solver to free. See :meth:`Session.close`."""
