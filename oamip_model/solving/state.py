"""What is known of an instance while it is solved: its arrays, the best point, the bound that is proved by now."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from oamip_model.errors import InputError
from oamip_model.formulation.program import Program
from oamip_model.network.maps import Array
from oamip_model.runs.events import Event, Kind, Listener
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.proofs.claims import FEASIBLE, best_of, breach, choices, flips, settled_by_scores
from oamip_model.solving.protocol import ABSOLUTE_GAP, Backend, Options, Solution, Status
from oamip_model.solving.solution import InstanceSolution

_REPLAYED = 1e-4
"""Largest difference of a logit between a solver's point and the forward pass of its scores, relative to the largest
logit (at least 1), of a point that is taken as incumbent."""
_ROUNDING = 1e-6
"""A bound above a known value by less than this, relative to it, is lowered to it; by more, it is refuted."""
_FLIPPED = 20
"""Times at most that the incumbent's single flips are tried, each time from the best of the last."""


class SolveState:
    """An instance while it is being solved: its arrays, the best point so far, the bound proved so far."""

    def __init__(
        self,
        instance: Any,
        backend: Backend,
        options: Options,
        tolerance: float,
        progress: Listener | None,
    ) -> None:
        self.began = time.monotonic()
        self.program = Program.of(instance)
        self.instance, self.backend, self.options, self.tolerance = instance, backend, options, tolerance
        self.progress = progress
        self.cutoff = self.program.cutoff
        self.compile()
        if self.arrays.sense != 1:
            raise InputError("objective: is maximised, solve_instance takes one that is minimised: change its sign")
        self.stale = False
        self.s = self.compiled.columns(instance.s)
        self.o = self.compiled.columns(instance.o)
        states = [self.arrays.integral[self.compiled.columns(v)] for v in (instance.z, instance.q)]
        # A forward pass has integer ReLU states: where they are relaxed it is a worse point than the solver's.
        self.exact = self.arrays.is_mip and bool(np.concatenate(states).all())
        self.best: Array | None = None
        self.best_logits: Array | None = None
        self.objective: float | None = None
        self.bound = self.certified = -np.inf
        self.first_bound: float | None = None
        self.rounds = self.cuts = 0
        self.nodes: int | None = None
        self.solver_seconds = 0.0
        self.last: Solution | None = None
        self.stopped = self.doubt = ""
        self.tested: tuple[float | None, float] | None = None

    def compile(self) -> None:
        """Take the rows that the instance has now."""
        self.compiled = Compiled(self.instance)
        self.arrays = self.compiled.arrays

    def left(self) -> float | None:
        """Seconds that are left, None without a limit."""
        limit = self.options.time_limit
        return None if limit is None else limit - (time.monotonic() - self.began)

    def gap(self) -> float:
        """The relative gap by now, inf where there is none."""
        return self.gap_to(self.bound)

    def gap_to(self, bound: float) -> float:
        """The relative gap between the objective and a bound, inf where there is none."""
        if self.objective is None or not np.isfinite(bound):
            return np.inf
        # A bound above the objective is no proof of anything but a solver's mistake.
        difference = abs(self.objective - bound)
        return 0.0 if difference <= ABSOLUTE_GAP else difference / max(abs(self.objective), 1e-10)

    def begin(self, scores: Mapping[str, Array] | None) -> None:
        """Take the forward pass of given scores as incumbent. Raises InputError where they do not fit the instance."""
        if scores is None:
            return
        sizes = {g: int(self.instance.size[g]) for g in self.instance.GROUP}
        given = {g: np.asarray(values, dtype=np.float64) for g, values in scores.items()}
        if {g: values.shape for g, values in given.items()} != {g: (size,) for g, size in sizes.items()}:
            told = ", ".join(f"{g} {values.shape}" for g, values in given.items()) or "none"
            raise InputError(
                f"start: got {told}, needed are scores of {', '.join(f'{g} ({n},)' for g, n in sizes.items())}"
            )
        self.offer(np.clip(np.concatenate([given[g] for g in sizes]), 0.0, 1.0)[:, None], None)

    def rounded(self, scores: Array) -> Array:
        """Scores (units, ...) within [0, 1], whole where they are integral."""
        whole = self.arrays.integral[self.s].reshape(-1, *[1] * (scores.ndim - 1))
        clipped = np.clip(scores, 0.0, 1.0)
        return np.asarray(np.where(whole, np.round(clipped), clipped))

    def offer(self, scores: Array, base: Array | None) -> bool:
        """Take the best forward pass of these scores (units, k) as incumbent where it is better; returns whether it is.

        base: (columns,) values of the variables that are not the program's own.
        """
        found = best_of(self.compiled, self.rounded(scores), base)
        if found is None or (self.objective is not None and found[1] >= self.objective - ABSOLUTE_GAP):
            return False
        point, self.objective = found
        self.best, self.best_logits, self.stale = point, point[self.o].copy(), False
        return True

    def best_choice(self, lower: Array, upper: Array) -> float | None:
        """The least objective of all whole scores within these bounds of the columns, offered as incumbent.

        Infinite where none is feasible; None where there are too many choices to try them all.
        """
        scores = choices(self.compiled, lower, upper)
        if scores is None:
            return None
        found = best_of(self.compiled, scores, None)
        if found is None:
            return np.inf
        self.offer(found[0][self.s][:, None], None)
        return found[1]

    def feasible_point(self) -> Array | None:
        """The best point so far, or the trained network itself, every score 1, where that is feasible."""
        if self.best is not None:
            return self.best
        found = best_of(self.compiled, np.ones((self.s.stop - self.s.start, 1)), None)
        return None if found is None else found[0]

    def consider(self, x: Array) -> None:
        """Take a solver's point as incumbent if it is better: as the forward pass of its scores where that is feasible.

        The solver's own point satisfies big-M rows within a tolerance only; the forward pass satisfies them exactly.
        Where the forward pass breaks rows of the user's, or of the published gate, the solver's point is taken if its
        logits are those of the forward pass.
        """
        point = self.lifted(x)
        if self.exact:
            forward = complete_point(self.compiled, self.rounded(x[self.s]), x)
            if breach(self.arrays, forward[:, None])[0] <= FEASIBLE:
                point = forward
            elif not self.replays(x, forward):
                self.doubt = f"{self.backend.name} gave a point whose scores have other logits in the network"
                return
        value = self.arrays.objective(point)
        if self.objective is None or self.stale or value < self.objective:
            self.stale = False
            self.best, self.objective, self.best_logits = point, value, point[self.o].copy()

    def replays(self, x: Array, forward: Array) -> bool:
        """Whether a point has the logits of its forward pass."""
        largest = max(1.0, float(np.abs(forward[self.o]).max(initial=0.0)))
        return bool(np.abs(x[self.o] - forward[self.o]).max(initial=0.0) <= _REPLAYED * largest)

    def prove(self, bound: float, certified: bool) -> None:
        """Take a dual bound; certified: it follows from duals alone, and is no claim of the solver's."""
        # Bounds of a cutoff may forbid scores beyond it, so that no more than the cutoff itself is proved.
        bound = min(bound, self.cutoff)
        self.bound = max(self.bound, bound)
        if certified:
            self.certified = max(self.certified, bound)

    def test_claims(self) -> None:
        """Compare the dual bound with points that are known, and withdraw it where one of them refutes it.

        Known are the forward passes of all scores 1, of all scores 0, and of the incumbent's scores with a single one
        flipped, again from the best of these while that gains more than the tolerance; where there are few choices of
        whole scores, all of them. The best of all is the incumbent from then on.
        """
        if self.tested == (self.objective, self.bound):
            return
        ends = np.repeat([[1.0, 0.0]], self.s.stop - self.s.start, axis=0)
        self.offer(ends, self.best)
        least = None
        if settled_by_scores(self.compiled):
            least = self.best_choice(self.arrays.lower, self.arrays.upper)
        for _ in range(_FLIPPED if least is None else 0):
            left, before = self.left(), self.objective
            if self.best is None or before is None or (left is not None and left <= 0):
                break
            # Every block is looked at: the best of all is where the next flips begin.
            for block in list(flips(self.arrays, self.best[self.s].copy(), self.s)):
                self.offer(block, self.best)
            if self.objective is None or before - self.objective <= self.tolerance * abs(before):
                break
        self._withdraw()
        if least is not None and np.isfinite(least) and self.gap() > self.tolerance:
            self.prove(least, certified=True)
            self.doubt, self.stopped = f"all choices of scores were tried ({self.stopped or 'a gap was left'})", ""
        self.tested = self.objective, self.bound

    def _withdraw(self) -> None:
        """Take back a bound above the objective, or lower it where rounding put it there."""
        if self.objective is None or self.bound <= self.objective:
            return
        if self.bound - self.objective > max(_ROUNDING * abs(self.objective), ABSOLUTE_GAP):
            told = (
                f"{self.backend.name}: the dual bound {self.bound:.6g} is withdrawn, scores worth {self.objective:.6g}"
            )
            self.stopped, self.bound = f"{told} are known", self.certified
        self.bound = min(self.bound, self.objective)

    def lifted(self, x: Array) -> Array:
        """x with the losses that its logits have."""
        if self.program.losses is None:
            return x
        y = x.copy()
        y[self.compiled.columns(self.program.losses)] = self.program.losses_at(x[self.o])
        return y

    def missing(self, x: Array) -> Array:
        """By how much the tangents fall short of the loss of each image at x, (n,)."""
        if not self.program.by_rounds:
            return np.zeros(self.program.images)
        return self.program.losses_at(x[self.o]) - x[self.compiled.columns(self.program.losses)]

    def report(self, relaxed: bool, value: float | None) -> None:
        """Tell of a round."""
        self.tell("relaxation" if relaxed else "round", self.rounds, value)

    def report_tree(self, nodes: int, waiting: int) -> None:
        """Tell of the search tree."""
        self.tell("node", nodes, self.objective, waiting)

    def tell(self, kind: Kind, number: int, objective: float | None, nodes: int | None = None) -> None:
        """Tell whoever listens of a step, with the dual bound after it."""
        if self.progress is not None:
            seconds = time.monotonic() - self.began
            self.progress(
                Event(kind=kind, number=number, seconds=seconds, objective=objective, bound=self.bound, nodes=nodes)
            )

    def result(self, interrupted: bool) -> InstanceSolution:
        """What was found, with the best point loaded into the instance."""
        self.test_claims()
        if self.objective is not None and self.gap_to(self.certified) <= self.tolerance:
            self.bound = min(self.certified, self.objective)
        status = self.status(interrupted)
        scores = logits = loss = sparsity = None
        if self.best is not None and self.objective is not None:
            self.compiled.load(self.best)
            scores = self.scores(np.clip(self.best[self.s], 0.0, 1.0))
            assert self.best_logits is not None
            logits = self.best_logits.reshape(-1, len(self.instance.CLASS))
            sparsity = self.objective
            if self.program.losses is not None:
                loss = float(self.best[self.compiled.columns(self.program.losses)].mean())
                sparsity = self.objective - self.program.weight * loss
        message = self.stopped or (self.last.message if self.last is not None else "") or self.doubt
        if not message and status is Status.FEASIBLE:
            message = "interrupted" if interrupted else "the dual bound is not within the tolerance of the objective"
        bound = float(self.bound) if np.isfinite(self.bound) else None
        return InstanceSolution(
            status, scores, logits, self.objective, bound, loss, sparsity,
            self.rounds, self.cuts, self.nodes, time.monotonic() - self.began, self.solver_seconds,
            self.backend.name, self.backend.version(), message, interrupted, self.first_bound,
            bound is not None and self.certified >= bound,
        )  # fmt: skip

    def status(self, interrupted: bool) -> Status:
        """How the solve ended."""
        if self.objective is not None:
            done = self.gap() <= self.tolerance and not self.stale
            return Status.OPTIMAL if done else Status.FEASIBLE
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
