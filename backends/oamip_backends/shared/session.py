"""Checked sessions, for backends that keep a model between solves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_backends.shared.checks import prepare
from oamip_backends.shared.common import CheckedRun
from oamip_backends.shared.handover import refusal, refused_costs
from oamip_model.solving.protocol import Array, Arrays, Backend, Options, Status, check_bounds

_BLOCKS = 8
"""Blocks of added rows that are kept apart. Checking a point takes time for each."""


def _stacked(blocks: Sequence[Arrays]) -> Arrays:
    """The rows of several blocks as one block."""
    matrix = sp.csr_array(sp.vstack([block.matrix for block in blocks], format="csr"))
    lower = np.concatenate([block.row_lower for block in blocks])
    upper = np.concatenate([block.row_upper for block in blocks])
    return replace(blocks[-1], matrix=matrix, row_lower=lower, row_upper=upper)


class CheckedSession(CheckedRun):
    """A checked program that remains loaded, so that rows can be added between solves.

    Parameters
    ----------
    backend, arrays, options
        As for :class:`~oamip_backends.shared.common.CheckedRun`.
    """

    def __init__(self, backend: Backend, arrays: Arrays, options: Options) -> None:
        super().__init__(backend, arrays, options)
        # The widest bounds of the columns so far, for which the numbers of all rows were checked.
        self._least, self._most = self.arrays.lower, self.arrays.upper

    @abstractmethod
    def append(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows to the loaded model.

        Parameters
        ----------
        rows : scipy.sparse.csr_array
            Coefficients (new rows, columns).
        lower, upper : array
            Bounds (new rows,).
        """

    @abstractmethod
    def close(self) -> None:
        """Free the solver."""

    def new_cost(self, cost: Array) -> Array:
        """Check new costs, which are those of the program from now on.

        Parameters
        ----------
        cost : array
            Costs (columns,).

        Returns
        -------
        array
            The same costs as floats.
        """
        self.arrays, _ = prepare(replace(self.arrays, cost=np.ascontiguousarray(cost, dtype=np.float64)))
        self._refuse(refused_costs(self.limits(), self.arrays))
        return self.arrays.cost

    def add_rows(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows. See :meth:`~oamip_model.solving.protocol.Session.add_rows`."""
        rows = sp.csr_array(rows)
        # The bounds of the columns may change later, so the rows are kept without any.
        free = np.full(len(self.arrays.cost), np.inf)
        block, fault = prepare(
            replace(self.arrays, matrix=rows, row_lower=lower, row_upper=upper, lower=-free, upper=free)
        )
        if fault and not self._fault:
            self._fault, self._fault_status = fault, Status.INFEASIBLE
        if not self._fault:
            self._refuse(refusal(self.limits(), replace(block, lower=self._least, upper=self._most)))
        if rows.shape[0] and not self._fault:
            self._cuts.append(block)
            if len(self._cuts) > _BLOCKS:
                self._cuts = [_stacked(self._cuts)]
            self.hand_over(lambda: self.append(block.matrix, block.row_lower, block.row_upper))

    def new_bounds(self, lower: Array, upper: Array) -> None:
        """Check new bounds of the columns, which are those of the program from now on.

        Parameters
        ----------
        lower, upper : array
            Bounds (columns,).

        Raises
        ------
        InputError
            Where they cross.
        """
        check_bounds(lower, upper, len(self.arrays.cost))
        self.arrays = replace(self.arrays, lower=lower.copy(), upper=upper.copy())
        if (lower < self._least).any() or (upper > self._most).any():
            # Leaving out a coefficient was harmless within the bounds so far, and may not be within wider ones.
            self._least, self._most = np.minimum(lower, self._least), np.maximum(upper, self._most)
            for part in (self.arrays, *self._cuts):
                if not self._fault:
                    self._refuse(refusal(self.limits(), replace(part, lower=self._least, upper=self._most)))

    def drop(self, keep: NDArray[np.bool_]) -> None:
        """Drop added rows from the checks of points.

        Parameters
        ----------
        keep : array of bool
            Whether each added row is kept, (added rows,).
        """
        if self._cuts:
            block = _stacked(self._cuts)
            at = np.flatnonzero(keep)
            matrix = sp.csr_array(block.matrix[at])
            self._cuts = [replace(block, matrix=matrix, row_lower=block.row_lower[at], row_upper=block.row_upper[at])]
