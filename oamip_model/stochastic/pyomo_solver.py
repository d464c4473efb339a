"""The backends of this package as a Pyomo solver, which adds tangents of losses.

See mathematics:scen-2. Importing this file registers it: ``SolverFactory("oamip:highs")``, or another backend in the
place of highs. Engines such as mpi-sppy solve models by such a name, and know nothing of tangents.
"""

from __future__ import annotations

import oamip_model.formulation.quick_pyomo  # noqa: F401  # isort: skip

from typing import Any

import numpy as np
import pyomo.environ as pyo
from pyomo.core.base.symbol_map import SymbolMap
from pyomo.opt import Solution as PyomoSolution
from pyomo.opt import SolutionStatus, SolverResults, SolverStatus, TerminationCondition

from oamip_model.clock import Deadline
from oamip_model.errors import InputError, OamipError
from oamip_model.formulation.program import Program
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled
from oamip_model.solving.options import DEFAULT_TOLERANCE, Solver
from oamip_model.solving.protocol import Session, Solution, Status
from oamip_model.solving.registry import get_backend, open_session

NAME = "oamip"
_OPTIONS = {"solver": "name", "mipgap": "tolerance", "time_limit": "time_limit", "threads": "threads", "seed": "seed"}
"""Options of the Pyomo solver, and the fields of :class:`oamip_model.Solver` that they are."""
_SETTLED = 0.1
"""Share of the tolerance that all losses together may be short of by their tangents."""
_STALL = 50
"""Rounds in a row in which the bound did not move, after which no more tangents are added."""
_ENDS = {
    Status.OPTIMAL: TerminationCondition.optimal,
    Status.FEASIBLE: TerminationCondition.feasible,
    Status.NO_SOLUTION: TerminationCondition.maxTimeLimit,
    Status.INFEASIBLE: TerminationCondition.infeasible,
    Status.UNBOUNDED: TerminationCondition.unbounded,
    Status.ERROR: TerminationCondition.error,
}


@pyo.SolverFactory.register(NAME, doc="Backends of oamip_model, with rounds of tangents")
class OamipSolver:
    """A Pyomo solver for linear models that hold programs of this package.

    Programs may be blocks of the model, or the model itself.

    options: "solver", "mipgap", "time_limit", "threads" and "seed".
    """

    def __init__(self, solver: str = "highs", **options: Any) -> None:
        self.name = NAME
        self.options: dict[str, Any] = {"solver": solver} | options

    def __enter__(self) -> OamipSolver:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def set_options(self, text: str) -> None:
        """Set options of the form NAME=VALUE, as ``SolverFactory("oamip:cbc")`` does."""
        for part in text.split():
            name, _, value = part.partition("=")
            self.options[name] = value

    def available(self, exception_flag: bool = True) -> bool:
        """Whether the backend can be used."""
        try:
            get_backend(self.options["solver"])
        except OamipError:
            if exception_flag:
                raise
            return False
        return True

    def license_is_valid(self) -> bool:
        """Whether the backend can be used, its licence included."""
        return self.available(exception_flag=False)

    def version(self) -> str:
        """The version of the backend."""
        return get_backend(self.options["solver"]).version()

    def has_capability(self, capability: str) -> bool:
        """Whether models of this kind are taken: linear ones with integer variables."""
        return capability in ("linear", "integer")

    def solve(
        self,
        model: Any,
        *,
        tee: bool = False,
        load_solutions: bool = True,
        warmstart: bool = False,
        logfile: str | None = None,
    ) -> SolverResults:
        """Pyomo's results of a model, whose losses are exact to the tolerance.

        Tangents that were added are kept in the model. The bound holds for the losses themselves.

        Raises InputError for an option that is not known, or a model that is not linear.
        """
        found = _Rounds(model, self._asked(logfile)).run(warmstart)
        if tee:
            print(f"{NAME}: {found.status}, objective {found.objective}, bound {found.bound}")
        return found.results(load_solutions)

    def _asked(self, logfile: str | None) -> Solver:
        unknown = sorted(self.options.keys() - _OPTIONS.keys())
        if unknown:
            raise InputError(f"options: got {', '.join(unknown)}, solver {NAME} accepts {', '.join(_OPTIONS)}")
        fields = {_OPTIONS[name]: _number(value) for name, value in self.options.items() if value is not None}
        return Solver(**fields, log_file=logfile)


def _number(value: Any) -> Any:
    """A value that was given as text as a number, where it is one."""
    if not isinstance(value, str):
        return value
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


class _Rounds:
    """One solve: rounds of tangents on the relaxation, then on the model itself."""

    def __init__(self, model: Any, solver: Solver) -> None:
        self.model, self.backend, self.deadline = model, get_backend(solver.name), Deadline(solver.time_limit)
        self.tolerance = solver.gap(DEFAULT_TOLERANCE)
        self.compiled = Compiled(model)
        self.arrays = self.compiled.arrays
        if self.arrays.sense != 1:
            raise InputError(f"objective: is maximised, solver {NAME} takes one that is minimised")
        blocks = [model, *model.component_data_objects(pyo.Block, active=True, descend_into=True)]
        self.programs = [Program.of(b) for b in blocks if b.component("loss_tangents") is not None]
        self.programs = [program for program in self.programs if program.by_rounds]
        self.options = solver.options(self.tolerance * (0.5 if self.programs else 0.9))
        self.status, self.message, self.seconds = Status.ERROR, "", 0.0
        self.x: Array | None = None
        self.objective: float | None = None
        self.bound = -np.inf

    def run(self, warmstart: bool) -> _Rounds:
        """Solve, and keep the incumbent and the bound."""
        session = open_session(self.backend, self.arrays, self.options)
        try:
            if self.arrays.is_mip and self.programs:
                self._outer(session, relaxed=True, start=None)
            self._outer(session, relaxed=False, start=self._start() if warmstart else None)
        finally:
            session.close()
        return self

    def _outer(self, session: Session, relaxed: bool, start: Array | None) -> None:
        stalled = 0
        while True:
            before, left = self.bound, self.deadline.left()
            if left is not None and left <= 0:
                self.status, self.message = self._stopped(), "time limit"
                return
            answer = session.solve(None if relaxed else start, relaxed=relaxed, time_limit=left)
            self.seconds += answer.seconds
            if answer.interrupted:
                raise KeyboardInterrupt
            self.status, self.message = answer.status, answer.message
            if answer.bound is not None:
                self.bound = max(self.bound, answer.bound)
            if answer.x is None:
                self.status = answer.status if answer.status is not Status.OPTIMAL else Status.ERROR
                return
            short = self._take(answer, keep=not relaxed)
            stalled = stalled + 1 if self.bound <= before else 0
            if self.status is not Status.OPTIMAL or (not relaxed and self._gap() <= self.tolerance):
                return
            if stalled > _STALL or not self._cut(session, answer.x, short):
                if not relaxed:
                    self.status, self.message = Status.FEASIBLE, "the outer approximation stalled"
                return

    def _take(self, answer: Solution, keep: bool) -> list[Array]:
        """What each image's loss adds to the objective beyond its tangents, by program.

        keep: take the point, with the losses that its logits have, where it is better.
        """
        assert answer.x is not None
        x, short = answer.x.copy(), []
        for program in self.programs:
            at = self.compiled.columns(program.losses)
            losses = program.losses_at(answer.x[self.compiled.columns(program.model.o)])
            short.append(np.maximum(losses - answer.x[at], 0.0) * self.arrays.cost[at])
            x[at] = np.maximum(losses, answer.x[at])
        value = self.arrays.objective(x)
        if keep and (self.objective is None or value < self.objective):
            self.x, self.objective = x, value
        return short

    def _cut(self, session: Session, x: Array, short: list[Array]) -> int:
        """Add tangents at x where losses are short of by much; returns how many."""
        scale = _SETTLED * self.tolerance * max(abs(self.arrays.objective(x)), 1e-10)
        count = 0
        for program, missing in zip(self.programs, short, strict=True):
            images = np.flatnonzero(missing > scale / max(1, sum(map(len, short))))
            if not len(images):
                continue
            assert program.loss_tangents is not None
            logits = x[self.compiled.columns(program.model.o)].reshape(program.images, -1)[images]
            rows = program.tangents_at(logits, images, first=len(program.loss_tangents.rows.names))
            program.loss_tangents.append(rows)
            session.add_rows(self.compiled.rows(rows), rows.lower, rows.upper)
            count += len(images)
        return count

    def _gap(self) -> float:
        if self.objective is None:
            return np.inf
        return (self.objective - self.bound) / max(abs(self.objective), 1e-10)

    def _stopped(self) -> Status:
        return Status.NO_SOLUTION if self.x is None else Status.FEASIBLE

    def _start(self) -> Array | None:
        values = [variable.value for variable in self.compiled.variables]
        return None if any(value is None for value in values) else np.array(values, dtype=np.float64)

    def results(self, load: bool) -> SolverResults:
        """The results as Pyomo has them; load: put the point into the model as well."""
        found = SolverResults()
        found.solver.name = f"{NAME}:{self.backend.name}"
        found.solver.termination_condition = _ENDS[self.status]
        found.solver.status = SolverStatus.ok if self.x is not None else SolverStatus.warning
        found.solver.message, found.solver.time = self.message, self.seconds
        found.problem.lower_bound = float(self.bound)
        found.problem.upper_bound = np.inf if self.objective is None else float(self.objective)
        if self.x is None:
            return found
        if load:
            self.compiled.load(self.x)
            return found
        known = PyomoSolution()
        known.status = SolutionStatus.optimal if self.status is Status.OPTIMAL else SolutionStatus.feasible
        symbols = SymbolMap()
        for number, (variable, value) in enumerate(zip(self.compiled.variables, self.x.tolist(), strict=True)):
            if not variable.fixed:
                symbols.addSymbol(variable, f"x{number}")
                known.variable[f"x{number}"] = {"Value": value}
        found.solution.insert(known)
        found._smap = symbols
        return found
