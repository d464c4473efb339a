"""Solves an instance in rounds of tangents, and of cuts of the relaxation "hull".

Each round is a solve by the backend's own tree.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps import Array
from oamip_model.runs.events import Listener
from oamip_model.solving.hull_rounds import HullRounds
from oamip_model.solving.options import TreeSearch
from oamip_model.solving.protocol import Arrays, Backend, Capability, Options, Session, Solution, Status, append_rows
from oamip_model.solving.registry import open_session
from oamip_model.solving.solution import InstanceSolution
from oamip_model.solving.state import OUT_OF_TIME, SolveState
from oamip_model.solving.treesearch.added import NO_TANGENTS, Tangents
from oamip_model.solving.treesearch.tree import Tree

_SETTLED = 0.1
"""Share of the tolerance up to which an image's loss may exceed its tangents without a further one."""
_POLISH = 50
"""Linear programs at most that improve one incumbent with its ReLU states fixed."""
_SLOW, _SLOWS = 1e-3, 3
"""They end when so many in a row have each raised their optimum by less than this share of the tolerance."""
_STALL = 50
"""Rounds in a row without a better dual bound, after which the outer approximation ends."""
_REPEATED = 3
"""Such rounds in a row with the same whole scores, after which it ends as well."""


def states_held(arrays: Arrays, point: Array) -> Arrays:
    """The program in which every integral column is fixed at its value in a point.

    Parameters
    ----------
    arrays : Arrays
        A mixed-integer program.
    point : array
        A point (columns,), whose integral columns are rounded.

    Returns
    -------
    Arrays
        A linear program with the same columns.

    Examples
    --------
    >>> one = np.ones(2)
    >>> whole = Arrays(sp.csr_array([[1.0, 1.0]]), one, 0 * one, one, one[:1], one[:1], np.array([True, False]))
    >>> held = states_held(whole, np.array([0.9, 0.1]))
    >>> held.lower.tolist(), held.upper.tolist(), held.is_mip
    ([1.0, 0.0], [1.0, 1.0], False)
    """
    value = np.round(point)
    lower, upper = (np.where(arrays.integral, value, side) for side in (arrays.lower, arrays.upper))
    return replace(arrays, lower=lower, upper=upper, integral=np.zeros_like(arrays.integral))


class Rounds(SolveState):
    """The solve of an instance in rounds, each of which is a solve by the backend.

    Parameters
    ----------
    instance, backend, options, tolerance, progress
        As for :class:`~oamip_model.solving.state.SolveState`.
    """

    def __init__(
        self, instance: Any, backend: Backend, options: Options, tolerance: float, progress: Listener | None
    ) -> None:
        super().__init__(instance, backend, options, tolerance, progress)
        self.hull = HullRounds(self.program, self.compiled) if self.program.hull_cuts is not None else None
        self.tangents: list[tuple[sp.csr_array, Array, Array]] = []
        self.latest = NO_TANGENTS

    def run(self) -> InstanceSolution:
        """Solve the instance.

        Returns
        -------
        InstanceSolution
            The solution. After Ctrl-C it holds the incumbent and the bound so far.
        """
        session = open_session(self.backend, self.arrays, self.options)
        interrupted = False
        try:
            if self.arrays.is_mip and (self.program.by_rounds or self.hull is not None):
                self._outer(session, relaxed=True)
                session = self._without_slack(session)
            if self.stopped:
                pass
            elif self.program.by_rounds or (self.hull is not None and not self.arrays.is_mip):
                self._outer(session, relaxed=False)
            else:
                self._one(session, relaxed=False)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            session.close()
        if not interrupted and self._is_open():
            interrupted = self._continue_by_tree()
        return self.result(interrupted)

    def _is_open(self) -> bool:
        """Whether a mixed-integer program ended without a proof for another reason than its time."""
        left = self.left()
        if not self.arrays.is_mip or self.last is None or (left is not None and left <= 0):
            return False
        self.test_claims()
        infeasible = self.last.status is Status.INFEASIBLE and (self.objective is None or self.cutoff < np.inf)
        if infeasible or self.last.status is Status.UNBOUNDED:
            return False
        return self.gap() > self.tolerance

    def _continue_by_tree(self) -> bool:
        """Search for the proof by the package's own tree. Returns whether Ctrl-C was pressed.

        It starts with the tangents and the incumbent so far. Its linear programs are easier for a solver than the
        mixed-integer program.
        """
        why = self.stopped or f"{self.backend.name} did not close the gap"
        nodes, rounds, self.stopped, interrupted = self.nodes, self.rounds, "", False
        self.compile()
        try:
            Tree(self, TreeSearch()).run()
        except KeyboardInterrupt:
            interrupted = True
        self.nodes, self.rounds = (self.nodes or 0) + (nodes or 0), self.rounds + rounds
        if self.gap() <= self.tolerance:
            self.doubt, self.stopped = f"{why}; the package's search tree proved the optimum", ""
        else:
            self.stopped = f"{why}; the package's search tree found no proof either" + (
                f": {self.stopped}" if self.stopped else ""
            )
        return interrupted

    def _one(self, session: Session, relaxed: bool) -> Solution | None:
        """The solution of one round, None where no time is left."""
        left = self.left()
        if left is not None and left <= 0:
            self.stopped = OUT_OF_TIME
            return None
        start = None if relaxed or not self.arrays.is_mip else self._start()
        solution = session.solve(start, relaxed=relaxed, time_limit=left)
        self.rounds += 1
        self.solver_seconds += solution.seconds
        self.last = solution
        if solution.nodes is not None:
            self.nodes = (self.nodes or 0) + solution.nodes
        if solution.bound is not None:
            self.prove(solution.bound, solution.certified)
            self.first_bound = self.bound if self.rounds == 1 and np.isfinite(self.bound) else self.first_bound
        if solution.x is not None and not (relaxed and self.arrays.is_mip):
            self.consider(solution.x)
        if solution.interrupted:
            raise KeyboardInterrupt
        if solution.status is not Status.OPTIMAL:
            self.stopped = solution.message or solution.status.value
        if solution.status is Status.INFEASIBLE and self.cutoff < np.inf:
            self.stopped = f"the program is infeasible, but its bounds hold for objectives up to {self.cutoff:g} only"
        elif solution.status is Status.INFEASIBLE:
            self._refute(solution.solver)
        return solution

    def _start(self) -> Array | None:
        """A feasible point to start from, None for solvers that take none."""
        return self.feasible_point() if Capability.MIP_START in self.backend.capabilities else None

    def _refute(self, solver: str) -> None:
        """Contradict a claim of infeasibility where a feasible point is known. HiGHS 1.15 makes such claims."""
        point = self.feasible_point()
        if point is None:
            return
        self.stopped = f"{solver} claims that the program is infeasible, but a feasible point is known"
        self.offer(point[self.s][:, None], point)

    def _outer(self, session: Session, relaxed: bool) -> None:
        """Rounds of outer approximation, until the objective and the dual bound meet.

        Each solves the program and adds tangents at its solution.
        """
        stalled = repeated = 0
        scores: Array | None = None
        while True:
            before = self.bound
            solution = self._one(session, relaxed)
            if solution is None or solution.x is None:
                return
            short = self.missing(solution.x)
            missing = short * self.program.weights
            value = self.arrays.objective(self.lifted(solution.x))
            open_gap = float(missing.mean()) / max(abs(value), 1e-10)
            self.report(relaxed, value if relaxed else self.objective)
            done = open_gap <= self.tolerance / 2 if relaxed and self.arrays.is_mip else self.gap() <= self.tolerance
            hull_cuts = 0 if self.stopped else self._cut_hull(session, solution.x, relaxed)
            if (done and not hull_cuts) or self.stopped:
                return
            needed = missing > _SETTLED * self.tolerance * max(abs(value), 1e-10)
            still = self.bound <= before or np.isclose(self.bound, before, rtol=1e-12, atol=1e-12)
            stalled = stalled + 1 if still else 0
            # A tangent at the logits of whole scores is exact there, so the same scores come back only where the solver
            # allows a violation of the tangent.
            same = scores is not None and np.array_equal(scores, solution.x[self.s])
            whole = self.exact and not relaxed and bool(self.arrays.integral[self.s].all())
            repeated = repeated + 1 if still and whole and same else 0
            scores = solution.x[self.s]
            vain = stalled >= _STALL or repeated >= _REPEATED or self.latest.ignored(solution.x)
            if not hull_cuts and (not needed.any() or vain):
                if not relaxed:
                    self.stopped = "further tangents of the loss do not raise the dual bound"
                return
            if needed.any():
                self._cut(session, solution.x[self.o], np.flatnonzero(needed))
                self.latest = Tangents(*self.tangents[-1][:2], float(short[needed].max()), solution.x)
            if not relaxed and self.arrays.is_mip:
                self._polish(session)

    def _cut_hull(self, session: Session, x: Array, relaxed: bool) -> int:
        """Add cuts of the relaxation "hull" that an optimum of a linear program violates. Returns their number."""
        if self.hull is None or (self.arrays.is_mip and not relaxed):
            return 0
        count = self.hull.add(session, x, self.bound)
        self.cuts += count
        # The incumbent of a linear program may violate new cuts, so the next point replaces it.
        self.stale = count > 0 and not self.arrays.is_mip
        return count

    def _without_slack(self, session: Session) -> Session:
        """A session for the integer program, without the cuts that are slack at the last point of the rounds."""
        x = None if self.last is None else self.last.x
        if self.hull is None or self.stopped or x is None or not self.hull.drop_slack(x):
            return session
        session.close()
        self.compile()
        self.tangents = []
        return open_session(self.backend, self.arrays, self.options)

    def _polish(self, session: Session) -> None:
        """Improve the incumbent by linear programs with its ReLU states fixed. Their tangents are kept.

        With fixed states the program is convex in the scores. Its optimum is a better incumbent.
        Tangents around it save rounds of the integer program, each of which takes far longer than
        all of these.
        """
        if self.best is None or bool(self.arrays.integral[self.s].all()):
            return
        whole = self.arrays
        if self.tangents:
            matrices, *sides = zip(*self.tangents, strict=True)
            low, high = (np.concatenate(side) for side in sides)
            whole = append_rows(whole, sp.csr_array(sp.vstack(matrices, format="csr")), low, high)
        held = states_held(whole, self.best)
        t, weights = self.compiled.columns(self.program.losses), self.program.weights
        inner = open_session(self.backend, held, self.options, proofs=False)
        slow, before = 0, -np.inf
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
                value = self.arrays.objective(solution.x)
                # A rise below the solver's tolerances comes from tangents at nearly the same point: no more are added.
                slow = slow + 1 if value - before <= _SLOW * self.tolerance * abs(value) else 0
                before = value
                if slow >= _SLOWS:
                    return
                missing = weights * (self.program.losses_at(solution.x[self.o]) - solution.x[t])
                needed = missing > _SETTLED * self.tolerance * max(abs(self.objective or 0.0), 1e-10)
                if not needed.any():
                    return
                self._cut(session, solution.x[self.o], np.flatnonzero(needed))
                inner.add_rows(*self.tangents[-1])
        finally:
            inner.close()

    def _cut(self, session: Session, logits: Array, images: Any) -> None:
        """Add the tangents of some images at logits (n x classes,)."""
        points = logits.reshape(-1, len(self.instance.CLASS))[images]
        home = self.program.loss_tangents
        assert home is not None
        rows = self.program.tangents_at(points, images, first=len(home.rows.names))
        home.append(rows)
        self.tangents.append((self.compiled.rows(rows), rows.lower, rows.upper))
        session.add_rows(*self.tangents[-1])
        self.cuts += len(images)
