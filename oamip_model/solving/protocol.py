"""What a solver is given and what it gives back.

Backends import this file and nothing else of the package.

A backend is a class with ``name``, ``capabilities``, ``check``, ``version`` and ``solve``; third parties add one by the
entry-point group ``oamip_model.backends`` (see docs/how-to/backends.md). One that can keep a model between solves
also has ``session``; for the others :class:`oamip_model.solving.rebuild.RebuildSession` passes the whole model each
time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Integral
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.errors import InputError, LicenceError, SolverError, SolverMissingError

__all__ = [
    "ABSOLUTE_GAP", "DEFAULT_FEASIBILITY", "DEFAULT_GAP", "Array", "Arrays", "Backend", "Capability", "CostSession",
    "InputError", "LicenceError", "Options", "Session", "Solution", "SolverError", "SolverMissingError", "Status",
    "TreeSession", "append_rows", "check_bounds", "check_options", "check_seconds",
]  # fmt: skip

Array: TypeAlias = NDArray[np.float64]

# One meaning of "optimal" for all solvers: their own defaults run from 0 to 1e-4.
DEFAULT_GAP = 1e-6
ABSOLUTE_GAP = 1e-9
# Big-M rows let a solver hide a wrong ReLU state within its tolerance, so the default is tighter than the solvers' own.
DEFAULT_FEASIBILITY = 1e-7


class Status(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    """Stopped early with a feasible point."""
    NO_SOLUTION = "no solution"
    """Stopped early without a feasible point."""
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    ERROR = "error"


class Capability(StrEnum):
    """What a backend can do beyond solving; an option that needs more is refused."""

    MIP_START = "mip-start"
    CUT_ROUNDS = "cut-rounds"
    """Adds rows to a loaded model without passing it again."""
    THREADS = "threads"
    SEED = "seed"
    LOG_FILE = "log-file"
    INTERRUPT = "interrupt"
    """Ctrl-C ends the solve and gives back what it has."""
    DUAL_BOUND = "dual-bound"
    """Reports a bound also where it stops early."""
    COST_CHANGE = "cost-change"
    """Takes new costs for a loaded model, and goes on from its last basis: its session is a CostSession."""
    BOUND_CHANGE = "bound-change"
    """Takes new bounds of columns, drops added rows, and goes on from its last basis: its session is a TreeSession."""
    INTERIOR_POINT = "interior-point"
    """Solves linear programs by an interior point method where that is asked for."""


@dataclass(frozen=True)
class Arrays:
    """A mixed-integer linear program as arrays, with the objective cost @ x + offset.

    It is minimised (``sense`` 1) or maximised (-1).

    Subject to row_lower <= matrix @ x <= row_upper, lower <= x <= upper and x integer where ``integral``.
    matrix: csr (rows, columns); cost, lower, upper: (columns,); integral: (columns,) bool; row_lower, row_upper:
    (rows,). Infinite bounds are +-inf.
    """

    matrix: sp.csr_array
    cost: Array
    lower: Array
    upper: Array
    row_lower: Array
    row_upper: Array
    integral: NDArray[np.bool_]
    offset: float = 0.0
    sense: int = 1

    @property
    def is_mip(self) -> bool:
        """Whether any column is integral."""
        return bool(self.integral.any())

    def objective(self, x: Array) -> float:
        """The objective cost @ x + offset."""
        return float(self.cost @ x) + self.offset

    def violation(self, x: Array) -> float:
        """Largest violation of a row, bound or integrality by x (columns,), absolute."""
        activity = self.matrix @ x
        parts = [self.row_lower - activity, activity - self.row_upper, self.lower - x, x - self.upper]
        parts.append(np.abs(x - np.round(x))[self.integral])
        return max((float(part.max()) for part in parts if part.size), default=0.0)


def append_rows(arrays: Arrays, rows: sp.csr_array, lower: Array, upper: Array) -> Arrays:
    """``arrays`` with rows appended: lower <= rows @ x <= upper."""
    return Arrays(
        sp.csr_array(sp.vstack([arrays.matrix, rows], format="csr")), arrays.cost, arrays.lower, arrays.upper,
        np.concatenate([arrays.row_lower, lower]), np.concatenate([arrays.row_upper, upper]),
        arrays.integral, arrays.offset, arrays.sense,
    )  # fmt: skip


def check_bounds(lower: Array, upper: Array, columns: int) -> None:
    """Raise InputError unless these are bounds of so many columns that do not cross."""
    if lower.shape != (columns,) or upper.shape != (columns,) or not (lower <= upper).all():
        raise InputError(
            f"bounds: got shapes {lower.shape} and {upper.shape}, accepted are {columns} each, lower <= upper"
        )


def check_seconds(name: str, given: float | None) -> None:
    """Raise InputError unless this is a number of seconds above 0, or None."""
    if given is not None and not 0 < given < math.inf:
        raise InputError(f"{name}: got {given}, accepted is a number of seconds > 0")


def _is_count(given: object, least: int) -> bool:
    return given is None or (isinstance(given, Integral) and least <= int(given) < 2**31)


@dataclass(frozen=True)
class Options:
    """How to solve.

    time_limit: seconds, None for no limit; gap: relative MIP gap at which a solve is called optimal, None for
    DEFAULT_GAP (except through Pyomo, an absolute gap of ABSOLUTE_GAP stops it as well); threads: threads of the
    solver, None for the solver's own choice; seed: random seed, None for the solver's own; log_file: where the
    solver's log is appended; feasibility: tolerance of rows, bounds and integrality, None for DEFAULT_FEASIBILITY;
    interior_point: linear programs are solved by an interior point method, and without presolve, so that the answer is
    a second opinion on what the solver says otherwise.
    """

    time_limit: float | None = None
    gap: float | None = None
    threads: int | None = 1
    seed: int | None = 0
    log_file: Path | None = None
    feasibility: float | None = None
    interior_point: bool = False

    def __post_init__(self) -> None:
        check_seconds("time_limit", self.time_limit)
        checks = (
            ("gap", self.gap, self.gap is None or 0 <= self.gap < math.inf, "a relative gap >= 0"),
            ("threads", self.threads, _is_count(self.threads, 1), "a number of threads >= 1"),
            ("seed", self.seed, _is_count(self.seed, 0), "an integer from 0 to 2**31 - 1"),
            (
                "feasibility", self.feasibility,
                self.feasibility is None or 1e-9 <= self.feasibility <= 1e-3, "a tolerance from 1e-9 to 1e-3",
            ),
        )  # fmt: skip
        for name, given, valid, accepted in checks:
            if not valid:
                raise InputError(f"{name}: got {given}, accepted is {accepted}")


@dataclass(frozen=True)
class Solution:
    """What a solver said. What it did not say is None, never 0.

    x: (columns,) the incumbent; objective: its objective, computed by us; bound: the dual bound (a lower bound when
    minimising); nodes: branch-and-bound nodes; seconds: wall clock of the solve; interrupted: stopped by Ctrl-C;
    row_duals: (rows,) of a linear program solved to optimality, where the solver gives them: the derivative of the
    objective by the active row bound, also when maximising; certified: the bound follows from such duals, rounding
    included, and is no claim of the solver's; ray: (rows,) multipliers of the rows of an infeasible linear program that
    show why there is no point, where the solver gives them.
    """

    status: Status
    solver: str
    version: str
    x: Array | None = None
    objective: float | None = None
    bound: float | None = None
    nodes: int | None = None
    seconds: float = 0.0
    message: str = ""
    interrupted: bool = False
    row_duals: Array | None = field(default=None, repr=False)
    certified: bool = False
    ray: Array | None = field(default=None, repr=False)

    @property
    def gap(self) -> float | None:
        """Relative gap |objective - bound| / max(|objective|, 1e-10), None if unknown.

        >>> Solution(Status.FEASIBLE, "highs", "1", objective=2.0, bound=1.5).gap
        0.25
        """
        if self.objective is None or self.bound is None or not math.isfinite(self.bound):
            return None
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-10)


@runtime_checkable
class Session(Protocol):
    """A model that is solved, given more rows, and solved again."""

    def solve(self, start: Array | None = None, *, relaxed: bool = False, time_limit: float | None = None) -> Solution:
        """Solve from a feasible point ``start`` (columns,), perhaps ``relaxed``.

        time_limit: seconds.
        """

    def add_rows(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add lower <= rows @ x <= upper to the model."""

    def close(self) -> None:
        """Free the solver."""


class CostSession(Session, Protocol):
    """A session whose costs can be changed, for many objectives over the same rows."""

    def set_cost(self, cost: Array) -> None:
        """Replace the costs, (columns,), but neither the sense nor the offset."""


class TreeSession(Session, Protocol):
    """A session for a search tree over one program."""

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """Replace the columns' bounds, (columns,) each; InputError where they cross."""

    def keep_rows(self, keep: NDArray[np.bool_]) -> None:
        """Drop the added rows, (rows added,) in their order, that are not kept."""

    def basis(self) -> object:
        """The basis of the last linear program, None where the solver gives none."""

    def set_basis(self, basis: object) -> None:
        """Go on from a basis of this session; since then no rows may have come or gone."""


class Backend(Protocol):
    """One solver; ``solve`` raises only for what it cannot do, never for an outcome."""

    @property
    def name(self) -> str:
        """What users call it, such as highs."""

    @property
    def licence(self) -> str:
        """The licence of the solver."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do beyond solving."""

    def check(self) -> None:
        """Raise SolverMissingError, with what to install, where it cannot be used."""

    def version(self) -> str:
        """The solver's own version."""

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch."""


def check_options(backend: Backend, options: Options, start: Array | None = None) -> None:
    """Raise InputError for an option, or a start, that the backend cannot take.

    The defaults, threads=1 and seed=0, suit every backend.
    """
    needs = (
        ("threads", options.threads, Capability.THREADS, options.threads in (None, 1)),
        ("seed", options.seed, Capability.SEED, options.seed in (None, 0)),
        ("log_file", options.log_file, Capability.LOG_FILE, options.log_file is None),
        ("interior_point", options.interior_point, Capability.INTERIOR_POINT, not options.interior_point),
        ("start", "a point", Capability.MIP_START, start is None),
    )
    for name, given, capability, idle in needs:
        if not idle and capability not in backend.capabilities:
            raise InputError(f"{name}: got {given}, but the backend {backend.name} cannot take it (no {capability})")
