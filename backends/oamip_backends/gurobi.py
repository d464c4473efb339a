"""Gurobi, in memory through the matrix interface of gurobipy.

The model is kept between solves.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_backends.shared.handover import Limits
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
    LicenceError,
    Options,
    Solution,
    SolverError,
    SolverMissingError,
    Status,
)

_TOO_LARGE = 10010  # GRB_ERROR_SIZE_LIMIT_EXCEEDED
_LINEAR = Limits("gurobi", dropped=1e-13, largest=1e15, dropped_cost=1e-13, largest_cost=1e20)
_INTEGER = Limits("gurobi", dropped=1e-10, largest=1e15, dropped_cost=1e-10, largest_cost=1e20)
"""Seen with 13.0.3: coefficients up to 1e-13 are left out. In a mixed-integer program columns count up to about 1e8
only, so that coefficients of 2e-11 lose nearly all of their effect."""
_BARRIER = 2
"""Gurobi's number for its interior point method. The crossover after it gives a basis and exact duals."""
_LARGEST_SEED = 2_000_000_000
"""Largest seed that Gurobi takes. Larger ones are reduced modulo this."""


class Gurobi:
    """Gurobi (commercial), a solver for linear and mixed-integer programs.

    The licence that comes with gurobipy is limited in size.
    """

    name: ClassVar[str] = "gurobi"
    licence: ClassVar[str] = "commercial; the one in gurobipy allows 2000 rows and 2000 columns"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability) - {Capability.BOUND_CHANGE}

    def check(self) -> None:
        """Raise SolverMissingError where gurobipy or its licence is missing.

        See :meth:`Backend.check`.
        """
        try:
            import gurobipy  # noqa: F401
        except ImportError as error:
            raise SolverMissingError(f"gurobi: gurobipy cannot be imported ({error}): pip install gurobipy") from None
        _environment().close()

    def version(self) -> str:
        """The version of Gurobi, such as 13.0.3. See :meth:`Backend.version`."""
        import gurobipy

        return ".".join(str(part) for part in gurobipy.gurobi.version())

    def session(self, arrays: Arrays, options: Options) -> GurobiSession:
        """A session that keeps the model, and what Gurobi can reuse, between solves.

        Parameters
        ----------
        arrays : Arrays
            The program.
        options : Options
            Limits, threads, seed and log file.

        Returns
        -------
        GurobiSession
            The session.
        """
        return GurobiSession(self, arrays, options)

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch. See :meth:`Backend.solve`.

        Raises
        ------
        LicenceError
            For a model above the size of the licence.
        """
        with closing(self.session(arrays, options)) as session:
            return session.solve(start)


def _environment() -> Any:
    import gurobipy

    environment = gurobipy.Env(empty=True)
    environment.setParam("OutputFlag", 0)
    try:
        environment.start()
    except gurobipy.GurobiError as error:
        environment.close()
        raise LicenceError(
            f"gurobi: no usable licence ({str(error).strip()}): install one, or choose --solver highs"
        ) from None
    return environment


class GurobiSession(CheckedSession):
    """One model in Gurobi.

    Parameters
    ----------
    backend, arrays, options
        As for :class:`~oamip_backends.shared.session.CheckedSession`.
    """

    def __init__(self, backend: Gurobi, arrays: Arrays, options: Options) -> None:
        super().__init__(backend, arrays, options)
        import gurobipy

        self._lib: Any = gurobipy
        self._environment = _environment()
        self._model: Any = gurobipy.Model(env=self._environment)
        self._rows: list[tuple[int, list[tuple[Any, Any]]]] = []
        self._relaxed = False
        self._set_options()
        self.hand_over(self._load)

    def limits(self) -> Limits:
        """The numbers that Gurobi takes unchanged. See :meth:`CheckedRun.limits`."""
        return _INTEGER if self.arrays.is_mip else _LINEAR

    def _set_options(self) -> None:
        given = self.options
        tolerance = DEFAULT_FEASIBILITY if given.feasibility is None else given.feasibility
        values: dict[str, Any] = {
            "MIPGap": DEFAULT_GAP if given.gap is None else given.gap,
            "MIPGapAbs": ABSOLUTE_GAP,
            "FeasibilityTol": tolerance,
            "IntFeasTol": tolerance,
            # Bounds of linear programs are those that the duals prove, so the duals should be as accurate as possible.
            "OptimalityTol": 1e-9,
        }
        if given.threads is not None:
            values["Threads"] = int(given.threads)
        if given.interior_point:
            values |= {"Method": _BARRIER, "Presolve": 0}
        if given.seed is not None:
            values["Seed"] = int(given.seed) % _LARGEST_SEED
        if given.log_file is not None:
            values |= {"OutputFlag": 1, "LogToConsole": 0, "LogFile": str(given.log_file)}
        # LogToConsole has to come before OutputFlag, or the next parameters are announced on the console.
        for name in sorted(values, key=lambda name: name != "LogToConsole"):
            self._model.setParam(name, values[name])

    def _load(self) -> None:
        a = self.arrays
        kinds = np.where(a.integral, "I", "C")
        self._x = self._model.addMVar(len(a.cost), lb=a.lower, ub=a.upper, obj=a.cost, vtype=kinds)
        self._model.ModelSense = a.sense
        self._model.ObjCon = a.offset
        self.append(a.matrix, a.row_lower, a.row_upper)

    def append(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows. A ranged row becomes two. See :meth:`CheckedSession.append`."""
        equal = lower == upper
        parts = (
            ("=", equal, upper),
            ("<", ~equal & np.isfinite(upper), upper),
            (">", ~equal & np.isfinite(lower), lower),
        )
        made: list[tuple[Any, Any]] = []
        for sense, chosen, side in parts:
            if chosen.any():
                at = np.flatnonzero(chosen)
                made.append((self._model.addMConstr(rows[at], self._x, sense, side[at]), at))
        self._rows.append((rows.shape[0], made))

    def set_cost(self, cost: Array) -> None:
        """Replace the costs. Primal simplex continues from the last basis.

        See :meth:`CostSession.set_cost`.
        """
        new = self.new_cost(cost)
        self.hand_over(lambda: setattr(self._x, "Obj", new))

    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Solve, and give Gurobi's answer. See :meth:`CheckedRun.run`."""
        if relaxed != self._relaxed and self.arrays.is_mip:
            self._x.VType = np.where(self.arrays.integral & (not relaxed), "I", "C")
        self._relaxed = relaxed
        is_mip = self.arrays.is_mip and not relaxed
        if is_mip:
            self._x.Start = np.full(len(self.arrays.cost), self._lib.GRB.UNDEFINED) if start is None else start
        self._model.setParam("TimeLimit", self._lib.GRB.INFINITY if time_limit is None else time_limit)
        with Interrupts() as interrupts:
            try:
                self._model.optimize(lambda model, where: model.terminate() if interrupts.pressed else None)
            except self._lib.GurobiError as error:
                raise self._explained(error) from None
        return self._read(is_mip)

    def _explained(self, error: Any) -> Exception:
        model = self._model
        if error.errno == _TOO_LARGE:
            return LicenceError(
                f"gurobi: the model has {model.NumConstrs} rows (a ranged one is two) and {model.NumVars} columns, and "
                "the licence bundled with gurobipy stops at 2000 of each: install a full licence, or choose "
                "--solver highs"
            )
        return SolverError(f"gurobi: {str(error).strip()} (error {error.errno})")

    def _read(self, is_mip: bool) -> Outcome:
        model, codes = self._model, self._lib.GRB
        ended = {
            codes.OPTIMAL: Status.OPTIMAL,
            codes.INFEASIBLE: Status.INFEASIBLE,
            codes.UNBOUNDED: Status.UNBOUNDED,
            codes.TIME_LIMIT: Status.FEASIBLE,
            codes.INTERRUPTED: Status.FEASIBLE,
            codes.MEM_LIMIT: Status.FEASIBLE,
            codes.SUBOPTIMAL: Status.FEASIBLE,
        }
        code = model.Status
        outcome = Outcome(ended.get(code, Status.ERROR), interrupted=code == codes.INTERRUPTED)
        outcome.timed_out = code == codes.TIME_LIMIT
        outcome.unclear = code == codes.INF_OR_UNBD
        if outcome.status is Status.ERROR and not outcome.unclear:
            outcome.message = f"Gurobi ended with status {code}"
        if is_mip:
            outcome.nodes = int(model.NodeCount)
        if outcome.status in (Status.OPTIMAL, Status.FEASIBLE):
            if model.SolCount:
                outcome.x = np.asarray(self._x.X)
            if is_mip:
                outcome.bound = float(model.ObjBound)
            elif outcome.status is Status.OPTIMAL:
                outcome.bound = float(model.ObjVal)
                outcome.row_duals = self._duals()
        return outcome

    def _duals(self) -> Array:
        blocks = []
        for count, made in self._rows:
            duals = np.zeros(count)
            for rows, at in made:
                duals[at] += np.asarray(rows.Pi)
            blocks.append(duals)
        return np.concatenate(blocks) if blocks else np.zeros(0)

    def close(self) -> None:
        """Free the model, and return the licence. See :meth:`Session.close`."""
        self._model.dispose()
        self._environment.dispose()
