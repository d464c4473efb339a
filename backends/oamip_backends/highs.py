"""HiGHS, in memory through highspy's flat arrays.

The model is kept between solves, so that rounds of cuts start from the last basis.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_backends.highs_answers import LIMITS, prove, read
from oamip_backends.highs_methods import Methods
from oamip_backends.shared.handover import Limits, leaves_out
from oamip_backends.shared.interrupts import Interrupts
from oamip_backends.shared.outcome import Outcome
from oamip_backends.shared.session import CheckedSession
from oamip_model.solving.protocol import (
    ABSOLUTE_GAP,
    DEFAULT_FEASIBILITY,
    DEFAULT_GAP,
    Array,
    Arrays,
    Capability,
    Options,
    Solution,
    SolverMissingError,
)

_DEVEX = 1
"""HiGHS's number for Devex pricing in the dual simplex."""
_SMALL = 5_000
"""Non-zeros below which Devex pricing is used for solves of few iterations each. There steepest
edge takes more time for its weights than it saves in iterations. Seen with 1.15.1: Devex takes 18 %
less time in trees of small programs, and 15 % more in those of 10,000 non-zeros."""


@cache
def _version() -> str:
    import highspy

    return str(highspy.Highs().version())


class Highs:
    """HiGHS (MIT licence), a solver for linear and mixed-integer programs."""

    name: ClassVar[str] = "highs"
    licence: ClassVar[str] = "MIT"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)

    def check(self) -> None:
        """Raise SolverMissingError where highspy cannot be imported.

        See :meth:`Backend.check`.
        """
        try:
            import highspy  # noqa: F401
        except ImportError as error:
            raise SolverMissingError(f"highs: highspy cannot be imported ({error}): pip install highspy") from None

    def version(self) -> str:
        """The version of HiGHS, such as 1.15.1. See :meth:`Backend.version`."""
        return _version()

    def session(self, arrays: Arrays, options: Options) -> HighsSession:
        """A session that keeps the model, and the simplex basis, between solves.

        Parameters
        ----------
        arrays : Arrays
            The program.
        options : Options
            Limits, threads, seed and log file.

        Returns
        -------
        HighsSession
            The session.
        """
        self.check()
        return HighsSession(self, arrays, options)

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch. See :meth:`Backend.solve`."""
        with closing(self.session(arrays, options)) as session:
            return session.solve(start)


class HighsSession(CheckedSession):
    """One model in HiGHS.

    Parameters
    ----------
    backend, arrays, options
        As for :class:`~oamip_backends.shared.session.CheckedSession`.
    """

    def __init__(self, backend: Highs, arrays: Arrays, options: Options) -> None:
        super().__init__(backend, arrays, options)
        import highspy

        self._lib: Any = highspy
        self._highs: Any = highspy.Highs()
        self._engine = Methods(highspy, self._highs, options.threads)
        self._relaxed = False
        self._set_options()
        for event in (self._highs.cbSimplexInterrupt, self._highs.cbIpmInterrupt, self._highs.cbMipInterrupt):
            event.subscribe(self._stop_if_pressed)
        self.hand_over(self._load)

    def limits(self) -> Limits:
        """The numbers that HiGHS takes unchanged. See :meth:`CheckedRun.limits`.

        It may leave out coefficients of a linear program. Then the bound is the one that the duals
        prove for the whole program.
        """
        return LIMITS if self.arrays.is_mip else replace(LIMITS, dropped=0.0)

    def _set_options(self) -> None:
        given = self.options
        tolerance = DEFAULT_FEASIBILITY if given.feasibility is None else given.feasibility
        values: dict[str, object] = {
            "log_to_console": False,
            "output_flag": given.log_file is not None,
            "mip_rel_gap": float(DEFAULT_GAP if given.gap is None else given.gap),
            "mip_abs_gap": ABSOLUTE_GAP,
            "primal_feasibility_tolerance": float(tolerance),
            "mip_feasibility_tolerance": float(tolerance),
            "small_matrix_value": LIMITS.dropped,
            "threads": 0 if given.threads is None else int(given.threads),
        }
        if given.seed is not None:
            values["random_seed"] = int(given.seed)
        if given.log_file is not None:
            values["log_file"] = str(given.log_file)
        for name, value in values.items():
            self._engine.option(name, value)

    def _stop_if_pressed(self, event: Any) -> None:
        # HiGHS keeps the last answer, also in the next solve, so it needs one where nothing was pressed as well.
        event.interrupt(self._engine.interrupts.pressed)

    def _load(self) -> None:
        a = self.arrays
        rows, columns = a.matrix.shape
        status = self._highs.passModel(
            columns, rows, a.matrix.nnz, int(self._lib.MatrixFormat.kRowwise), a.sense, a.offset,
            a.cost, a.lower, a.upper, a.row_lower, a.row_upper,
            a.matrix.indptr.astype(np.int32), a.matrix.indices.astype(np.int32), a.matrix.data,
            a.integral.astype(np.int32),
        )  # fmt: skip
        self._engine.accept(
            status, f"the model of {rows} rows and {columns} columns", leaves_out(LIMITS, a.matrix.data)
        )

    def append(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows. Dual simplex continues from the last basis.

        See :meth:`CheckedSession.append`.
        """
        starts = rows.indptr[:-1].astype(np.int32)
        status = self._highs.addRows(
            rows.shape[0], lower, upper, rows.nnz, starts, rows.indices.astype(np.int32), rows.data
        )
        self._engine.accept(status, f"adding {rows.shape[0]} rows", leaves_out(LIMITS, rows.data))

    def set_cost(self, cost: Array) -> None:
        """Replace the costs. Primal simplex continues from the last basis.

        See :meth:`CostSession.set_cost`.
        """
        new = self.new_cost(cost)
        every = np.arange(len(new), dtype=np.int32)
        self.hand_over(
            lambda: self._engine.accept(self._highs.changeColsCost(len(new), every, new), "changing the costs")
        )

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """Replace the columns' bounds. Dual simplex continues from the last basis.

        See :meth:`TreeSession.set_bounds`.
        """
        if not self._engine.short and self.arrays.matrix.nnz < _SMALL:
            # A session whose bounds change is that of a search tree: many solves with few iterations each.
            self._engine.option("simplex_dual_edge_weight_strategy", _DEVEX)
        self._engine.short = True
        before = self.arrays
        self.new_bounds(lower, upper)
        moved = np.flatnonzero((before.lower != lower) | (before.upper != upper)).astype(np.int32)
        sides = lower[moved], upper[moved]
        self.hand_over(
            lambda: self._engine.accept(self._highs.changeColsBounds(len(moved), moved, *sides), "changing the bounds")
        )

    def keep_rows(self, keep: NDArray[np.bool_]) -> None:
        """Drop added rows that are not kept. Slack ones do not change the basis.

        See :meth:`TreeSession.keep_rows`.
        """
        self.drop(keep)
        dropped = (self.arrays.matrix.shape[0] + np.flatnonzero(~keep)).astype(np.int32)
        self.hand_over(
            lambda: self._engine.accept(self._highs.deleteRows(len(dropped), dropped), f"dropping {len(dropped)} rows")
        )

    def basis(self) -> object:
        """A copy of the current basis. See :meth:`TreeSession.basis`."""
        return None if self._fault else self._highs.getBasis()

    def set_basis(self, basis: object) -> None:
        """Start the next solve from a basis. See :meth:`TreeSession.set_basis`."""
        if basis is not None:
            self.hand_over(lambda: self._engine.accept(self._highs.setBasis(basis), "the basis", harmless=True))

    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Solve, and give HiGHS's answer. See :meth:`CheckedRun.run`."""
        self._set_relaxed(relaxed)
        is_mip = self.arrays.is_mip and not relaxed
        # A linear program's bound is the one that its duals prove, so they should be as accurate as possible.
        self._engine.option("dual_feasibility_tolerance", 1e-7 if is_mip else 1e-9)
        # The clock of a Highs object is not reset between solves. The limit of a linear program is measured on it, and
        # that of a mixed-integer program on a new clock.
        spent = 0.0 if is_mip else float(self._highs.getRunTime())
        limit = np.inf if time_limit is None else spent + float(time_limit)
        self._engine.option("time_limit", limit)
        if start is not None and is_mip:
            point = self._lib.HighsSolution()
            point.col_value = start.tolist()
            self._engine.accept(self._highs.setSolution(point), "the start", harmless=True)
        with Interrupts() as self._engine.interrupts:
            status = self._engine.integer() if is_mip else self._engine.linear(self.options.interior_point)
        outcome = read(self._lib, self._highs, status, is_mip)
        outcome.interrupted = self._engine.interrupts.pressed
        if not self.arrays.is_mip:
            prove(outcome, self.arrays, self._cuts)
        return outcome

    def _set_relaxed(self, relaxed: bool) -> None:
        if relaxed != self._relaxed and self.arrays.is_mip:
            kinds = np.zeros(len(self.arrays.cost), np.uint8) if relaxed else self.arrays.integral.astype(np.uint8)
            columns = np.arange(len(kinds), dtype=np.int32)
            self._engine.accept(self._highs.changeColsIntegrality(len(kinds), columns, kinds), "changing integrality")
        self._relaxed = relaxed

    def close(self) -> None:
        """Free the memory of HiGHS. See :meth:`Session.close`."""
        self._highs.clear()
