"""HiGHS, in memory through highspy's flat arrays; the model is kept between solves, so that cut rounds start warm."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_backends.certificate import dual_bound
from oamip_backends.common import CheckedSession, Outcome
from oamip_backends.handover import Limits, leaves_out
from oamip_backends.interrupts import Interrupts
from oamip_model.solving.protocol import (
    ABSOLUTE_GAP,
    DEFAULT_FEASIBILITY,
    DEFAULT_GAP,
    Array,
    Arrays,
    Capability,
    InputError,
    Options,
    Solution,
    SolverError,
    SolverMissingError,
    Status,
    append_rows,
)

COLD_ITERATIONS = 5_000
"""Simplex iterations of a linear program without a basis after which an interior point method begins it anew. Seen
with 1.15.1: 21 s in place of more than 7 minutes, where a published program keeps its columns."""

WARM_ITERATIONS = 5_000
"""Simplex iterations from a basis after which a search tree's linear program is solved anew. Seen with 1.15.1: more
than 200,000 after a change of one bound, without an end, where most take fewer than 1,000."""

_LIMITS = Limits("highs", dropped=1e-12, largest=1e15, largest_cost=1e20)
"""1e-12 is the least that its option small_matrix_value takes; seen with 1.15.1, what is not above it is left out."""

# HiGHS keeps one pool of threads per process. Changing its size while a solve runs would pull the pool from under it.
_pool = threading.Lock()
_pool_size = 0
_running = 0

_DEVEX = 1
"""HiGHS's number for Devex pricing in the dual simplex."""
_SMALL = 5_000
"""Non-zeros below which Devex pricing is used for solves of few iterations each: there steepest edge takes more time to
weigh its choices than it saves in iterations. Seen with 1.15.1: 18 % less time with it in trees of small programs, and
15 % more in those of 10,000 non-zeros."""

PROVED = 1e-6
"""How far from its objective, relative or absolute below 1, the bound that duals prove may lie."""


def _left_out(arrays: Arrays) -> bool:
    size = np.abs(arrays.matrix.data)
    return bool(((size <= _LIMITS.dropped) & (size > 0)).any())


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
        """Raise SolverMissingError where highspy cannot be imported."""
        try:
            import highspy  # noqa: F401
        except ImportError as error:
            raise SolverMissingError(f"highs: highspy cannot be imported ({error}): pip install highspy") from None

    def version(self) -> str:
        """The version of HiGHS, such as 1.15.1."""
        return _version()

    def session(self, arrays: Arrays, options: Options) -> HighsSession:
        """A session that keeps the model, and the simplex basis, between solves."""
        self.check()
        return HighsSession(self, arrays, options)

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch."""
        with closing(self.session(arrays, options)) as session:
            return session.solve(start)


class HighsSession(CheckedSession):
    """One model in HiGHS."""

    def __init__(self, backend: Highs, arrays: Arrays, options: Options) -> None:
        super().__init__(backend, arrays, options)
        import highspy

        self._lib: Any = highspy
        self._highs: Any = highspy.Highs()
        self._interrupts = Interrupts()
        self._relaxed = self._short = False
        self._set_options()
        for event in (self._highs.cbSimplexInterrupt, self._highs.cbIpmInterrupt, self._highs.cbMipInterrupt):
            event.subscribe(self._stop_if_pressed)
        self.hand_over(self._load)

    def limits(self) -> Limits:
        """What HiGHS takes as it is given; of a linear program its duals are asked what they prove of the rest."""
        return _LIMITS if self.arrays.is_mip else replace(_LIMITS, dropped=0.0)

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
            "small_matrix_value": _LIMITS.dropped,
            "threads": 0 if given.threads is None else int(given.threads),
        }
        if given.seed is not None:
            values["random_seed"] = int(given.seed)
        if given.log_file is not None:
            values["log_file"] = str(given.log_file)
        for name, value in values.items():
            self._accept(self._highs.setOptionValue(name, value), f"option {name}={value}")

    def _accept(self, status: Any, what: str, harmless: bool = False) -> None:
        """Raise SolverError unless HiGHS took it; a warning counts as taken only where that is known to be harmless.

        Harmless are coefficients that are left out (:mod:`oamip_backends.handover` refuses those that matter), and
        starts and bases that do not fit, which are hints.
        """
        if status == self._lib.HighsStatus.kError:
            raise SolverError(f"highs: {what} was refused")
        if status == self._lib.HighsStatus.kWarning and not harmless:
            raise SolverError(f"highs: {what} was taken with a warning: something of it was changed or left out")

    def _stop_if_pressed(self, event: Any) -> None:
        # HiGHS keeps the answer until the next one, beyond the end of the solve, so "no" has to be said as well.
        event.interrupt(self._interrupts.pressed)

    def _load(self) -> None:
        a = self.arrays
        rows, columns = a.matrix.shape
        status = self._highs.passModel(
            columns, rows, a.matrix.nnz, int(self._lib.MatrixFormat.kRowwise), a.sense, a.offset,
            a.cost, a.lower, a.upper, a.row_lower, a.row_upper,
            a.matrix.indptr.astype(np.int32), a.matrix.indices.astype(np.int32), a.matrix.data,
            a.integral.astype(np.int32),
        )  # fmt: skip
        self._accept(status, f"the model of {rows} rows and {columns} columns", leaves_out(_LIMITS, a.matrix.data))

    def append(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows; the basis of the last linear program stays, so that dual simplex goes on from it."""
        starts = rows.indptr[:-1].astype(np.int32)
        status = self._highs.addRows(
            rows.shape[0], lower, upper, rows.nnz, starts, rows.indices.astype(np.int32), rows.data
        )
        self._accept(status, f"adding {rows.shape[0]} rows", leaves_out(_LIMITS, rows.data))

    def set_cost(self, cost: Array) -> None:
        """Replace the costs; the basis stays, so that primal simplex goes on from it."""
        new = self.new_cost(cost)
        every = np.arange(len(new), dtype=np.int32)
        self.hand_over(lambda: self._accept(self._highs.changeColsCost(len(new), every, new), "changing the costs"))

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """Replace the bounds of the columns; the basis stays, so that dual simplex goes on from it."""
        if not self._short and self.arrays.matrix.nnz < _SMALL:
            # Whoever changes bounds solves many times with few iterations each.
            self._accept(self._highs.setOptionValue("simplex_dual_edge_weight_strategy", _DEVEX), "Devex pricing")
        self._short = True
        before = self.arrays
        self.new_bounds(lower, upper)
        moved = np.flatnonzero((before.lower != lower) | (before.upper != upper)).astype(np.int32)
        sides = lower[moved], upper[moved]
        self.hand_over(
            lambda: self._accept(self._highs.changeColsBounds(len(moved), moved, *sides), "changing the bounds")
        )

    def keep_rows(self, keep: NDArray[np.bool_]) -> None:
        """Drop added rows; slack ones leave the basis as it is."""
        self.drop(keep)
        gone = (self.arrays.matrix.shape[0] + np.flatnonzero(~keep)).astype(np.int32)
        self.hand_over(lambda: self._accept(self._highs.deleteRows(len(gone), gone), f"dropping {len(gone)} rows"))

    def basis(self) -> object:
        """The basis now, a copy."""
        return None if self._fault else self._highs.getBasis()

    def set_basis(self, basis: object) -> None:
        """Go on from a basis that :meth:`basis` gave."""
        if basis is not None:
            self.hand_over(lambda: self._accept(self._highs.setBasis(basis), "the basis", harmless=True))

    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Solve and say what HiGHS said."""
        self._set_relaxed(relaxed)
        is_mip = self.arrays.is_mip and not relaxed
        # A linear program's bound is what its duals prove, so these are wanted as sharp as they come.
        self._accept(self._highs.setOptionValue("dual_feasibility_tolerance", 1e-7 if is_mip else 1e-9), "duals")
        # The clock of a Highs object runs on from solve to solve. A linear program's limit is measured on it, but a
        # mixed-integer program's limit on a clock of its own.
        spent = 0.0 if is_mip else float(self._highs.getRunTime())
        limit = np.inf if time_limit is None else spent + float(time_limit)
        self._accept(self._highs.setOptionValue("time_limit", limit), f"time_limit={time_limit}")
        if start is not None and is_mip:
            point = self._lib.HighsSolution()
            point.col_value = start.tolist()
            self._accept(self._highs.setSolution(point), "the start", harmless=True)
        with Interrupts() as self._interrupts:
            if is_mip:
                status = self._run_on_pool()
            else:
                status = self._run_warm() if self._highs.getBasis().valid else self._run_cold()
            if self._gave_up(status):
                # Seen with 1.15.1: dual simplex after presolve ends a program that it can solve without.
                self._accept(self._highs.setOptionValue("presolve", "off"), "presolve")
                status = self._run_on_pool()
                self._accept(self._highs.setOptionValue("presolve", "choose"), "presolve")
        return self._read(status, is_mip)

    def _run_warm(self) -> Any:
        """Solve a linear program from the last basis, or anew where that takes far longer than a start from none."""
        if not self._short:
            return self._run_on_pool()
        status = self._limited(WARM_ITERATIONS)
        if self._out_of_iterations():
            self._accept(self._highs.clearSolver(), "forgetting the basis")
            status = self._run_cold()
        return status

    def _limited(self, iterations: int) -> Any:
        """Solve by simplex with at most so many iterations."""
        self._accept(self._highs.setOptionValue("simplex_iteration_limit", iterations), "an iteration limit")
        status = self._run_on_pool()
        self._accept(self._highs.setOptionValue("simplex_iteration_limit", self._lib.kHighsIInf), "no iteration limit")
        return status

    def _out_of_iterations(self) -> bool:
        stopped = self._highs.getModelStatus() == self._lib.HighsModelStatus.kIterationLimit
        return bool(stopped and not self._interrupts.pressed)

    def _run_cold(self) -> Any:
        """Solve a linear program that has no basis: by simplex, or, if that takes long, by an interior point method
        whose crossover gives a basis, too."""
        status = self._limited(COLD_ITERATIONS)
        if self._out_of_iterations():
            self._accept(self._highs.clearSolver(), "forgetting the basis")
            self._accept(self._highs.setOptionValue("solver", "ipm"), "an interior point method")
            status = self._run_on_pool()
            self._accept(self._highs.setOptionValue("solver", "choose"), "choosing the method")
        return status

    def _gave_up(self, status: Any) -> bool:
        """Whether HiGHS failed without a word on the program."""
        unset = self._highs.getModelStatus() == self._lib.HighsModelStatus.kNotset
        return bool(status == self._lib.HighsStatus.kError and unset and not self._interrupts.pressed)

    def _set_relaxed(self, relaxed: bool) -> None:
        if relaxed != self._relaxed and self.arrays.is_mip:
            kinds = np.zeros(len(self.arrays.cost), np.uint8) if relaxed else self.arrays.integral.astype(np.uint8)
            columns = np.arange(len(kinds), dtype=np.int32)
            self._accept(self._highs.changeColsIntegrality(len(kinds), columns, kinds), "changing integrality")
        self._relaxed = relaxed

    def _run_on_pool(self) -> Any:
        global _pool_size, _running
        wanted = -1 if self.options.threads is None else int(self.options.threads)
        with _pool:
            if wanted != _pool_size:
                if _running:
                    raise InputError(
                        f"threads: got {self.options.threads} while another solve runs in this process, "
                        "and HiGHS has one count of threads for all: use processes"
                    )
                self._lib.Highs.resetGlobalScheduler(True)
                _pool_size = wanted
            _running += 1
        try:
            return self._highs.run()
        finally:
            with _pool:
                _running -= 1

    def _read(self, run_status: Any, is_mip: bool) -> Outcome:
        model = self._highs.getModelStatus()
        info = self._highs.getInfo()
        kinds = self._lib.HighsModelStatus
        nodes = int(info.mip_node_count) if is_mip and info.valid and info.mip_node_count >= 0 else None
        outcome = Outcome(Status.ERROR, nodes=nodes, interrupted=self._interrupts.pressed)
        if run_status == self._lib.HighsStatus.kError:
            outcome.message = f"HiGHS failed with model status {self._highs.modelStatusToString(model)}"
            return outcome
        early = (kinds.kTimeLimit, kinds.kInterrupt, kinds.kHighsInterrupt, kinds.kIterationLimit, kinds.kSolutionLimit)
        if model in (kinds.kOptimal, kinds.kModelEmpty):
            outcome.status = Status.OPTIMAL
        elif model in early:
            outcome.status = Status.FEASIBLE
            outcome.timed_out = bool(model == kinds.kTimeLimit)
        elif model == kinds.kInfeasible:
            outcome.status = Status.INFEASIBLE
            outcome.ray = None if is_mip else self._ray()
        elif model == kinds.kUnbounded:
            outcome.status = Status.UNBOUNDED
        elif model == kinds.kUnboundedOrInfeasible:
            outcome.unclear = True
        else:
            outcome.message = f"HiGHS ended with model status {self._highs.modelStatusToString(model)}"
        if outcome.status in (Status.OPTIMAL, Status.FEASIBLE):
            self._read_point(outcome, info, is_mip)
        return outcome

    def _ray(self) -> Array | None:
        status, there, values = self._highs.getDualRay()
        fits = status == self._lib.HighsStatus.kOk and there
        return np.array(values, dtype=np.float64) if fits else None

    def _read_point(self, outcome: Outcome, info: Any, is_mip: bool) -> None:
        solution = self._highs.getSolution()
        if info.primal_solution_status == int(self._lib.SolutionStatus.kSolutionStatusFeasible):
            outcome.x = np.array(solution.col_value)
        if is_mip:
            outcome.bound = float(info.mip_dual_bound)
        elif outcome.status is Status.OPTIMAL:
            outcome.bound = float(info.objective_function_value)
            outcome.row_duals = np.array(solution.row_dual) if solution.dual_valid else None
            if outcome.x is not None and not self.arrays.is_mip:
                self._prove(outcome)

    def _prove(self, outcome: Outcome) -> None:
        """Keep the optimum of a linear program that HiGHS left something out of only as far as its duals prove it."""
        parts = (self.arrays, *self._cuts)
        if not any(_left_out(part) for part in parts):
            return
        program = self.arrays
        for cut in self._cuts:
            program = append_rows(program, cut.matrix, cut.row_lower, cut.row_upper)
        duals = np.zeros(program.matrix.shape[0]) if outcome.row_duals is None else outcome.row_duals
        assert outcome.x is not None
        objective = program.objective(outcome.x)
        outcome.bound = dual_bound(program, program.sense * duals)
        if not program.sense * (objective - outcome.bound) <= PROVED * max(1.0, abs(objective)):
            outcome.status = Status.FEASIBLE
            outcome.message = f"HiGHS claims an optimum of {objective!r}, but its duals prove {outcome.bound!r} only"

    def close(self) -> None:
        """Free HiGHS's memory."""
        self._highs.clear()
