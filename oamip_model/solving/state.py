"""The state of a solve: the incumbent, the dual bound, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.runs.events import Event, Kind, Listener
from oamip_model.solving.incumbent import Incumbent
from oamip_model.solving.proofs.claims import flips, settled_by_scores
from oamip_model.solving.protocol import ABSOLUTE_GAP, Backend, Options, Solution, Status
from oamip_model.solving.solution import InstanceSolution

_ROUNDING = 1e-6
"""A dual bound above a known objective by less than this, relative to it, is lowered to it. Otherwise it is refuted."""
_FLIPPED = 20
"""Rounds of single flips of the incumbent's scores at most. Each round starts from the best point of the last."""


OUT_OF_TIME = "the time limit came before a proof"
"""The message of a solve that its time limit ended."""


class SolveState(Incumbent):
    """An instance while it is solved: its incumbent, its dual bound, and its time.

    Parameters
    ----------
    instance : pyomo.environ.ConcreteModel or Program
        The instance.
    backend : Backend
        The solver.
    options : Options
        The options of each solve. The time limit is that of all solves together.
    tolerance : float
        The relative gap at which the instance is solved.
    progress : callable, optional
        Called with an :class:`~oamip_model.runs.events.Event` after each step.

    Attributes
    ----------
    bound : float
        The dual bound so far, -inf without one.
    certified : float
        The best dual bound that follows from duals.
    stopped : str
        Why the solve ended without a proof, "" while it runs.
    """

    def __init__(
        self,
        instance: Any,
        backend: Backend,
        options: Options,
        tolerance: float,
        progress: Listener | None,
    ) -> None:
        self.began = time.monotonic()
        super().__init__(instance, backend.name)
        self.backend, self.options, self.tolerance = backend, options, tolerance
        self.progress = progress
        self.cutoff = self.program.cutoff
        self.bound = self.certified = -np.inf
        self.first_bound: float | None = None
        self.rounds = self.cuts = 0
        self.nodes: int | None = None
        self.solver_seconds = 0.0
        self.last: Solution | None = None
        self.stopped = ""
        self.tested: tuple[float | None, float] | None = None

    def left(self) -> float | None:
        """Seconds until the time limit, None without one.

        Returns
        -------
        float or None
            Seconds, below 0 when the limit is past.
        """
        limit = self.options.time_limit
        return None if limit is None else limit - (time.monotonic() - self.began)

    def gap(self) -> float:
        """The relative gap between incumbent and dual bound, inf without one of them.

        Returns
        -------
        float
            A number from 0.
        """
        return self._gap_to(self.bound)

    def _gap_to(self, bound: float) -> float:
        """The relative gap between the incumbent and a bound, inf without one of them."""
        if self.objective is None or not np.isfinite(bound):
            return np.inf
        # A bound above the objective is an error of the solver, which must not look like a proof.
        difference = abs(self.objective - bound)
        return 0.0 if difference <= ABSOLUTE_GAP else difference / max(abs(self.objective), 1e-10)

    def begin(self, scores: Mapping[str, Array] | None) -> None:
        """Take the forward pass of given scores as the first incumbent, if it is feasible.

        Parameters
        ----------
        scores : mapping of str to array, optional
            Scores (units,) of each group.

        Raises
        ------
        InputError
            Where they do not fit the instance.
        """
        if scores is None:
            return
        sizes = {g: int(self.instance.size[g]) for g in self.instance.GROUP}
        given = {g: np.asarray(values, dtype=np.float64) for g, values in scores.items()}
        if {g: values.shape for g, values in given.items()} != {g: (size,) for g, size in sizes.items()}:
            shapes = ", ".join(f"{g} {values.shape}" for g, values in given.items()) or "none"
            raise InputError(
                f"start: got {shapes}, needed are scores of {', '.join(f'{g} ({n},)' for g, n in sizes.items())}"
            )
        self.offer(np.clip(np.concatenate([given[g] for g in sizes]), 0.0, 1.0)[:, None], None)

    def prove(self, bound: float, certified: bool) -> None:
        """Take a dual bound, where it is better than the one before.

        Parameters
        ----------
        bound : float
            A lower bound of the optimum.
        certified : bool
            Whether it follows from duals alone. Otherwise it is a claim of the solver.
        """
        # Bounds that hold up to a cutoff may exclude scores beyond it, so nothing above the cutoff is proved.
        bound = min(bound, self.cutoff)
        self.bound = max(self.bound, bound)
        if certified:
            self.certified = max(self.certified, bound)

    def test_claims(self) -> None:
        """Compare the dual bound with known points.

        It is withdrawn where one of them refutes it.

        Known are the forward passes of all scores 1, of all scores 0, and of the incumbent's scores
        with a single one flipped. The flips are repeated from the best of these while they gain
        more than the tolerance. If the choices of whole scores are few, all of them are tried. The
        best point is the incumbent from then on.
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
            # All blocks are offered, and not only as far as the first gain: the next flips start from the best of all.
            for block in list(flips(self.arrays, self.best[self.s].copy(), self.s)):
                self.offer(block, self.best)
            if self.objective is None or before - self.objective <= self.tolerance * abs(before):
                break
        self._withdraw()
        if least is not None and np.isfinite(least) and self.gap() > self.tolerance:
            self.prove(least, certified=True)
            why = self.stopped or "the solver did not close the gap"
            self.doubt, self.stopped = f"{why}; trying all choices of scores proved the optimum", ""
        self.tested = self.objective, self.bound

    def _withdraw(self) -> None:
        """Withdraw a dual bound above the objective, or lower it to the objective where rounding may explain it."""
        if self.objective is None or self.bound <= self.objective:
            return
        if self.bound - self.objective > max(_ROUNDING * abs(self.objective), ABSOLUTE_GAP):
            self.stopped = (
                f"{self.backend.name}: the dual bound {self.bound:.6g} is withdrawn, since scores with the objective "
                f"{self.objective:.6g} are known"
            )
            self.bound = self.certified
        self.bound = min(self.bound, self.objective)

    def report(self, relaxed: bool, value: float | None) -> None:
        """Report a round to the listener.

        Parameters
        ----------
        relaxed : bool
            Whether its program was the linear relaxation.
        value : float, optional
            Its objective.
        """
        self._tell("relaxation" if relaxed else "round", self.rounds, value)

    def report_tree(self, nodes: int, waiting: int) -> None:
        """Report the state of the search tree to the listener.

        Parameters
        ----------
        nodes : int
            Nodes that were solved.
        waiting : int
            Open nodes.
        """
        self._tell("node", nodes, self.objective, waiting)

    def _tell(self, kind: Kind, number: int, objective: float | None, nodes: int | None = None) -> None:
        """Send an event to the listener, with the dual bound so far."""
        if self.progress is not None:
            seconds = time.monotonic() - self.began
            self.progress(
                Event(kind=kind, number=number, seconds=seconds, objective=objective, bound=self.bound, nodes=nodes)
            )

    def result(self, interrupted: bool) -> InstanceSolution:
        """The solution, whose best point is loaded into the instance.

        Parameters
        ----------
        interrupted : bool
            Whether Ctrl-C ended the solve.

        Returns
        -------
        InstanceSolution
            Status, scores, objective, bound and message.
        """
        self.test_claims()
        if self.objective is not None and self._gap_to(self.certified) <= self.tolerance:
            self.bound = min(self.certified, self.objective)
        status = self._status(interrupted)
        scores = logits = loss = sparsity = None
        if self.best is not None and self.objective is not None:
            self.compiled.load(self.best)
            scores = self._scores(np.clip(self.best[self.s], 0.0, 1.0))
            assert self.best_logits is not None
            logits = self.best_logits.reshape(-1, len(self.instance.CLASS))
            sparsity = self.objective
            if self.program.losses is not None:
                losses = self.best[self.compiled.columns(self.program.losses)]
                loss = float((self.program.image_weights * losses).mean())
                sparsity = self.objective - self.program.weight * loss
        message = self.stopped or (self.last.message if self.last is not None else "") or self.doubt
        if not message and status is Status.FEASIBLE:
            message = (
                "an interruption came before a proof"
                if interrupted
                else "the dual bound is not within the tolerance of the objective"
            )
        bound = float(self.bound) if np.isfinite(self.bound) else None
        return InstanceSolution(
            status, scores, logits, self.objective, bound, loss, sparsity,
            self.rounds, self.cuts, self.nodes, time.monotonic() - self.began, self.solver_seconds,
            self.backend.name, self.backend.version(), message, interrupted, self.first_bound,
            bound is not None and self.certified >= bound,
        )  # fmt: skip

    def _status(self, interrupted: bool) -> Status:
        """The status of the solve as a whole."""
        if self.objective is not None:
            done = self.gap() <= self.tolerance and not self.stale
            return Status.OPTIMAL if done else Status.FEASIBLE
        if self.last is not None and self.last.status is Status.INFEASIBLE:
            # With bounds that hold up to a cutoff only, scores beyond it may be feasible.
            return Status.INFEASIBLE if self.cutoff == np.inf else Status.NO_SOLUTION
        if self.last is not None and self.last.status in (Status.UNBOUNDED, Status.ERROR):
            return self.last.status
        return Status.NO_SOLUTION

    def _scores(self, flat: Array) -> dict[str, Array]:
        """Scores by group, from one vector (units,)."""
        sizes = [int(self.instance.size[g]) for g in self.instance.GROUP]
        parts = np.split(flat, np.cumsum(sizes)[:-1])
        return {g: part.copy() for g, part in zip(self.instance.GROUP, parts, strict=True)}
