"""The incumbent of an instance while it is solved."""

from __future__ import annotations

from typing import Any

import numpy as np

from oamip_model.errors import InputError
from oamip_model.formulation.program import Program
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.proofs.claims import FEASIBLE, best_of, breach, choices
from oamip_model.solving.protocol import ABSOLUTE_GAP

_REPLAYED = 1e-4
"""Largest difference between the logits of a solver's point and those of the forward pass of its
scores. It is relative to the largest logit (at least 1). A point that differs by more is no
incumbent."""


class Incumbent:
    """The incumbent of an instance, and the points that may replace it.

    Parameters
    ----------
    instance : pyomo.environ.ConcreteModel or Program
        The instance.
    solver : str
        The solver's name, for messages.

    Attributes
    ----------
    compiled : Compiled
        The instance as arrays.
    best : array, optional
        The incumbent (columns,).
    objective : float, optional
        Its objective.
    best_logits : array, optional
        Its logits (n x classes,).
    stale : bool
        Whether rows were added that the incumbent may break, so that the next point replaces it.
    doubt : str
        Why a point of the solver was not taken, "" where all were.

    Raises
    ------
    InputError
        Where the instance is maximised.
    """

    def __init__(self, instance: Any, solver: str) -> None:
        self.instance, self.program, self.solver = instance, Program.of(instance), solver
        self.compile()
        if self.arrays.sense != 1:
            raise InputError("objective: is maximised, but solve_instance minimises: change its sign")
        self.stale = False
        self.s = self.compiled.columns(instance.s)
        self.o = self.compiled.columns(instance.o)
        states = [self.arrays.integral[self.compiled.columns(v)] for v in (instance.z, instance.q)]
        # A forward pass has integer ReLU states: where they are relaxed it is a worse point than the solver's.
        self.exact = self.arrays.is_mip and bool(np.concatenate(states).all())
        self.best: Array | None = None
        self.best_logits: Array | None = None
        self.objective: float | None = None
        self.doubt = ""

    def compile(self) -> None:
        """Read the arrays of the instance as it is now."""
        self.compiled = Compiled(self.instance)
        self.arrays = self.compiled.arrays

    def _rounded(self, scores: Array) -> Array:
        """Scores (units, ...) clipped to [0, 1], and rounded where they are integral."""
        whole = self.arrays.integral[self.s].reshape(-1, *[1] * (scores.ndim - 1))
        clipped = np.clip(scores, 0.0, 1.0)
        return np.asarray(np.where(whole, np.round(clipped), clipped))

    def offer(self, scores: Array, base: Array | None) -> bool:
        """Take the best forward pass of some scores as incumbent, where it is better.

        Parameters
        ----------
        scores : array
            Scores (units, k) of k points.
        base : array, optional
            A point (columns,) whose values the variables of a user get.

        Returns
        -------
        bool
            Whether the incumbent is a new one.
        """
        found = best_of(self.compiled, self._rounded(scores), base)
        if found is None or (self.objective is not None and found[1] >= self.objective - ABSOLUTE_GAP):
            return False
        point, self.objective = found
        self.best, self.best_logits, self.stale = point, point[self.o].copy(), False
        return True

    def best_choice(self, lower: Array, upper: Array) -> float | None:
        """The least objective over all whole scores within bounds.

        Its point is offered as incumbent.

        Parameters
        ----------
        lower, upper : array
            Bounds (columns,) of all columns.

        Returns
        -------
        float or None
            Infinite where no choice of scores is feasible. None where there are too many choices to
            try.
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
        """The incumbent, or else the trained network (every score 1) where it is feasible.

        Returns
        -------
        array or None
            The point (columns,), None where none is known.
        """
        if self.best is not None:
            return self.best
        found = best_of(self.compiled, np.ones((self.s.stop - self.s.start, 1)), None)
        return None if found is None else found[0]

    def consider(self, x: Array) -> None:
        """Take a point of the solver as incumbent, where it is better.

        The solver's point satisfies big-M rows within a tolerance only, and the forward pass of its
        scores satisfies them exactly. So the forward pass takes its place where it is feasible. It
        may break rows of the user, or of the published gate. Then the solver's point is taken if
        its logits are those of the forward pass.

        Parameters
        ----------
        x : array
            The point (columns,).
        """
        # Where a user has deactivated rows, points need not be forward passes, and losses need not be those of logits.
        whole = self.compiled.whole
        point = self.lifted(x) if whole or self.program.by_rounds else x
        if self.exact and whole:
            forward = complete_point(self.compiled, self._rounded(x[self.s]), x)
            if breach(self.arrays, forward[:, None])[0] <= FEASIBLE:
                point = forward
            elif not self._replays(x, forward):
                self.doubt = f"{self.solver} gave a point with logits that the network does not have for its scores"
                return
        value = self.arrays.objective(point)
        if self.objective is None or self.stale or value < self.objective:
            self.stale = False
            self.best, self.objective, self.best_logits = point, value, point[self.o].copy()

    def _replays(self, x: Array, forward: Array) -> bool:
        """Whether a point has the logits of its forward pass."""
        largest = max(1.0, float(np.abs(forward[self.o]).max(initial=0.0)))
        return bool(np.abs(x[self.o] - forward[self.o]).max(initial=0.0) <= _REPLAYED * largest)

    def lifted(self, x: Array) -> Array:
        """A point whose losses are those of its logits.

        Parameters
        ----------
        x : array
            A point (columns,), whose losses may be lower.

        Returns
        -------
        array
            The point (columns,) with the exact losses.
        """
        if self.program.losses is None:
            return x
        y = x.copy()
        y[self.compiled.columns(self.program.losses)] = self.program.losses_at(x[self.o])
        return y

    def missing(self, x: Array) -> Array:
        """The amount by which the tangents underestimate the loss of each image.

        Parameters
        ----------
        x : array
            A point (columns,).

        Returns
        -------
        array
            The exact losses less those of the point, (n,).
        """
        if not self.program.by_rounds:
            return np.zeros(self.program.images)
        return self.program.losses_at(x[self.o]) - x[self.compiled.columns(self.program.losses)]
