"""The convex subproblem of one layer (heads "pattern" and "linear").

It is columns, a path of weights, and the replay check.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from oamip_model.clock import Deadline, finishing, seconds_left, within
from oamip_model.network.maps import Array
from oamip_model.runs.events import in_lines
from oamip_model.scoring.layerwise.convex import ConvexResult, minimise_convex
from oamip_model.scoring.layerwise.heads.columns import (
    Oracle,
    is_affine_after,
    pattern_columns,
    rest_columns,
    shared_columns,
)
from oamip_model.scoring.layerwise.heads.representation import Representation
from oamip_model.scoring.layerwise.heads.trained import train_linear_head
from oamip_model.scoring.layerwise.plan import LayerOutcome
from oamip_model.scoring.layerwise.projection import Tangents
from oamip_model.scoring.layerwise.task import LayerTask, tensors
from oamip_model.scoring.program_result import ProgramResult, ReplayCheck, TrainedHead
from oamip_model.torchnet.layers import TorchLayers

_CHECKED, _ACTIVATIONS = 100, 20_000_000
"""Images of the replay check at most, and their activations: it is in double precision, and one image tells enough."""


def solve_convex_layer(task: LayerTask, progress: Callable[[str], None] | None = None) -> LayerOutcome:
    """The outcome of one layer's convex program, or of a path of programs.

    Columns come first. Of a path the best cut is taken. The replay check comes last.
    """
    began = time.monotonic()
    plan, layers = task.plan, task.torch_layers()
    others = tensors(layers, task.others)
    first = Deadline(plan.time_limit)
    with within(first):
        columns, head, trained = _columns(task, layers, others)
    columns.loss = task.loss
    made = time.monotonic()
    tangents = Tangents()

    def program(weight: float) -> ConvexResult:
        # The columns are part of the first program.
        with within(Deadline(plan.time_limit) if tangents.points else first):
            return _program(task, columns, weight, tangents, progress)

    weights, results = _along_weights(task, program)
    solved = time.monotonic()
    seconds = {"columns": made - began, "solve": solved - made}
    calls = sum(result.calls for result in results)

    def outcome(number: int) -> LayerOutcome:
        result, weight = results[number], weights[number]
        before = time.monotonic()
        check = loss = None
        with finishing(plan.time_limit):
            check = _check(task, columns, head, result.scores)
        with finishing(plan.time_limit):
            # Of a path it is computed by who chooses from it: a pass over all images each.
            loss = None if plan.path else task.measure(layers, result.scores).loss
        program = ProgramResult(
            (), result.status.value, result.objective, result.bound, result.gap, result.loss,
            result.objective - weight * result.loss, loss, check, None, calls, len(tangents.level),
            seconds | {"replay": time.monotonic() - before}, result.message, weight, task.name, result.variables,
            result.rows, trained, certified=result.certified,
        )  # fmt: skip
        return LayerOutcome(result.scores, task.cut(result.scores), program, result.solver, result.version, head)

    return task.settle(layers, [result.scores for result in results], outcome)


def _along_weights(task: LayerTask, solve: Callable[[float], ConvexResult]) -> tuple[list[float], list[ConvexResult]]:
    """The weights that were tried, and their results: those of the plan, and with an amount those that get closer.

    A weight keeps the units whose score is at least one half. With an amount the path, whose weights keep ever more
    units, ends at the second that keeps more than are to stay, and the interval where it passes that number is halved.
    """
    weights: list[float] = []
    results: list[ConvexResult] = []
    kept: list[int] = []

    def add(weight: float) -> None:
        weights.append(weight)
        results.append(solve(weight))
        kept.append(int((results[-1].scores >= 0.5).sum()))

    wanted = None
    for weight in task.weights:
        add(weight)
        if task.plan.amount is not None:
            wanted = int(task.cut(results[0].scores).sum())
            if len(kept) > 1 and min(kept[-2:]) > wanted:
                break
    if wanted is None:
        return weights, results
    for _ in range(task.plan.closer):
        low = max((w for w, count in zip(weights, kept, strict=True) if count <= wanted), default=None)
        high = min((w for w, count in zip(weights, kept, strict=True) if count > wanted), default=None)
        if low is None or high is None or high <= low or kept[weights.index(low)] == wanted:
            break
        add(float(np.sqrt(low * high)))
    return weights, results


def _program(
    task: LayerTask, columns: Oracle, weight: float, tangents: Tangents, progress: Callable[[str], None] | None
) -> ConvexResult:
    """The convex program of one layer at one weight."""
    plan = task.plan
    price, offset = task.price()
    return minimise_convex(
        columns, price, weight, offset=offset, solver=plan.solver, binary=plan.binary, tolerance=plan.tolerance,
        time_limit=seconds_left(), tangents=tangents, seed=plan.seed, level=plan.level,
        progress=in_lines(progress, f"weight {weight:g}"),
    )  # fmt: skip


def _columns(task: LayerTask, layers: TorchLayers, others: dict[int, Tensor]) -> tuple[Oracle, str, TrainedHead | None]:
    """The columns of the layer, the head that they are of, and what is known of a trained head."""
    images, labels, group = task.images, task.labels, task.group
    if is_affine_after(layers, group):
        return rest_columns(layers, images, labels, group, others), "rest", None
    if task.plan.head == "pattern":
        at = None if task.at is None else torch.as_tensor(task.at, dtype=layers.dtype, device=layers.device)
        return pattern_columns(layers, images, labels, group, others, at), "pattern", None
    features = Representation(layers, images, group, others)
    known = features.tensor()
    head = train_linear_head(known, labels, task.network.classes, seed=task.plan.seed)
    trained = TrainedHead(head.accuracy, head.epochs, task.plan.seed, features.units * features.positions)
    return shared_columns(features, head.weight, head.bias, labels, known), "linear", trained


def _check(task: LayerTask, columns: Oracle, head: str, scores: Array) -> ReplayCheck | None:
    """The columns' logits against the network's own in double precision, on the first images.

    Where the columns are exact ("rest") at these scores; for "pattern" where they are linearised, since they must agree
    there too. A trained head is no part of the network, so there is nothing to replay.
    """
    if head == "linear":
        return None
    network = task.network
    images = task.images[: min(_CHECKED, max(1, _ACTIVATIONS // sum(layer.size for layer in network.layers)))]
    at = scores
    if head == "pattern":
        at = np.ones(network.groups[task.group].size) if task.at is None else task.at
    by_name = {g.name: np.ones(g.size) for g in network.groups}
    by_name |= {network.groups[g].name: mask for g, mask in task.others.items()}
    logits = network.replay(images, by_name | {task.name: at})
    s = torch.as_tensor(at, dtype=columns.kind.dtype, device=columns.kind.device)
    ours = columns.logits(s, slice(len(images)))
    difference = float(np.abs(logits - ours.double().cpu().numpy()).max())
    tolerance = 1e-3 * max(1.0, float(np.abs(logits).max()))
    return ReplayCheck(difference, 0.0, tolerance, difference <= tolerance)
