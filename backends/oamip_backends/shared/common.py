"""Solves whose programs and answers are checked, which all backends build on.

Nothing here depends on a solver. A third party's backend may build on it as well: see
docs/how-to/backends.md.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from oamip_backends.shared.checks import (
    BROKEN,
    FRACTIONAL,
    breach,
    check_log_file,
    check_start,
    prepare,
    tidy,
)
from oamip_backends.shared.faults import told_by
from oamip_backends.shared.handover import INFINITE, Limits, refusal
from oamip_backends.shared.outcome import Outcome, say_why
from oamip_model.solving.protocol import (
    Array,
    Arrays,
    Backend,
    Options,
    Solution,
    SolverError,
    Status,
    append_rows,
    check_options,
)


class CheckedRun(ABC):
    """A program whose solver's answers are checked.

    A subclass runs the solver and gives its answer, and this class judges it. A program that the
    solver would change (see :meth:`limits`) ends with the status ERROR and a message. So does
    anything that the solver's library raises.

    Every incumbent is compared with the rows, the bounds and the integrality. One that violates
    them by more than BROKEN or FRACTIONAL is not passed on. Then the status is NO_SOLUTION where
    the solver stopped early, and ERROR where it claimed to be done. A claim "unbounded", or
    "infeasible or unbounded", is settled by a second solve without an objective.

    Parameters
    ----------
    backend : Backend
        The solver.
    arrays : Arrays
        The program.
    options : Options
        Limits, threads, seed and log file.

    Raises
    ------
    InputError
        For arrays or options that are not valid.
    """

    def __init__(self, backend: Backend, arrays: Arrays, options: Options) -> None:
        self.arrays, self._fault = prepare(arrays)
        self._fault_status = Status.INFEASIBLE
        check_options(backend, options)
        self.backend, self.options = backend, options
        self._cuts: list[Arrays] = []
        check_log_file(options.log_file)
        if not self._fault:
            self._refuse(refusal(self.limits(), self.arrays))

    def limits(self) -> Limits:
        """The numbers that the solver takes unchanged, by default all.

        Returns
        -------
        Limits
            Sizes of coefficients and costs.
        """
        return Limits(self.backend.name)

    def _refuse(self, why: str) -> None:
        """Never call the solver again, where there is a reason."""
        if why:
            self._fault, self._fault_status = why, Status.ERROR

    def hand_over(self, give: Callable[[], None]) -> None:
        """Give something to the solver.

        An error becomes the status and the message of later solves.

        Parameters
        ----------
        give : callable
            Gives it, and may raise anything.
        """
        if self._fault:
            return
        try:
            with told_by(self.backend.name):
                give()
        except SolverError as error:
            self._refuse(str(error))

    def _said(self, start: Array | None, relaxed: bool, limit: float | None) -> Outcome:
        """The answer of the solver, or the error that ended it."""
        if self._fault:
            return Outcome(self._fault_status, message=self._fault)
        try:
            with told_by(self.backend.name):
                return self.run(start, relaxed, limit)
        except SolverError as error:
            return Outcome(Status.ERROR, message=str(error))

    @abstractmethod
    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Run the solver, and give its answer.

        Parameters
        ----------
        start : array, optional
            A feasible point (columns,).
        relaxed : bool
            Solve without integrality.
        time_limit : float, optional
            Seconds.

        Returns
        -------
        Outcome
            The answer, not yet checked.
        """

    def solve(self, start: Array | None = None, *, relaxed: bool = False, time_limit: float | None = None) -> Solution:
        """Solve, and check the answer.

        See :meth:`~oamip_model.solving.protocol.Session.solve`.
        """
        start = check_start(start, len(self.arrays.cost))
        limit = (self.options if time_limit is None else replace(self.options, time_limit=time_limit)).time_limit
        begin = time.perf_counter()
        outcome = self._said(start, relaxed, limit)
        if outcome.x is not None and self.arrays.cost.any() and (np.abs(outcome.x) >= INFINITE).any():
            outcome.unclear = True
        if outcome.unclear or outcome.status is Status.UNBOUNDED:
            outcome = self._settle(outcome, relaxed, limit, begin)
        if outcome.x is not None:
            self._judge(outcome, relaxed)
        elif outcome.status is Status.FEASIBLE:
            outcome.status = Status.NO_SOLUTION
        elif outcome.status is Status.OPTIMAL:
            outcome.status, outcome.message = Status.ERROR, f"{self.backend.name} claims an optimum without a point"
        say_why(outcome, limit)
        objective = None if outcome.x is None else self.arrays.objective(outcome.x)
        bound = outcome.bound if outcome.bound is not None and np.isfinite(outcome.bound) else None
        if outcome.status not in (Status.OPTIMAL, Status.FEASIBLE, Status.NO_SOLUTION):
            bound = None
        return Solution(
            outcome.status, self.backend.name, self.backend.version(), outcome.x, objective, bound, outcome.nodes,
            time.perf_counter() - begin, outcome.message, outcome.interrupted,
            outcome.row_duals if outcome.status is Status.OPTIMAL else None,
            ray=outcome.ray if outcome.status is Status.INFEASIBLE else None,
        )  # fmt: skip

    def _judge(self, outcome: Outcome, relaxed: bool) -> None:
        """Keep the incumbent where it satisfies the program, and change the status where it does not."""
        assert outcome.x is not None
        program = self._program(relaxed)
        outcome.x = np.asarray(outcome.x, dtype=np.float64)
        rows, fraction = breach(program, outcome.x, self._cuts)
        if rows <= BROKEN and fraction <= FRACTIONAL:
            outcome.x = tidy(program, outcome.x, rows, self._cuts)
        else:
            claimed = outcome.status is Status.OPTIMAL
            outcome.message = (
                f"{self.backend.name} gave a point that breaks a row or bound by {rows:.2g} "
                f"and integrality by {fraction:.2g}"
            )
            outcome.x, outcome.row_duals = None, None
            outcome.status = Status.ERROR if claimed else Status.NO_SOLUTION

    def _program(self, relaxed: bool) -> Arrays:
        """The program, without integrality where it is relaxed."""
        return replace(self.arrays, integral=np.zeros_like(self.arrays.integral)) if relaxed else self.arrays

    def _settle(self, outcome: Outcome, relaxed: bool, limit: float | None, begin: float) -> Outcome:
        """The outcome of an unclear claim, after a second solve without an objective."""
        if outcome.unclear and not self.arrays.cost.any():
            return Outcome(Status.INFEASIBLE, nodes=outcome.nodes, message=outcome.message)
        left = None if limit is None else max(limit - (time.perf_counter() - begin), 0.1)
        program = self._program(relaxed)
        bare = replace(program, cost=np.zeros_like(program.cost), offset=0.0)
        for cut in self._cuts:
            bare = append_rows(bare, cut.matrix, cut.row_lower, cut.row_upper)
        found = self.backend.solve(bare, replace(self.options, time_limit=left))
        if found.status is Status.INFEASIBLE:
            # The ray concerns the rows alone, which are the same without an objective.
            return Outcome(Status.INFEASIBLE, nodes=outcome.nodes, ray=found.ray)
        if found.x is not None:
            return Outcome(Status.UNBOUNDED, nodes=outcome.nodes)
        return Outcome(
            Status.ERROR if found.status is Status.ERROR else Status.NO_SOLUTION, nodes=outcome.nodes,
            interrupted=found.interrupted, timed_out=outcome.timed_out,
            message=f"infeasible or unbounded, and solving without an objective did not settle which: {found.message}",
        )  # fmt: skip
