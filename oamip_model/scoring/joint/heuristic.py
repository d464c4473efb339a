"""The primal heuristic: projected gradient, and moves of single scores.

The gradient is through the network.

What it finds (mathematics:heur-1) is an upper bound of the optimum, and a start for the solver; it proves nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.errors import InputError
from oamip_model.formulation import Formulation
from oamip_model.formulation.gates import PRODUCT, gate_named
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.runs.events import Event, Listener
from oamip_model.scoring.joint.gated import GatedObjective

_STARTS = 8
_STEPS = 150
"""Gradient steps of each phase from a start, and half as many from a disturbed point."""
_RATE = 0.1
_ROUNDS, _PATIENCE = 8, 2
"""Rounds of disturbed points, which end when so many in a row found nothing better."""
_DISTURBED = 0.1
"""Share of the units whose scores are replaced by random ones in a disturbed point."""
_MOVED = 3
"""Points of each round, the best after rounding, that moves of single scores improve, where scores are binary."""
_MOVES = 200
"""Single scores that are changed at most in a row."""
_LEAST = 1e-6
"""Gain, relative to the objective, that a move must have: single precision shows no smaller one."""


@dataclass(frozen=True)
class HeuristicResult:
    """Scores and their objective in the network.

    Parameters
    ----------
    scores : dict of str to array
        Scores (units,) of each group.
    objective : float
        Their objective in double precision, inf where an image misses the margin that rows of the
        program hold.
    seconds : float
        Wall clock.
    interrupted : bool
        Whether Ctrl-C ended the search. The scores are then the best so far.
    """

    scores: dict[str, Array]
    objective: float
    seconds: float
    interrupted: bool = False


def find_scores(
    network: Network,
    images: Array,
    labels: NDArray[np.int64],
    settings: Formulation,
    *,
    seed: int = 0,
    time_limit: float | None = None,
    progress: Listener | None = None,
    weights: Array | None = None,
) -> HeuristicResult:
    """Good scores for the program of these settings, in a sound gate.

    The search starts from the trained network, all scores 1 less some noise. Gradient steps are
    taken first with scores that multiply activations, which has gradients everywhere, then through
    the gate itself. The best point is disturbed and improved again. At last single scores are moved
    to 0 and 1. Binary scores are rounded before those moves. Continuous ones start also from the
    best binary ones.

    Parameters
    ----------
    network : Network
        The network.
    images : array
        Images (n, *input_shape).
    labels : array of int
        Labels (n,).
    settings : Formulation
        The program.
    seed : int
        Seed of the search. The same seed without a limit gives the same scores.
    time_limit : float, optional
        Seconds after which the best so far is returned, as it is at Ctrl-C.
    progress : callable, optional
        Called with an event after each improvement.
    weights : array, optional
        Weights of the images' losses, (n,), with mean 1.

    Returns
    -------
    HeuristicResult
        Scores and their objective.

    Raises
    ------
    InputError
        For a gate that is not sound, in which fewer scores are feasible than in the network.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> from oamip_model.formulation import Formulation
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network, x, y = om.read_network(module), np.ones((1, 2)), np.array([0])
    >>> found = find_scores(network, x, y, Formulation(sparsity="mean"))
    >>> best = om.solve_instance(om.build_instance(network, x, y, om.Formulation(sparsity="mean")))
    >>> best.bound <= found.objective <= best.objective + 0.01
    True
    """
    if not gate_named(settings.gate).sound:
        raise InputError(f"heuristic: gate {settings.gate} has no heuristic, since its rows forbid some scores")
    began = time.monotonic()
    near: list[Array] = []
    if settings.scores == "continuous":
        # Most of the best scores are 0 or 1. Moves between these find points that gradient steps do not.
        half = None if time_limit is None else time_limit / 2
        binary = replace(settings, scores="binary")
        first = Search(network, images, labels, binary, seed, half, weights)
        value, scores = first.run(progress)
        if first.interrupted:
            return HeuristicResult(network.by_group(scores), value, time.monotonic() - began, True)
        near = [scores]
        time_limit = None if time_limit is None else max(time_limit - (time.monotonic() - began), 0.0)
    search = Search(network, images, labels, settings, seed, time_limit, weights)
    value, scores = search.run(progress, near)
    return HeuristicResult(network.by_group(scores), value, time.monotonic() - began, search.interrupted)


class Search:
    """A local search over the scores of one program, in torch.

    product, gate: its objective with scores that multiply activations, and with its own gate; random: of the starts.
    """

    def __init__(
        self,
        network: Network,
        images: Array,
        labels: NDArray[np.int64],
        settings: Formulation,
        seed: int,
        time_limit: float | None,
        weights: Array | None = None,
    ) -> None:
        self.began = time.monotonic()
        self.deadline = np.inf if time_limit is None else self.began + time_limit
        self.binary = settings.scores == "binary"
        self.product = GatedObjective(network, images, labels, settings, product=True, weights=weights)
        # At scores of 0 and 1 every gate is the network without some units.
        both = self.binary or settings.gate == PRODUCT
        self.gate = self.product if both else GatedObjective(network, images, labels, settings, weights=weights)
        self.exact = GatedObjective(network, images, labels, settings, dtype=torch.float64, weights=weights)
        self.units = sum(self.gate.sizes)
        self.random = torch.Generator().manual_seed(seed)
        self.starts = min(_STARTS, self.gate.most())
        self.found = torch.ones(self.units)
        self.interrupted = False

    def run(self, progress: Listener | None, near: Sequence[Array] = ()) -> tuple[float, Array]:
        """The best objective, in double precision, and its scores (units,).

        near: scores to begin from as well.

        Ctrl-C ends the search with the best so far, and sets ``interrupted``.
        """
        try:
            self._search(progress, near)
        except KeyboardInterrupt:
            self.interrupted = True
        with torch.no_grad():
            exact = self.found.double()[None]
            value = float(self.exact(exact)[0])
            if not self.exact.judged.weighted:
                missed = float(self.exact.loss(self.exact.logits(exact))[0])
                value = float("inf") if missed > 0 else float(self.exact.sparsity(exact)[0])
        return value, exact[0].numpy()

    def _search(self, progress: Listener | None, near: Sequence[Array]) -> None:
        """Leave the best point in ``found``."""
        began = time.monotonic()
        noise = 0.2 * torch.rand(self.starts, self.units, generator=self.random)
        noise[0] = 0.0
        points, _ = self.descend(self.product, 1.0 - noise, _STEPS)
        ones = torch.ones(1, self.units)
        given = [torch.as_tensor(scores, dtype=torch.float32)[None] for scores in near]
        self.found = given[0][0] if given else self.found
        points = torch.cat([points, *given])
        self.found, value = self.best(torch.cat([ones, *given, self.settled(points, _STEPS)]))
        idle = 0
        for number in range(_ROUNDS):
            if progress is not None:
                progress(Event(kind="heuristic", number=number, seconds=time.monotonic() - began, objective=value))
            if idle == _PATIENCE or time.monotonic() > self.deadline:
                break
            near_best = self.settled(self.disturbed(self.found), _STEPS // 2)
            found, new = self.best(torch.cat([self.found[None], near_best]))
            idle = 0 if new < value - _LEAST * abs(value) else idle + 1
            self.found, value = found, new
        self.found = self.moved(self.found)

    def settled(self, points: Tensor, steps: int) -> Tensor:
        """Points improved in the gate itself.

        Binary ones are improved by rounding, and moves of single scores.
        """
        if self.binary:
            points, _ = self.descend(self.product, points, steps)
            rounded = points.round()
            few = self.values(rounded).argsort()[:_MOVED]
            return torch.stack([self.moved(p) for p in rounded[few]])
        points, _ = self.descend(self.gate, points, steps)
        return points

    def descend(self, objective: GatedObjective, points: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """The best points on the path of projected Adam from each point.

        Points have the shape (k, units), their objectives (k,).
        """
        s = points.clone().requires_grad_(True)
        adam = torch.optim.Adam([s], lr=_RATE)
        best, value = points.clone(), torch.full((len(points),), torch.inf)
        for step in range(steps):
            if time.monotonic() > self.deadline:
                break
            adam.param_groups[0]["lr"] = _RATE * (1.0 - 0.9 * step / steps)
            adam.zero_grad()
            now = objective(s)
            now.sum().backward()  # type: ignore[no-untyped-call]
            with torch.no_grad():
                better = now < value
                value = torch.where(better, now, value)
                best[better] = s[better]
                adam.step()
                s.clamp_(0.0, 1.0)
        return best, value

    def disturbed(self, best: Tensor) -> Tensor:
        """Copies of a point, some scores of each drawn anew: 0 or 1."""
        shape = (self.starts, self.units)
        chosen = torch.rand(shape, generator=self.random) < _DISTURBED
        drawn = torch.randint(0, 2, shape, generator=self.random).float()
        return torch.where(chosen, drawn, best.expand(shape))

    def best(self, points: Tensor) -> tuple[Tensor, float]:
        """The best of points (k, units), and its objective."""
        values = self.values(points)
        return points[values.argmin()], float(values.min())

    def values(self, points: Tensor) -> Tensor:
        """Objectives (k,) of points (k, units), in parts that fit in memory."""
        with torch.no_grad():
            return torch.cat([self.gate(part) for part in torch.split(points, self.gate.most())])

    def moved(self, point: Tensor) -> Tensor:
        """The point after moves of single scores to 0 or 1 until none is better.

        Each is the best move.
        """
        value = float(self.values(point[None])[0])
        eye = torch.eye(self.units)
        for _ in range(_MOVES):
            if time.monotonic() > self.deadline:
                break
            tried = torch.cat([point * (1.0 - eye), point * (1.0 - eye) + eye])
            values = self.values(tried)
            if float(values.min()) >= value - _LEAST * abs(value):
                break
            point, value = tried[values.argmin()], float(values.min())
        return point
