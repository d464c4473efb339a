"""Convex programs in the scores alone, by a level method.

Its master gives a certified bound (mathematics:level-1).

minimise  price @ s + weight * L(s)  over s in [0, 1] (or {0, 1}), with L convex and known by an oracle only. The master
holds the scores and one loss variable, whatever the number of images; each oracle call adds one tangent to it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps import Array
from oamip_model.runs.events import Event
from oamip_model.scoring.layerwise.convex_result import ConvexResult, ConvexSolve
from oamip_model.scoring.layerwise.projection import Tangents, project, project_by_lp
from oamip_model.solving.protocol import Arrays, Options, Status
from oamip_model.solving.registry import get_backend, open_session, solve_once

Oracle: TypeAlias = Callable[[Array], tuple[float, Array]]
"""From scores (units,) to the loss and its gradient (units,)."""


def minimise_convex(
    oracle: Oracle,
    price: Array,
    weight: float,
    how: ConvexSolve | None = None,
    *,
    offset: float = 0.0,
    binary: bool = False,
    tangents: Tangents | None = None,
    starts: Sequence[Array] = (),
) -> ConvexResult:
    """The scores that minimise price @ s + weight * L(s), within a certified gap.

    The bound is the master's dual bound, so it holds whatever points were tried. For binary scores
    the continuous program is solved first, then the mixed-integer master with the tangents of both.

    Parameters
    ----------
    oracle : callable
        Gives L and its (sub)gradient (units,) at scores (units,).
    price : array
        Prices (units,).
    weight : float
        The weight of L.
    how : ConvexSolve
        Solver, tolerance and limits.
    offset : float
        Constant of the objective, which the relative gap counts.
    binary : bool
        Whether scores are binary.
    tangents : Tangents, optional
        Tangents that are used and extended, so that a path of weights shares them. They may hold a
        limit of the scores' sum.
    starts : sequence of array
        Scores (units,) that are tried first. Without them the first point is all ones, or the same
        share of each unit where the sum is limited.

    Returns
    -------
    ConvexResult
        The best scores, with objective and bound.

    Examples
    --------
    >>> def oracle(s):
    ...     return float(((s - 0.5) ** 2).sum()), 2 * (s - 0.5)
    >>> result = minimise_convex(oracle, np.array([0.1, 2.0]), 1.0)
    >>> np.round(result.scores, 1).tolist(), result.gap < 1e-3
    ([0.5, 0.0], True)
    """
    run = _Level(oracle, price, weight, how or ConvexSolve(), tangents, offset)
    for point in starts:
        run.evaluate(point)
    if not run.cuts.points or not np.isfinite(run.objective):
        most = run.cuts.most
        run.evaluate(np.full(len(price), 1.0 if most is None else min(1.0, most / len(price))))
    run.continuous()
    if binary:
        run.binary()
    return run.result()


class _Level:
    def __init__(
        self, oracle: Oracle, price: Array, weight: float, how: ConvexSolve, tangents: Tangents | None, offset: float
    ) -> None:
        self.oracle, self.price, self.weight, self.offset = oracle, price, weight, offset
        self.how, self.backend = how, get_backend(how.solver)
        self.cuts = Tangents() if tangents is None else tangents
        self.began = time.monotonic()
        self.calls = self.projections = self.failed = 0
        self.bound = -np.inf
        self.certified = False
        self.objective = np.inf
        self.loss = np.inf
        self.best = np.ones(len(price))
        self.stopped = ""
        for point, value in zip(self.cuts.points, self.cuts.values, strict=True):
            self.consider(point, value)

    def consider(self, point: Array, value: float) -> None:
        if self.cuts.most is not None and point.sum() > self.cuts.most + 1e-6:
            return
        objective = float(self.price @ point) + self.weight * value + self.offset
        if objective < self.objective:
            self.best, self.loss, self.objective = point, value, objective

    def evaluate(self, point: Array) -> None:
        """One oracle call: its tangent, and the point as incumbent if it is better."""
        value, gradient = self.oracle(point)
        self.calls += 1
        self.cuts.add(point, value, gradient)
        self.consider(point, value)

    def prove(self, bound: float, certified: bool) -> None:
        if bound > self.bound:
            self.bound, self.certified = bound, certified

    def gap(self) -> float:
        return (self.objective - self.bound) / max(abs(self.objective), 1e-10)

    def finished(self) -> bool:
        if self.gap() <= self.how.tolerance:
            return True
        if self.calls >= self.how.level.max_calls:
            self.stopped = f"{self.how.level.max_calls} oracle calls"
        elif self.how.time_limit is not None and time.monotonic() - self.began > self.how.time_limit:
            self.stopped = "time limit"
        if self.how.progress is not None:
            self.how.progress(
                Event(
                    kind="oracle call", number=self.calls, seconds=time.monotonic() - self.began,
                    objective=self.objective, bound=self.bound,
                )
            )  # fmt: skip
        return bool(self.stopped)

    def master(self, binary: bool) -> Arrays:
        """Columns: the scores, then the loss; one row for each tangent, and one where the sum is limited."""
        units = len(self.price)
        rows = np.column_stack([-np.array(self.cuts.gradient), np.ones(len(self.cuts.level))])
        least, most = np.array(self.cuts.level), np.full(len(rows), np.inf)
        if self.cuts.most is not None:
            rows = np.vstack([rows, np.append(np.ones(units), 0.0)])
            least, most = np.append(least, -np.inf), np.append(most, self.cuts.most)
        return Arrays(
            sp.csr_array(rows), np.append(self.price, self.weight), np.zeros(units + 1),
            np.append(np.ones(units), np.inf), least, most,
            np.append(np.full(units, binary), False), self.offset,
        )  # fmt: skip

    def continuous(self) -> None:
        session = open_session(self.backend, self.master(False), Options(seed=self.how.seed))
        try:
            while not self.finished():
                solution = session.solve()
                if solution.status is not Status.OPTIMAL:
                    # A basis kept from before can mislead a simplex method; without one the master is a small program.
                    session.close()
                    session = open_session(self.backend, self.master(False), Options(seed=self.how.seed))
                    solution = session.solve()
                if solution.interrupted:
                    raise KeyboardInterrupt
                if solution.status is not Status.OPTIMAL or solution.bound is None or solution.x is None:
                    # As with numbers too large for a solver. The best point so far is kept, without a proof.
                    silent = solution.status is Status.OPTIMAL
                    self.stopped = f"the master program ended as {solution.status.value}" + (
                        f", and {self.backend.name} gave neither a bound nor duals" if silent else ""
                    )
                    return
                self.prove(solution.bound, solution.certified)
                if self.finished():
                    return
                point = self.nearest()
                self.evaluate(np.clip(solution.x[:-1], 0.0, 1.0) if point is None else point)
                row = np.append(-self.cuts.gradient[-1], 1.0)
                at = np.flatnonzero(row)
                # Made of its parts: scipy takes ten times as long to find the entries of one dense row.
                tangent = sp.csr_array((row[at], at, [0, len(at)]), shape=(1, len(row)))
                session.add_rows(tangent, np.array([self.cuts.level[-1]]), np.array([np.inf]))
        finally:
            session.close()

    def nearest(self) -> Array | None:
        """The projection of the best point onto the level set; None where it was not found."""
        level = self.bound + self.how.level.level * (self.objective - self.bound) - self.offset
        found = None
        if self.how.level.projection == "euclid":
            found = project(self.best, level, self.price, self.weight, self.cuts)
        if found is None:
            found = project_by_lp(self.backend, self.best, level, self.price, self.weight, self.cuts, self.how.seed)
        self.projections += 1
        self.failed += found is None
        return found

    def binary(self) -> None:
        """Outer approximation with a mixed-integer master: its points are binary, its bound holds for binary scores."""
        rounded = np.round(self.best)
        if self.cuts.most is not None:
            rounded = np.zeros(len(self.price))
            rounded[np.argsort(-self.best, kind="stable")[: int(self.cuts.most + 1e-6)]] = 1.0
        self.objective, self.stopped = np.inf, ""
        self.evaluate(rounded)
        for point, value in zip(self.cuts.points, self.cuts.values, strict=True):
            if np.array_equal(point, np.round(point)):
                self.consider(point, value)
        while not self.finished():
            left = None if self.how.time_limit is None else self.how.time_limit - (time.monotonic() - self.began)
            options = Options(time_limit=left, gap=self.how.tolerance / 4, seed=self.how.seed)
            solution = solve_once(self.backend, self.master(True), options)
            if solution.bound is not None:
                self.prove(solution.bound, solution.certified)
            if solution.x is None:
                self.stopped = f"the master program ended as {solution.status.value}"
                return
            point = np.round(solution.x[:-1])
            if any(np.array_equal(point, known) for known in self.cuts.points) and self.gap() > self.how.tolerance:
                self.stopped = "the master program repeats a point"
                return
            self.evaluate(point)

    def result(self) -> ConvexResult:
        status = Status.OPTIMAL if self.gap() <= self.how.tolerance else Status.FEASIBLE
        return ConvexResult(
            self.best, self.loss, self.objective, self.bound, status, self.calls, time.monotonic() - self.began,
            self.backend.name, self.backend.version(), self.stopped, self.projections, self.failed,
            len(self.price) + 1, len(self.cuts.level), self.certified,
        )  # fmt: skip
