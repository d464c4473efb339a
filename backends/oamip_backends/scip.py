"""SCIP, in memory through pyscipopt.

Rows are added to the original problem between solves.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import closing
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_backends.shared.faults import STANDARD_ERROR, failure
from oamip_backends.shared.handover import Limits
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
    Status,
)

_ENDED = {
    "optimal": Status.OPTIMAL,
    "gaplimit": Status.OPTIMAL,
    "infeasible": Status.INFEASIBLE,
    "unbounded": Status.UNBOUNDED,
    "timelimit": Status.FEASIBLE,
    "userinterrupt": Status.FEASIBLE,
    "terminate": Status.FEASIBLE,
    "memlimit": Status.FEASIBLE,
}

_LIMITS = Limits("scip", dropped=1e-9, largest=1e15, dropped_cost=1e-9, largest_cost=1e20)
"""SCIP leaves out coefficients up to its epsilon, and calls those from 1e15 on "huge values"."""
_MARKS = ("ERROR: ", "WARNING: ")
"""Marks of the lines that SCIP writes to standard error."""


class Scip:
    """SCIP (Apache-2.0), a solver for linear and mixed-integer programs.

    It uses one thread.
    """

    name: ClassVar[str] = "scip"
    licence: ClassVar[str] = "Apache-2.0"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability) - {
        Capability.THREADS,
        Capability.COST_CHANGE,
        Capability.BOUND_CHANGE,
        Capability.INTERIOR_POINT,
    }

    def check(self) -> None:
        """Raise SolverMissingError where pyscipopt cannot be imported.

        See :meth:`Backend.check`.
        """
        try:
            import pyscipopt  # noqa: F401
        except ImportError as error:
            raise SolverMissingError(f"scip: pyscipopt cannot be imported ({error}): pip install pyscipopt") from None

    def version(self) -> str:
        """The version of SCIP, such as 10.0.0. See :meth:`Backend.version`."""
        from pyscipopt import Model

        model = Model()
        return f"{model.getMajorVersion()}.{model.getMinorVersion()}.{model.getTechVersion()}"

    def session(self, arrays: Arrays, options: Options) -> ScipSession:
        """A session that keeps the original problem.

        Each solve presolves and branches from scratch.

        Parameters
        ----------
        arrays : Arrays
            The program.
        options : Options
            Limits, seed and log file.

        Returns
        -------
        ScipSession
            The session.
        """
        self.check()
        return ScipSession(self, arrays, options)

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch. See :meth:`Backend.solve`."""
        with closing(self.session(arrays, options)) as session:
            return session.solve(start)


class ScipSession(CheckedSession):
    """One model in SCIP.

    Parameters
    ----------
    backend, arrays, options
        As for :class:`~oamip_backends.shared.session.CheckedSession`.
    """

    def __init__(self, backend: Scip, arrays: Arrays, options: Options) -> None:
        super().__init__(backend, arrays, options)
        from pyscipopt import Expr, Model
        from pyscipopt.scip import ExprCons, Term

        self._expr, self._row, self._term = Expr, ExprCons, Term
        self._model: Any = Model()
        self._relaxed = False
        self._set_options()
        self.hand_over(self._load)

    def limits(self) -> Limits:
        """The numbers that SCIP takes unchanged. See :meth:`CheckedRun.limits`."""
        return _LIMITS

    def hand_over(self, give: Callable[[], None]) -> None:
        """Give something to SCIP, and keep its lines off standard error.

        See :meth:`CheckedRun.hand_over`.
        """
        with STANDARD_ERROR.caught(_MARKS):
            super().hand_over(give)

    def _set_options(self) -> None:
        given, model = self.options, self._model
        model.hideOutput()
        if given.log_file is not None:
            model.setLogfile(str(given.log_file))
        model.setParam("limits/gap", float(DEFAULT_GAP if given.gap is None else given.gap))
        model.setParam("limits/absgap", ABSOLUTE_GAP)
        tolerance = DEFAULT_FEASIBILITY if given.feasibility is None else given.feasibility
        model.setParam("numerics/feastol", float(tolerance))
        if given.seed is not None:
            model.setParam("randomization/randomseedshift", int(given.seed))

    def _load(self) -> None:
        a, model = self.arrays, self._model
        if a.sense == -1:
            model.setMaximize()
        model.addObjoffset(a.offset)
        self._kinds = self._kinds_of(a)
        columns = zip(a.lower.tolist(), a.upper.tolist(), a.cost.tolist(), self._kinds, strict=True)
        self._columns = [
            model.addVar(
                lb=None if lower == -np.inf else lower, ub=None if upper == np.inf else upper, obj=cost, vtype=kind
            )
            for lower, upper, cost, kind in columns
        ]
        self._terms = [self._term(column) for column in self._columns]
        self._add(a.matrix, a.row_lower, a.row_upper)

    def _kinds_of(self, a: Arrays) -> list[str]:
        binary = a.integral & (a.lower >= 0.0) & (a.upper <= 1.0)
        return [str(kind) for kind in np.where(binary, "B", np.where(a.integral, "I", "C"))]

    def _add(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        starts, where, values = rows.indptr.tolist(), rows.indices.tolist(), rows.data.tolist()
        # Every row is a dictionary of new objects, which the garbage collector would scan many times.
        collecting = gc.isenabled()
        gc.disable()
        try:
            for row, (low, high) in enumerate(zip(lower.tolist(), upper.tolist(), strict=True)):
                inside = slice(starts[row], starts[row + 1])
                terms = dict(zip([self._terms[i] for i in where[inside]], values[inside], strict=True))
                if low == -np.inf and high == np.inf:
                    continue
                expression = self._expr(terms or {self._terms[0]: 0.0})
                self._model.addCons(
                    self._row(expression, lhs=None if low == -np.inf else low, rhs=None if high == np.inf else high)
                )
        finally:
            if collecting:
                gc.enable()

    def append(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows to the original problem. See :meth:`CheckedSession.append`."""
        self._model.freeTransform()
        self._add(rows, lower, upper)

    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Solve, and give SCIP's answer. See :meth:`CheckedRun.run`."""
        model = self._model
        model.freeTransform()
        if relaxed != self._relaxed:
            for column, kind in zip(self._columns, self._kinds, strict=True):
                if kind != "C":
                    model.chgVarType(column, "C" if relaxed else kind)
            self._relaxed = relaxed
        model.setParam("limits/time", 1e20 if time_limit is None else min(float(time_limit), 1e20))
        is_mip = self.arrays.is_mip and not relaxed
        if start is not None and is_mip:
            point = model.createSol()
            for column, value in zip(self._columns, start.tolist(), strict=True):
                model.setSolVal(point, column, value)
            model.addSol(point, free=True)
        with STANDARD_ERROR.caught(_MARKS):
            try:
                model.optimize()
            except Exception as error:  # pyscipopt raises bare Exceptions, such as "SCIP: error in LP solver!"
                return self._left_over(failure("scip", error))
            return self._read(is_mip)

    def _left_over(self, message: str) -> Outcome:
        """The incumbent of a solve that failed, which is checked. Its bound is not used."""
        outcome = Outcome(Status.ERROR, message=message)
        try:
            outcome.x = self._incumbent()
        except Exception:  # SCIP may be in a state in which nothing can be asked
            outcome.x = None
        if outcome.x is not None:
            outcome.status = Status.FEASIBLE
        return outcome

    def _incumbent(self) -> Array | None:
        if not self._model.getNSols():
            return None
        best = self._model.getBestSol()
        return np.array([self._model.getSolVal(best, column) for column in self._columns])

    def _read(self, is_mip: bool) -> Outcome:
        model = self._model
        ended = model.getStatus()
        outcome = Outcome(
            _ENDED.get(ended, Status.ERROR), interrupted=ended == "userinterrupt", timed_out=ended == "timelimit"
        )
        outcome.unclear = ended == "inforunbd"
        if outcome.status is Status.ERROR and not outcome.unclear:
            outcome.message = f"SCIP ended with status {ended}"
        if is_mip:
            outcome.nodes = int(model.getNTotalNodes())
        if outcome.status in (Status.OPTIMAL, Status.FEASIBLE):
            bound = float(model.getDualbound())
            outcome.bound = bound if abs(bound) < model.infinity() else None
            outcome.x = self._incumbent()
        return outcome

    def close(self) -> None:
        """Free SCIP's problem, and close its log. See :meth:`Session.close`."""
        self._model.setLogfile(None)
        self._model.freeProb()
        self._columns, self._terms = [], []
