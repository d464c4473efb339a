"""Solves an instance by any backend; cross-entropy by outer approximation, with a certified gap (FORMULATION.md 5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from oamip_model.errors import InputError
from oamip_model.formulation.objective import tangents
from oamip_model.network.ops import Array
from oamip_model.solving.compile import Compiled
from oamip_model.solving.hull_rounds import HullRounds
from oamip_model.solving.point import complete_point, losses
from oamip_model.solving.protocol import (
    ABSOLUTE_GAP,
    DEFAULT_FEASIBILITY,
    Arrays,
    Backend,
    Capability,
    Options,
    Session,
    Solution,
    Status,
    append_rows,
)
from oamip_model.solving.registry import get_backend, open_session
from oamip_model.solving.searches import SEARCHES
from oamip_model.solving.tree import Tree

FEASIBLE = 1e-6
"""A point that a forward pass gives is taken as incumbent if it breaks no row by more than this."""
_SETTLED = 0.1
"""Share of the tolerance below which the loss of an image needs no further tangent."""
_POLISH = 50
"""Linear programs at most with the states of one incumbent held."""
_STALL = 50
"""Rounds in a row in which the bound did not move, after which the outer approximation gives up."""


@dataclass(frozen=True)
class InstanceSolution:
    """How an instance was solved, and what is proved. What is not known is None.

    scores: {group: (units,)}; logits: (n, classes) in the program; objective: of the incumbent with its exact loss;
    bound: lower bound of the program's optimum; loss: mean over images, unweighted (None for loss "margin");
    sparsity: the sparsity term; rounds: solves; cuts: rows added, tangents after the first ones and cuts of the
    relaxation "hull"; solver_seconds: inside the solver; first_bound: of the first solve, before any cut.
    """

    status: Status
    scores: dict[str, Array] | None
    logits: Array | None
    objective: float | None
    bound: float | None
    loss: float | None
    sparsity: float | None
    rounds: int
    cuts: int
    nodes: int | None
    seconds: float
    solver_seconds: float
    solver: str
    version: str
    message: str = ""
    interrupted: bool = False
    first_bound: float | None = None

    @property
    def gap(self) -> float | None:
        """Relative gap |objective - bound| / max(|objective|, 1e-10), 0 within ABSOLUTE_GAP; None where unknown."""
        if self.objective is None or self.bound is None:
            return None
        difference = abs(self.objective - self.bound)
        return 0.0 if difference <= ABSOLUTE_GAP else difference / max(abs(self.objective), 1e-10)


def solve_instance(
    instance: Any,
    solver: str | Backend = "highs",
    *,
    tolerance: float = 1e-4,
    time_limit: float | None = None,
    threads: int | None = 1,
    seed: int | None = 0,
    log_file: str | Path | None = None,
    start: Mapping[str, Array] | None = None,
    search: str = "solver",
    progress: Callable[[str], None] | None = None,
) -> InstanceSolution:
    """The solution of an instance of :func:`oamip_model.formulation.abstract_model`, within a relative gap of
    ``tolerance``.

    The loss "cross-entropy" is approximated from below by tangents, added at each solution until objective and bound
    meet; first on the relaxation, then on the integer program. The relaxation "hull" gets its cuts in the same rounds
    on the relaxation. Tangents, and cuts that are tight at its end, stay in the instance, and the solution is loaded
    into its variables. solver: a name or a backend; time_limit: seconds for everything; start: scores {group:
    (units,)} whose forward pass is the first incumbent, where it is feasible (in the sound gates it is, unless the loss
    is "margin"); search: "solver", the solver's own tree, anew in each round, or "tree", one tree of ours over linear
    programs, in whose nodes tangents and cuts of the relaxation "hull" are added (:mod:`oamip_model.solving.tree`), for
    programs with integral columns; progress: called with a line after each round. Ctrl-C ends the solve and gives back
    what is there.

    Raises InputError for an option that is not valid, SolverMissingError where the solver cannot be used.

    Example:
        >>> import numpy as np, torch, oamip_model as om
        >>> _ = torch.manual_seed(0)
        >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> instance = om.build_instance(om.read_network(module), np.ones((1, 2)), [0])
        >>> solution = solve_instance(instance)
        >>> solution.status.value, solution.gap < 1e-4
        ('optimal', True)
    """
    check_tolerance(tolerance)
    check_search(search)
    backend = get_backend(solver)
    rounds = _by_rounds(instance)
    # A little below the tolerance: solvers divide the gap by different numbers, and CBC states just what it was given.
    # What a solver may cheat by within its rows must be smaller than the gap that is to be proved.
    feasibility = None if tolerance >= 100 * DEFAULT_FEASIBILITY else max(tolerance / 100, 1e-9)
    options = Options(time_limit, tolerance * (0.5 if rounds else 0.9), threads, seed, _path(log_file), feasibility)
    run = Solve(instance, backend, options, tolerance, progress)
    if start is not None:
        run.begin(start)
    return run.run(search)


def check_tolerance(tolerance: Any) -> None:
    """Raise InputError unless the tolerance is a relative gap that a solve can reach."""
    if not isinstance(tolerance, Real) or not 0 < float(tolerance) < 1:
        raise InputError(f"tolerance: got {tolerance!r}, accepted is a relative gap between 0 and 1")


def check_search(search: Any) -> None:
    """Raise InputError unless this is the name of a search."""
    if search not in SEARCHES:
        raise InputError(f"search: got {search!r}, accepted are {', '.join(SEARCHES)}")


def _path(log_file: str | Path | None) -> Path | None:
    return None if log_file is None else Path(log_file)


def _by_rounds(instance: Any) -> bool:
    return hasattr(instance, "loss_tangents") and pyo_value(instance.weight) > 0


def pyo_value(parameter: Any) -> float:
    """Value of a scalar Pyomo parameter."""
    return float(parameter.value)


def states_held(arrays: Arrays, point: Array) -> Arrays:
    """The linear program that is left of ``arrays`` where every integral column has its value in ``point``.

    Example:
        >>> one = np.ones(2)
        >>> whole = Arrays(sp.csr_array([[1.0, 1.0]]), one, 0 * one, one, one[:1], one[:1], np.array([True, False]))
        >>> held = states_held(whole, np.array([0.9, 0.1]))
        >>> held.lower.tolist(), held.upper.tolist(), held.is_mip
        ([1.0, 0.0], [1.0, 1.0], False)
    """
    value = np.round(point)
    lower, upper = (np.where(arrays.integral, value, side) for side in (arrays.lower, arrays.upper))
    return replace(arrays, lower=lower, upper=upper, integral=np.zeros_like(arrays.integral))


class Solve:
    """An instance while it is being solved: its arrays, the best point so far, the bound proved so far."""

    def __init__(
        self,
        instance: Any,
        backend: Backend,
        options: Options,
        tolerance: float,
        progress: Callable[[str], None] | None,
    ) -> None:
        self.began = time.monotonic()
        self.instance, self.backend, self.options, self.tolerance = instance, backend, options, tolerance
        self.progress = progress
        known = instance.layout.value.cutoff
        self.cutoff = np.inf if known is None else float(known)
        self.compiled = Compiled(instance)
        self.arrays = self.compiled.arrays
        if self.arrays.sense != 1:
            raise InputError("objective: is maximised, solve_instance takes one that is minimised: change its sign")
        self.hull = HullRounds(instance, self.compiled) if hasattr(instance, "hull_cuts") else None
        self.stale = False
        self.s = self.compiled.columns(instance.s)
        self.o = self.compiled.columns(instance.o)
        states = [self.arrays.integral[self.compiled.columns(v)] for v in (instance.z, instance.q)]
        # A forward pass has integer ReLU states: where they are relaxed it is a worse point than the solver's.
        self.exact = self.arrays.is_mip and bool(np.concatenate(states).all())
        self.best: Array | None = None
        self.best_logits: Array | None = None
        self.objective: float | None = None
        self.bound = -np.inf
        self.first_bound: float | None = None
        self.rounds = self.cuts = 0
        self.tangents: list[tuple[sp.csr_array, Array, Array]] = []
        self.nodes: int | None = None
        self.solver_seconds = 0.0
        self.last: Solution | None = None
        self.stopped = ""

    def run(self, search: str = "solver") -> InstanceSolution:
        """Solve by the backend's own tree, or by ours, and say what was found."""
        if search == "tree" and self.arrays.is_mip:
            interrupted = False
            try:
                Tree(self).run()
            except KeyboardInterrupt:
                interrupted = True
            return self.result(interrupted)
        session = open_session(self.backend, self.arrays, self.options)
        interrupted = False
        try:
            if self.arrays.is_mip and (_by_rounds(self.instance) or self.hull is not None):
                self.outer(session, relaxed=True)
                session = self.without_slack(session)
            if self.stopped:
                pass
            elif _by_rounds(self.instance) or (self.hull is not None and not self.arrays.is_mip):
                self.outer(session, relaxed=False)
            else:
                self.one(session, relaxed=False)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            session.close()
        return self.result(interrupted)

    def left(self) -> float | None:
        """Seconds that are left, None without a limit."""
        limit = self.options.time_limit
        return None if limit is None else limit - (time.monotonic() - self.began)

    def gap(self) -> float:
        """The relative gap by now, inf where there is none."""
        if self.objective is None or not np.isfinite(self.bound):
            return np.inf
        # A bound above the objective is no proof of anything but a solver's mistake.
        difference = abs(self.objective - self.bound)
        return 0.0 if difference <= ABSOLUTE_GAP else difference / max(abs(self.objective), 1e-10)

    def one(self, session: Session, relaxed: bool) -> Solution | None:
        """One solve; None where no time is left."""
        left = self.left()
        if left is not None and left <= 0:
            self.stopped = "time limit"
            return None
        start = None if relaxed or not self.arrays.is_mip else self.start()
        solution = session.solve(start, relaxed=relaxed, time_limit=left)
        self.rounds += 1
        self.solver_seconds += solution.seconds
        self.last = solution
        if solution.nodes is not None:
            self.nodes = (self.nodes or 0) + solution.nodes
        if solution.bound is not None:
            # Bounds of a cutoff may forbid scores beyond it, so that no more than the cutoff itself is proved.
            self.bound = max(self.bound, min(solution.bound, self.cutoff))
            self.first_bound = self.bound if self.rounds == 1 and np.isfinite(self.bound) else self.first_bound
        if solution.x is not None and not (relaxed and self.arrays.is_mip):
            self.consider(solution.x)
        if solution.interrupted:
            raise KeyboardInterrupt
        if solution.status is not Status.OPTIMAL:
            self.stopped = solution.status.value
        if solution.status is Status.INFEASIBLE and self.cutoff < np.inf:
            self.stopped = f"infeasible within the bounds, which hold up to an objective of {self.cutoff:g} only"
        return solution

    def begin(self, scores: Mapping[str, Array]) -> None:
        """Take the forward pass of given scores as incumbent. Raises InputError where they do not fit the instance."""
        sizes = {g: int(self.instance.size[g]) for g in self.instance.GROUP}
        given = {g: np.asarray(values, dtype=np.float64) for g, values in scores.items()}
        if {g: values.shape for g, values in given.items()} != {g: (size,) for g, size in sizes.items()}:
            told = ", ".join(f"{g} {values.shape}" for g, values in given.items()) or "none"
            raise InputError(
                f"start: got {told}, needed are scores of {', '.join(f'{g} ({n},)' for g, n in sizes.items())}"
            )
        flat = np.clip(np.concatenate([given[g] for g in sizes]), 0.0, 1.0)
        point = complete_point(self.compiled, np.where(self.arrays.integral[self.s], np.round(flat), flat))
        if self.arrays.violation(point) <= FEASIBLE:
            self.best, self.objective, self.best_logits = point, self.arrays.objective(point), point[self.o].copy()

    def start(self) -> Array | None:
        """A feasible point to start from: the best so far, or the trained network itself, every score 1."""
        if Capability.MIP_START not in self.backend.capabilities:
            return None
        if self.best is not None:
            return self.best
        point = complete_point(self.compiled, np.ones(self.s.stop - self.s.start))
        return point if self.arrays.violation(point) <= FEASIBLE else None

    def consider(self, x: Array) -> None:
        """Take a solver's point as incumbent if it is better: as the forward pass of its scores where that is feasible.

        The solver's own point satisfies big-M rows within a tolerance only; the forward pass satisfies them exactly.
        """
        scores = np.clip(x[self.s], 0.0, 1.0)
        if self.exact:
            exact = complete_point(self.compiled, np.where(self.arrays.integral[self.s], np.round(scores), scores), x)
            candidates = [exact, self.lifted(x)] if self.arrays.violation(exact) <= FEASIBLE else [self.lifted(x)]
        else:
            candidates = [self.lifted(x)]
        point = candidates[0]
        value = self.arrays.objective(point)
        if self.objective is None or self.stale or value < self.objective:
            self.stale = False
            self.best, self.objective, self.best_logits = point, value, x[self.o].copy()

    def lifted(self, x: Array) -> Array:
        """x with the losses that its logits have."""
        if not hasattr(self.instance, "t"):
            return x
        y = x.copy()
        y[self.compiled.columns(self.instance.t)] = losses(self.instance, x[self.o])
        return y

    def outer(self, session: Session, relaxed: bool) -> None:
        """Rounds of outer approximation: solve, add tangents at the solution, until objective and bound meet."""
        stalled = 0
        while True:
            before = self.bound
            solution = self.one(session, relaxed)
            if solution is None or solution.x is None:
                return
            missing = self.missing(solution.x)
            weight = pyo_value(self.instance.weight)
            value = self.arrays.objective(self.lifted(solution.x))
            open_gap = weight * float(missing.mean()) / max(abs(value), 1e-10)
            self.report(relaxed, value if relaxed else self.objective)
            done = open_gap <= self.tolerance / 2 if relaxed and self.arrays.is_mip else self.gap() <= self.tolerance
            hull_cuts = 0 if self.stopped else self.cut_hull(session, solution.x, relaxed)
            if (done and not hull_cuts) or self.stopped:
                return
            needed = missing * weight > _SETTLED * self.tolerance * max(abs(value), 1e-10)
            stalled = stalled + 1 if self.bound <= before + 1e-12 * max(1.0, abs(before)) else 0
            if not hull_cuts and (not needed.any() or stalled >= _STALL):
                if not relaxed:
                    self.stopped = "the outer approximation stalled"
                return
            if needed.any():
                self.cut(session, solution.x[self.o], np.flatnonzero(needed))
            if not relaxed and self.arrays.is_mip:
                self.polish(session)

    def missing(self, x: Array) -> Array:
        """By how much the tangents fall short of the loss of each image at x, (n,)."""
        if not _by_rounds(self.instance):
            return np.zeros(len(self.instance.IMAGE))
        return losses(self.instance, x[self.o]) - x[self.compiled.columns(self.instance.t)]

    def cut_hull(self, session: Session, x: Array, relaxed: bool) -> int:
        """Add cuts of the relaxation "hull" that an optimum x of a linear program violates; returns how many."""
        if self.hull is None or (self.arrays.is_mip and not relaxed):
            return 0
        count = self.hull.add(session, x, self.bound)
        self.cuts += count
        # The incumbent of a linear program is none of the program with more cuts, and is replaced by the next.
        self.stale = count > 0 and not self.arrays.is_mip
        return count

    def without_slack(self, session: Session) -> Session:
        """A session for the integer program, without the cuts that are slack where the rounds ended."""
        x = None if self.last is None else self.last.x
        if self.hull is None or self.stopped or x is None or not self.hull.drop_slack(x):
            return session
        session.close()
        self.compiled = Compiled(self.instance)
        self.arrays, self.tangents = self.compiled.arrays, []
        return open_session(self.backend, self.arrays, self.options)

    def polish(self, session: Session) -> None:
        """Solve the program with the incumbent's ReLU states held, by linear programs, and share the tangents.

        Held states leave a convex program in the scores. Its optimum is a better incumbent, and tangents around it
        spare rounds of the integer program, each of which costs far more than all of these.
        """
        if self.best is None or bool(self.arrays.integral[self.s].all()):
            return
        whole = self.arrays
        for rows in self.tangents:
            whole = append_rows(whole, *rows)
        held = states_held(whole, self.best)
        t, weight = self.compiled.columns(self.instance.t), pyo_value(self.instance.weight)
        inner = open_session(self.backend, held, self.options)
        try:
            for _ in range(_POLISH):
                left = self.left()
                if left is not None and left <= 0:
                    return
                solution = inner.solve(time_limit=left)
                self.solver_seconds += solution.seconds
                if solution.interrupted:
                    raise KeyboardInterrupt
                if solution.status is not Status.OPTIMAL or solution.x is None:
                    return
                self.consider(solution.x)
                missing = weight * (losses(self.instance, solution.x[self.o]) - solution.x[t])
                needed = missing > _SETTLED * self.tolerance * max(abs(self.objective or 0.0), 1e-10)
                if not needed.any():
                    return
                self.cut(session, solution.x[self.o], np.flatnonzero(needed))
                inner.add_rows(*self.tangents[-1])
        finally:
            inner.close()

    def cut(self, session: Session, logits: Array, images: Any) -> None:
        """Add the tangents of some images at logits (n x classes,)."""
        points = logits.reshape(-1, len(self.instance.CLASS))[images]
        rows = tangents(self.instance, points, images, first=len(self.instance.loss_tangents.rows.names))
        self.instance.loss_tangents.append(rows)
        self.tangents.append((self.compiled.rows(rows), rows.lower, rows.upper))
        session.add_rows(*self.tangents[-1])
        self.cuts += len(images)

    def report(self, relaxed: bool, value: float | None) -> None:
        """A line about a round."""
        if self.progress is None:
            return
        shown = "none" if value is None else f"{value:.6g}"
        kind = "relaxation" if relaxed else "program"
        self.progress(f"round {self.rounds} ({kind}): objective {shown}, bound {self.bound:.6g}")

    def report_tree(self, nodes: int, waiting: int) -> None:
        """A line about the search tree."""
        if self.progress is not None:
            shown = "none" if self.objective is None else f"{self.objective:.6g}"
            self.progress(f"node {nodes} ({waiting} open): objective {shown}, bound {self.bound:.6g}")

    def result(self, interrupted: bool) -> InstanceSolution:
        """What was found, with the best point loaded into the instance."""
        status = self.status(interrupted)
        scores = logits = loss = sparsity = None
        if self.best is not None and self.objective is not None:
            self.compiled.load(self.best)
            scores = self.scores(np.clip(self.best[self.s], 0.0, 1.0))
            assert self.best_logits is not None
            logits = self.best_logits.reshape(-1, len(self.instance.CLASS))
            sparsity = self.objective
            if hasattr(self.instance, "t"):
                loss = float(self.best[self.compiled.columns(self.instance.t)].mean())
                sparsity = self.objective - pyo_value(self.instance.weight) * loss
        message = self.stopped or (self.last.message if self.last is not None else "")
        bound = float(self.bound) if np.isfinite(self.bound) else None
        return InstanceSolution(
            status, scores, logits, self.objective, bound, loss, sparsity,
            self.rounds, self.cuts, self.nodes, time.monotonic() - self.began, self.solver_seconds,
            self.backend.name, self.backend.version(), message, interrupted, self.first_bound,
        )  # fmt: skip

    def status(self, interrupted: bool) -> Status:
        """How the solve ended."""
        if self.objective is not None:
            return Status.OPTIMAL if self.gap() <= self.tolerance else Status.FEASIBLE
        if self.last is not None and self.last.status is Status.INFEASIBLE:
            # Within a cutoff only: there may be scores beyond it.
            return Status.INFEASIBLE if self.cutoff == np.inf else Status.NO_SOLUTION
        if self.last is not None and self.last.status in (Status.UNBOUNDED, Status.ERROR):
            return self.last.status
        return Status.NO_SOLUTION

    def scores(self, flat: Array) -> dict[str, Array]:
        """Scores by group from one vector (units,)."""
        sizes = [int(self.instance.size[g]) for g in self.instance.GROUP]
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return {g: part.copy() for g, part in zip(self.instance.GROUP, parts, strict=True)}
