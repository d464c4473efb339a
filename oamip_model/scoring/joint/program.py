"""One program from images to scores.

It takes bounds, build, solve, and the replay check of its solution.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oamip_model.clock import Deadline, TimeIsUp, seconds_left, tick, unhurried, within
from oamip_model.formulation import Formulation, build_instance, gate_scale
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.losses.shares import image_shares
from oamip_model.formulation.settings import validity_of
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.runs.events import Listener
from oamip_model.scoring.joint.one_image import OneImage
from oamip_model.scoring.methods import AllLayers
from oamip_model.scoring.program_result import ProgramResult, ReplayCheck
from oamip_model.solving import InstanceSolution, gated_logits, solve_instance
from oamip_model.solving.options import Solver
from oamip_model.solving.protocol import Status
from oamip_model.solving.registry import get_backend
from oamip_model.tightening import compute_bounds
from oamip_model.tightening.methods import Tightening, as_tightening

if TYPE_CHECKING:
    from oamip_model.scoring.joint.heuristic import HeuristicResult

REPLAY_TOLERANCE = 1e-4
"""Largest difference of a logit between program and network, relative to the largest logit (at least 1)."""

WORTH_A_HEURISTIC = {"solver": 30, "tree": 100}
"""Binaries of ReLUs and pooling, by search, below which the search is done before the heuristic is.

A tree over a deep network is not: from so many layers with states on, it counts as the solver's search does.
"""
_DEEP = 3
_HEURISTIC_SHARE, _BOUNDS_SHARE = 0.2, 0.25
"""Of the time that is left, that the heuristic may take, and each method of bounds."""


@dataclass(frozen=True)
class ProgramOutcome:
    """A program's result, its scores {group: (units,)}, and its solver.

    Scores are None where there are none.
    """

    result: ProgramResult
    scores: dict[str, Array] | None
    solver: str
    version: str
    interrupted: bool = False


@dataclass(frozen=True, eq=False)
class Programs:
    """What the programs of one run share: images and labels.

    Images x are (n, *input_shape), with labels y (n,), of which each program has some rows.

    indices: (n,) positions of the images in their source; weights: (n,) of their losses, where they count differently.
    """

    network: Network
    x: Array
    y: NDArray[np.int64]
    indices: NDArray[np.int64]
    method: AllLayers
    solver: Solver
    weights: Array | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", self.method.settled(self.network))

    def of(self, rows: NDArray[np.int64]) -> Programs:
        """The program of some images."""
        weights = None if self.weights is None else self.weights[rows]
        return replace(self, x=self.x[rows], y=self.y[rows], indices=self.indices[rows], weights=weights)


def solve_program(
    asked: Programs, progress: Listener | None = None, start: Mapping[str, Array] | None = None
) -> ProgramOutcome:
    """Outcome of the method's program for all these images.

    start: scores {group: (units,)} to begin from, as in :func:`oamip_model.solving.solve_instance`, where no heuristic
    makes them.
    """
    with within(Deadline(asked.solver.time_limit)):
        try:
            return _solve(asked, progress, start)
        except TimeIsUp as up:
            return _unbuilt(tuple(asked.indices.tolist()), asked.solver, str(up))


def _unbuilt(indices: tuple[int, ...], solver: Solver, message: str) -> ProgramOutcome:
    """The outcome of a program for which there was no time to build it."""
    result = ProgramResult(
        indices, Status.NO_SOLUTION.value, None, None, None, None, None, None, None, None, 0, 0, {}, message
    )
    return ProgramOutcome(result, None, solver.label, get_backend(solver.name).version())


def _solve(asked: Programs, progress: Listener | None, start: Mapping[str, Array] | None) -> ProgramOutcome:
    """The outcome of :func:`solve_program`, which raises TimeIsUp where there is no program in time."""
    network, images, labels, method, solver = asked.network, asked.x, asked.y, asked.method, asked.solver
    shares = image_shares(asked.weights, len(images), method.formulation.loss)
    began, settings, bounds, tree = time.monotonic(), method.formulation, method.bounds, method.tree
    assert bounds is not None
    assert method.search is not None
    if isinstance(bounds, str | Tightening):
        epsilon, left, how = float(settings.epsilon or 0.0), seconds_left(), as_tightening(bounds)
        if how.time_limit is None and left is not None:
            how = replace(how, time_limit=_BOUNDS_SHARE * left)
        bounds = compute_bounds(network, images, how, validity=validity_of(settings.gate), epsilon=epsilon)
    bounded = time.monotonic()
    instance = build_instance(network, images, labels, settings, bounds=bounds, weights=shares)
    tick("building")
    built = time.monotonic()
    found = None
    binaries = len(instance.STATE) + len(instance.CHOICE)
    deep = len({layer for _, layer, *_ in instance.STATE}) >= _DEEP
    worth = settings.has_heuristic and binaries >= WORTH_A_HEURISTIC["solver" if tree is None or deep else "tree"]
    if method.heuristic or (method.heuristic is None and worth):
        found = _heuristic(asked, shares, progress)
        start = found.scores if np.isfinite(found.objective) else None
    searched = time.monotonic()
    single = None
    if tree is not None and tree.image_cuts and len(images) > 1 and bounds.cutoff is None:
        single = OneImage(network, images, labels, settings, bounds, solver, shares)
    left = seconds_left()
    stopped = found is not None and found.interrupted
    if start is None and (left is not None or stopped):
        # The trained network itself is a result, where the time limit comes before the first incumbent.
        start = {group.name: np.ones(group.size) for group in network.groups}
    with unhurried():
        # From here on the solve checks its own time limit, and returns its incumbent.
        solution = solve_instance(
            instance,
            replace(solver, time_limit=left),
            start=start,
            search=method.search,
            image_program=single,
            progress=progress,
            interrupted=stopped,
        )
        solved = time.monotonic()
        replayed, check = replay_check(network, images, labels, settings, solution, shares)
    seconds = {
        "bounds": bounded - began,
        "build": built - bounded,
        "heuristic": searched - built,
        "solve": solved - searched,
        "solver": solution.solver_seconds,
    }
    seconds["replay"] = time.monotonic() - solved
    result = ProgramResult(
        tuple(asked.indices.tolist()),
        solution.status.value, solution.objective, solution.bound, solution.gap, solution.loss,
        solution.sparsity, replayed, check, solution.nodes, solution.rounds, solution.cuts, seconds, solution.message,
        heuristic=found.objective if found is not None and np.isfinite(found.objective) else None,
        certified=solution.certified,
    )  # fmt: skip
    return ProgramOutcome(result, solution.scores, solution.solver, solution.version, solution.interrupted)


def _heuristic(asked: Programs, shares: Array | None, progress: Listener | None) -> HeuristicResult:
    """What the primal heuristic finds, in a share of the time that is left."""
    from oamip_model.scoring.joint.heuristic import find_scores

    left = seconds_left()
    limit = None if left is None else _HEURISTIC_SHARE * left
    seed = asked.solver.seed or 0
    return find_scores(
        asked.network, asked.x, asked.y, asked.method.formulation, seed=seed, time_limit=limit, progress=progress,
        weights=shares,
    )  # fmt: skip


def replay_check(
    network: Network,
    images: Array,
    labels: NDArray[np.int64],
    settings: Formulation,
    solution: InstanceSolution,
    shares: Array | None = None,
) -> tuple[float | None, ReplayCheck | None]:
    """How far a program is from the network with its solution's scores.

    Returns the network's loss too. Logits and loss are compared.

    The loss is that of the settings, with the weights ``shares`` (n,) of mean 1. Where it is rows
    alone, it is by how much the worst image misses the margin.
    """
    if solution.scores is None or solution.logits is None:
        return None, None
    # The published gate's M is the U+ of a box around the image.
    scale = gate_scale(network, images, settings.gate, float(settings.epsilon or 0.0))
    logits = gated_logits(network, images, solution.scores, settings.gate, scale)
    loss = loss_named(settings.loss)
    losses = loss.values(logits, labels, settings.margin)
    counted = losses if shares is None else shares * losses
    replayed = float(counted.mean() if loss.weighted else losses.max())
    difference = float(np.abs(logits - solution.logits).max())
    tolerance = REPLAY_TOLERANCE * max(1.0, float(np.abs(logits).max()))
    passed = None if settings.is_relaxation else difference <= tolerance
    return replayed, ReplayCheck(difference, abs(replayed - (solution.loss or 0.0)), tolerance, passed)
