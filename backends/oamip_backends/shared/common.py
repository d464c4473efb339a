"""What every backend does alike: check what it is given, check what its solver says, and turn that into a Solution.

Nothing here knows a solver. A third party's backend may build on it: see docs/how-to/backends.md.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

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
from oamip_backends.shared.handover import INFINITE, Limits, refusal, refused_costs
from oamip_model.solving.protocol import (
    Array,
    Arrays,
    Backend,
    Options,
    Solution,
    SolverError,
    Status,
    append_rows,
    check_bounds,
    check_options,
)

_BLOCKS = 8
"""Blocks of added rows that are kept apart; checking a point takes time for each."""


@dataclass
class Outcome:
    """What a solver said, before it is checked. ``unclear`` stands for "infeasible or unbounded", ``timed_out`` for a
    solve that its time limit ended."""

    status: Status
    x: Array | None = None
    bound: float | None = None
    nodes: int | None = None
    message: str = ""
    interrupted: bool = False
    row_duals: Array | None = None
    ray: Array | None = None
    unclear: bool = False
    timed_out: bool = False


def cut_short(outcome: Outcome, solver: str) -> None:
    """Take back a proof that a solver claims although its time was up.

    Where the clock stops CBC inside a subtree that it wants to enumerate, it calls the whole search completed, and
    with it the incumbent optimal, or a program without one infeasible (seen with 2.10.3). Pyomo reads the basis at
    which GLPK stopped as if it were the last one.
    """
    if outcome.status in (Status.OPTIMAL, Status.INFEASIBLE):
        outcome.message = (
            f"{solver} claims {outcome.status}, but its time was up, where its claims have been seen to be wrong"
        )
        outcome.status = Status.FEASIBLE if outcome.status is Status.OPTIMAL else Status.NO_SOLUTION
        outcome.unclear = False


def may_be_unbounded(arrays: Arrays) -> bool:
    """Whether some column has a cost that improves towards a bound that it does not have."""
    worth = arrays.sense * arrays.cost
    return bool((((worth < 0) & (arrays.upper == np.inf)) | ((worth > 0) & (arrays.lower == -np.inf))).any())


def _say_why(outcome: Outcome, limit: float | None) -> None:
    """Add to the message of a solve that was stopped what stopped it, and before what."""
    before = {Status.FEASIBLE: "a proof", Status.NO_SOLUTION: "a feasible point"}.get(outcome.status)
    if before is None or not (outcome.timed_out or outcome.interrupted):
        return
    what = "an interruption" if outcome.interrupted or limit is None else f"the time limit of {limit:g} s"
    outcome.message = "; ".join(part for part in (f"{what} came before {before}", outcome.message) if part)


class CheckedRun(ABC):
    """A program whose solver's answers are checked: a subclass says what the solver said, this class judges.

    A program that the solver would not take as it is (see :meth:`limits`), and whatever its library raises, end as
    ERROR with a message.

    Every incumbent is compared with the rows, the bounds and the integrality. One that breaks them by more than
    BROKEN or FRACTIONAL is not handed on: the status becomes NO_SOLUTION where the solver stopped early, ERROR where
    it claimed to be done. "Unbounded", and "infeasible or unbounded", are settled by solving once more without an
    objective.
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
        """What the solver takes as it is given: everything, unless a subclass says otherwise."""
        return Limits(self.backend.name)

    def _refuse(self, why: str) -> None:
        """Never ask the solver again, where there is a reason."""
        if why:
            self._fault, self._fault_status = why, Status.ERROR

    def hand_over(self, give: Callable[[], None]) -> None:
        """Give something to the solver. What goes wrong is the status and the message of the solves after it."""
        if self._fault:
            return
        try:
            with told_by(self.backend.name):
                give()
        except SolverError as error:
            self._refuse(str(error))

    def _said(self, start: Array | None, relaxed: bool, limit: float | None) -> Outcome:
        if self._fault:
            return Outcome(self._fault_status, message=self._fault)
        try:
            with told_by(self.backend.name):
                return self.run(start, relaxed, limit)
        except SolverError as error:
            return Outcome(Status.ERROR, message=str(error))

    @abstractmethod
    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Solve and say what the solver said."""

    def solve(self, start: Array | None = None, *, relaxed: bool = False, time_limit: float | None = None) -> Solution:
        """See :class:`oamip_model.solving.protocol.Session`."""
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
        _say_why(outcome, limit)
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
        return replace(self.arrays, integral=np.zeros_like(self.arrays.integral)) if relaxed else self.arrays

    def _settle(self, outcome: Outcome, relaxed: bool, limit: float | None, begin: float) -> Outcome:
        if outcome.unclear and not self.arrays.cost.any():
            return Outcome(Status.INFEASIBLE, nodes=outcome.nodes, message=outcome.message)
        left = None if limit is None else max(limit - (time.perf_counter() - begin), 0.1)
        program = self._program(relaxed)
        bare = replace(program, cost=np.zeros_like(program.cost), offset=0.0)
        for cut in self._cuts:
            bare = append_rows(bare, cut.matrix, cut.row_lower, cut.row_upper)
        found = self.backend.solve(bare, replace(self.options, time_limit=left))
        if found.status is Status.INFEASIBLE:
            # The ray is about the rows alone, which are the same without an objective.
            return Outcome(Status.INFEASIBLE, nodes=outcome.nodes, ray=found.ray)
        if found.x is not None:
            return Outcome(Status.UNBOUNDED, nodes=outcome.nodes)
        return Outcome(
            Status.ERROR if found.status is Status.ERROR else Status.NO_SOLUTION, nodes=outcome.nodes,
            interrupted=found.interrupted, timed_out=outcome.timed_out,
            message=f"infeasible or unbounded, and solving without an objective did not settle which: {found.message}",
        )  # fmt: skip


def _stacked(blocks: Sequence[Arrays]) -> Arrays:
    """One block of the rows of all of them."""
    matrix = sp.csr_array(sp.vstack([block.matrix for block in blocks], format="csr"))
    lower = np.concatenate([block.row_lower for block in blocks])
    upper = np.concatenate([block.row_upper for block in blocks])
    return replace(blocks[-1], matrix=matrix, row_lower=lower, row_upper=upper)


class CheckedSession(CheckedRun):
    """A checked program that stays loaded, so that rows can be added between solves."""

    def __init__(self, backend: Backend, arrays: Arrays, options: Options) -> None:
        super().__init__(backend, arrays, options)
        # The widest bounds so far.
        self._least, self._most = self.arrays.lower, self.arrays.upper

    @abstractmethod
    def append(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows to the loaded model."""

    @abstractmethod
    def close(self) -> None:
        """Free the solver."""

    def new_cost(self, cost: Array) -> Array:
        """Checked costs, (columns,), which are those of the program from now on."""
        self.arrays, _ = prepare(replace(self.arrays, cost=np.ascontiguousarray(cost, dtype=np.float64)))
        self._refuse(refused_costs(self.limits(), self.arrays))
        return self.arrays.cost

    def add_rows(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """See :class:`oamip_model.solving.protocol.Session`."""
        rows = sp.csr_array(rows)
        # Bounds of the columns may change after these rows came, so the rows are kept without any.
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
        """Take bounds, (columns,) each, which are those of the program from now on. Raises InputError where they
        cross."""
        check_bounds(lower, upper, len(self.arrays.cost))
        self.arrays = replace(self.arrays, lower=lower.copy(), upper=upper.copy())
        if (lower < self._least).any() or (upper > self._most).any():
            # What is left out of a row is harmless within the bounds that were known, and perhaps not beyond.
            self._least, self._most = np.minimum(lower, self._least), np.maximum(upper, self._most)
            for part in (self.arrays, *self._cuts):
                if not self._fault:
                    self._refuse(refusal(self.limits(), replace(part, lower=self._least, upper=self._most)))

    def drop(self, keep: NDArray[np.bool_]) -> None:
        """Keep only these of the added rows, (rows added,), in what points are checked against."""
        if self._cuts:
            block = _stacked(self._cuts)
            at = np.flatnonzero(keep)
            matrix = sp.csr_array(block.matrix[at])
            self._cuts = [replace(block, matrix=matrix, row_lower=block.row_lower[at], row_upper=block.row_upper[at])]
