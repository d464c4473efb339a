"""Any other solver that Pyomo can call, as ``pyomo:NAME``.

Only what Pyomo reports is passed on. Nothing is guessed.
"""

from __future__ import annotations

import difflib
import io
import math
import time
from typing import Any, ClassVar

import numpy as np

from oamip_backends.pyomo_programs import Runs, bounded, read_glpk
from oamip_backends.shared.common import CheckedRun
from oamip_backends.shared.handover import with_larger_costs
from oamip_backends.shared.outcome import Outcome, cut_short, may_be_unbounded
from oamip_model.scratch import process_folder
from oamip_model.solving.protocol import (
    DEFAULT_GAP,
    Array,
    Arrays,
    Capability,
    InputError,
    LicenceError,
    Options,
    Solution,
    SolverError,
    SolverMissingError,
    Status,
)

# Pyomo's older interfaces pass options to the solver under its own names: (time limit, relative gap).
_GUROBI = ("TimeLimit", "MIPGap")
_CPLEX = ("timelimit", "mip_tolerances_mipgap")
_OWN_NAMES: dict[str, tuple[str, str | None]] = {
    "cbc": ("sec", "ratioGap"),
    "cplex": _CPLEX,
    "cplex_direct": _CPLEX,
    "cplex_persistent": _CPLEX,
    "glpk": ("tmlim", "mipgap"),
    "gurobi": _GUROBI,
    "gurobi_direct": _GUROBI,
    "gurobi_persistent": _GUROBI,
    "ipopt": ("max_cpu_time", None),
    "scip": ("limits/time", "limits/gap"),
}

_ENDED = {
    "optimal": Status.OPTIMAL,
    "globallyOptimal": Status.OPTIMAL,
    "locallyOptimal": Status.OPTIMAL,  # from a local solver for a linear program, where local is global
    "infeasible": Status.INFEASIBLE,
    "unbounded": Status.UNBOUNDED,
    "feasible": Status.FEASIBLE,
    "maxTimeLimit": Status.FEASIBLE,
    "maxIterations": Status.FEASIBLE,
    "maxEvaluations": Status.FEASIBLE,
    "userInterrupt": Status.FEASIBLE,
    "resourceInterrupt": Status.FEASIBLE,
    "intermediateNonInteger": Status.NO_SOLUTION,
    "noSolution": Status.NO_SOLUTION,
}


class PyomoSolver:
    """A solver that ``pyomo.environ.SolverFactory`` knows.

    It takes a time limit and a gap, no more.

    Parameters
    ----------
    solver : str, default ""
        The name that Pyomo has for it.
    """

    licence: ClassVar[str] = "that of the solver"
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, solver: str = "") -> None:
        self.solver = solver
        self.name = f"pyomo:{solver or 'NAME'}"

    def check(self) -> None:
        """Raise an error where Pyomo, or its solver, cannot be used.

        See :meth:`Backend.check`.

        Raises
        ------
        InputError
            Where Pyomo knows no such solver.
        SolverMissingError
            Where Pyomo or the solver is missing.
        """
        try:
            from pyomo.environ import SolverFactory
        except ImportError as error:
            raise SolverMissingError(f"pyomo: Pyomo cannot be imported ({error}): pip install pyomo") from None
        if not self.solver:
            return
        known = sorted(name for name in SolverFactory if not name.startswith("_"))
        if self.solver not in known:
            close = difflib.get_close_matches(self.solver.lower(), known, n=3)
            hint = f"did you mean {' or '.join(close)}?" if close else f"Pyomo knows {', '.join(known)}"
            raise InputError(f"solver: got pyomo:{self.solver}, which Pyomo does not know; {hint}")
        with _Quiet():
            available = bool(SolverFactory(self.solver).available(exception_flag=False))
        if not available:
            raise SolverMissingError(
                f"{self.name}: Pyomo knows it, but it or its licence is not there: install it, or choose --solver highs"
            )

    def version(self) -> str:
        """The solver's version, as far as Pyomo gives it, and Pyomo's.

        See :meth:`Backend.version`.
        """
        from pyomo.environ import SolverFactory
        from pyomo.version import version

        own = None
        if self.solver:
            with _Quiet():
                own = SolverFactory(self.solver).version()
        return (".".join(str(part) for part in own) + ", " if own else "") + f"Pyomo {version}"

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch. See :meth:`Backend.solve`."""
        self.check()
        if not self.solver:
            raise InputError("solver: got pyomo, accepted is pyomo:NAME with a solver's name, such as pyomo:glpk")
        return _PyomoRun(self, arrays, options).solve(start)


class _PyomoRun(CheckedRun):
    """One solve through Pyomo."""

    def __init__(self, backend: PyomoSolver, arrays: Arrays, options: Options) -> None:
        super().__init__(backend, arrays, options)
        self._solver = backend.solver
        self._written, self._unit = with_larger_costs(self.arrays)
        if options.feasibility is not None:
            raise InputError(f"feasibility: got {options.feasibility}, but {backend.name} cannot take it")
        empty = np.diff(arrays.matrix.indptr) == 0
        wrong = empty & ((arrays.row_lower > 1e-9) | (arrays.row_upper < -1e-9))
        if wrong.any():
            self._fault = self._fault or f"row {int(np.argmax(wrong))} has no columns and does not allow 0"

    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Solve, and give the answer that comes back through Pyomo."""
        from pyomo.common.gc_manager import PauseGC
        from pyomo.common.tempfiles import TempfileManager
        from pyomo.environ import SolverFactory
        from pyomo.solvers.plugins.solvers.persistent_solver import PersistentSolver

        # Pyomo writes files for solvers that are separate programs. In this folder they are removed after a kill too.
        TempfileManager.tempdir = TempfileManager.tempdir or str(process_folder("pyomo"))
        with PauseGC():
            model = _build(self._written)
        with _Quiet():
            solver = SolverFactory(self._solver)
            given = self._give(solver, time_limit)
            runs = bounded(solver, time_limit)
            begin = time.perf_counter()
            try:
                if isinstance(solver, PersistentSolver):
                    solver.set_instance(model)
                    results = solver.solve(load_solutions=False, **given)
                else:
                    results = solver.solve(model, load_solutions=False, **given)
            except Exception as error:  # interfaces raise whatever their solver raises
                if runs.stopped:
                    return runs.out_of_time()
                raise self._explained(error) from error
            late = time_limit is not None and time.perf_counter() - begin >= time_limit
            outcome = self._read(model, results, late, runs)
            outcome.interrupted = runs.interrupted
            return outcome

    def _explained(self, error: Exception) -> Exception:
        reason = " ".join(str(error).split())
        if "size-limited" in reason or "licen" in reason.lower():
            return LicenceError(f"{self.backend.name}: {reason}: choose --solver highs")
        return SolverError(f"{self.backend.name} failed: {type(error).__name__}: {reason}")

    def _give(self, solver: Any, time_limit: float | None) -> dict[str, float]:
        config = getattr(solver, "config", None)
        gap = self.options.gap
        if config is not None and hasattr(config, "time_limit"):
            name = next((name for name in ("mip_gap", "rel_gap") if hasattr(config, name)), None)
            if name is not None:
                setattr(config, name, DEFAULT_GAP if gap is None else gap)
            self._require(gap, name, "gap")
            return {} if time_limit is None else {"timelimit": time_limit}
        for_time, for_gap = _OWN_NAMES.get(self._solver, (None, None))
        self._require(time_limit, for_time, "time_limit")
        self._require(gap, for_gap, "gap")
        if time_limit is not None:
            solver.options[for_time] = math.ceil(time_limit) if self._solver == "glpk" else time_limit
        if for_gap is not None and self.arrays.is_mip:
            solver.options[for_gap] = DEFAULT_GAP if gap is None else gap
        return {}

    def _require(self, given: float | None, known: str | None, name: str) -> None:
        if given is not None and known is None:
            raise InputError(f"{name}: got {given}, but this package does not know how {self.backend.name} takes it")

    def _read(self, model: Any, results: Any, late: bool, runs: Runs) -> Outcome:
        ended = str(results.solver.termination_condition)
        outcome = Outcome(_ENDED.get(ended, Status.ERROR), timed_out=ended == "maxTimeLimit" or late)
        # Some solvers, CBC among them, call some programs with an unbounded relaxation infeasible.
        outcome.unclear = ended == "infeasibleOrUnbounded" or (ended == "infeasible" and may_be_unbounded(self.arrays))
        # GLPK's reader in Pyomo says "other" of some unbounded programs (seen with GLPK 5.0).
        outcome.unclear |= ended == "other" and may_be_unbounded(self.arrays) and bool(self.arrays.cost.any())
        if late and self.arrays.is_mip and "cbc" in self._solver:
            cut_short(outcome, "CBC")
        least = read_glpk(outcome, runs.log, self.arrays.is_mip) if self._solver == "glpk" else None
        if outcome.status is Status.ERROR and not outcome.unclear:
            outcome.message = f"{self.backend.name} ended with {ended}: {results.solver.message}"
        if outcome.status in (Status.OPTIMAL, Status.FEASIBLE):
            if len(results.solution):
                model.solutions.load_from(results)
                outcome.x = self._point(model)
            outcome.bound = self._bound(results.problem.lower_bound if least is None else least, outcome)
        return outcome

    def _point(self, model: Any) -> Array | None:
        a = self.arrays
        values = np.array([np.nan if x.value is None else x.value for x in model.x.values()], dtype=np.float64)
        # Interfaces may leave out a column without a cost that is in no row. Any value within its bounds is right.
        idle = np.isnan(values) & (a.cost == 0.0) & (np.bincount(a.matrix.indices, minlength=len(values)) == 0)
        values[idle] = np.clip(0.0, a.lower[idle], a.upper[idle])
        return None if np.isnan(values).any() else values

    def _bound(self, stated: Any, outcome: Outcome) -> float | None:
        # The model is always a minimisation. Some interfaces give a "lower bound" above the incumbent, which is wrong.
        a = self.arrays
        objective = None if outcome.x is None else a.objective(outcome.x)
        if not a.is_mip:
            # The "bound" of a linear program that was stopped is the value of its last basis, and proves nothing.
            return objective if outcome.status is Status.OPTIMAL else None
        least = (
            float(stated) / self._unit
            if isinstance(stated, int | float) and math.isfinite(stated) and abs(stated) < 1e20
            else None
        )
        if least is None:
            return None
        if objective is not None and least > a.sense * (objective - a.offset) + 1e-6 * (1.0 + abs(least)):
            return None
        return a.sense * least + a.offset


def _build(a: Arrays) -> Any:
    import pyomo.environ as pyo
    from pyomo.core.expr import LinearExpression

    model = pyo.ConcreteModel()
    model.x = pyo.Var(range(len(a.cost)))
    columns = list(model.x.values())
    bounds = zip(columns, a.lower.tolist(), a.upper.tolist(), a.integral.tolist(), strict=True)
    for column, lower, upper, integral in bounds:
        column.setlb(None if lower == -math.inf else lower)
        column.setub(None if upper == math.inf else upper)
        if integral:
            column.domain = pyo.Integers
    starts, where, values = a.matrix.indptr.tolist(), a.matrix.indices.tolist(), a.matrix.data.tolist()
    model.rows = pyo.ConstraintList()
    for row, (lower, upper) in enumerate(zip(a.row_lower.tolist(), a.row_upper.tolist(), strict=True)):
        first, last = starts[row], starts[row + 1]
        if first == last or (lower == -math.inf and upper == math.inf):
            continue
        body = LinearExpression(linear_coefs=values[first:last], linear_vars=[columns[i] for i in where[first:last]])
        if lower == upper:
            model.rows.add(body == lower)
        else:
            model.rows.add((None if lower == -math.inf else lower, body, None if upper == math.inf else upper))
    # Columns without a cost are in the objective too, since interfaces fail on a model without any column.
    model.goal = pyo.Objective(expr=LinearExpression(linear_coefs=(a.sense * a.cost).tolist(), linear_vars=columns))
    return model


class _Quiet:
    """Keeps off the user's streams what Pyomo and its interfaces print and log about a solve."""

    def __enter__(self) -> None:
        from pyomo.common.log import LoggingIntercept
        from pyomo.common.tee import capture_output

        self._parts = [LoggingIntercept(io.StringIO(), "pyomo"), capture_output(io.StringIO())]
        for part in self._parts:
            part.__enter__()

    def __exit__(self, *error: Any) -> None:
        for part in reversed(self._parts):
            part.__exit__(*error)
