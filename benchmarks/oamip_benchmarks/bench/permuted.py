"""A solver that gets rows and columns in another order, drawn by a seed.

How long a search takes depends on the order of rows and columns, which means nothing. Orders drawn by seeds show by how
much, also for solvers without a seed of their own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.solving.protocol import Array, Arrays, Backend, Capability, Options, Session, Solution

_WITHOUT = {Capability.COST_CHANGE, Capability.BOUND_CHANGE}
"""Sessions of search trees, which no solve of the benchmark opens."""


class Order:
    """An order of rows and columns, drawn by a seed.

    Examples
    --------
    >>> order = Order(rows=3, columns=2, seed=1)
    >>> order.back_columns(order.columns_of(np.array([5.0, 7.0]))).tolist()
    [5.0, 7.0]
    """

    def __init__(self, rows: int, columns: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.rows: NDArray[np.int64] = draw.permutation(rows)
        self.columns: NDArray[np.int64] = draw.permutation(columns)

    def program(self, arrays: Arrays) -> Arrays:
        """The program in this order."""
        matrix = sp.csr_array(arrays.matrix[self.rows][:, self.columns])
        matrix.sort_indices()
        return Arrays(
            matrix, arrays.cost[self.columns], arrays.lower[self.columns], arrays.upper[self.columns],
            arrays.row_lower[self.rows], arrays.row_upper[self.rows], arrays.integral[self.columns], arrays.offset,
            arrays.sense,
        )  # fmt: skip

    def columns_of(self, x: Array) -> Array:
        """A point (columns,) in this order."""
        return x[self.columns]

    def back_columns(self, x: Array) -> Array:
        """A point of this order in the program's own."""
        found = np.empty_like(x)
        found[self.columns] = x
        return found

    def back_rows(self, values: Array) -> Array:
        """Values of rows in the program's own order.

        Rows that were added since are behind these, and keep their order.
        """
        found = values.copy()
        found[self.rows] = values[: len(self.rows)]
        return found

    def solution(self, found: Solution) -> Solution:
        """A solution in the program's own order."""
        return replace(
            found,
            x=None if found.x is None else self.back_columns(found.x),
            row_duals=None if found.row_duals is None else self.back_rows(found.row_duals),
            ray=None if found.ray is None else self.back_rows(found.ray),
        )


class PermutedSession:
    """A session of a program in another order."""

    def __init__(self, inner: Session, order: Order) -> None:
        self._inner, self._order = inner, order

    def solve(self, start: Array | None = None, *, relaxed: bool = False, time_limit: float | None = None) -> Solution:
        """See :class:`oamip_model.solving.protocol.Session`."""
        given = None if start is None else self._order.columns_of(start)
        return self._order.solution(self._inner.solve(given, relaxed=relaxed, time_limit=time_limit))

    def add_rows(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """See :class:`oamip_model.solving.protocol.Session`."""
        self._inner.add_rows(sp.csr_array(rows[:, self._order.columns]), lower, upper)

    def close(self) -> None:
        """Free the solver."""
        self._inner.close()


class Permuted:
    """A backend that hands every program to another one in the order of a seed."""

    def __init__(self, inner: Backend, seed: int) -> None:
        self._inner, self._seed = inner, seed
        self.name, self.licence = inner.name, inner.licence
        self.capabilities = inner.capabilities - _WITHOUT
        make: Any = getattr(inner, "session", None)
        if make is not None:
            self.session = self._session

    def check(self) -> None:
        """Raise SolverMissingError where the solver is not there."""
        self._inner.check()

    def version(self) -> str:
        """The solver's own version."""
        return self._inner.version()

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """See :class:`oamip_model.solving.protocol.Backend`."""
        order = self._order(arrays)
        given = None if start is None else order.columns_of(start)
        return order.solution(self._inner.solve(order.program(arrays), options, given))

    def _session(self, arrays: Arrays, options: Options) -> PermutedSession:
        order = self._order(arrays)
        inner: Any = self._inner
        return PermutedSession(inner.session(order.program(arrays), options), order)

    def _order(self, arrays: Arrays) -> Order:
        rows, columns = arrays.matrix.shape
        return Order(rows, columns, self._seed)
