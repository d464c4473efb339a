"""The convex subproblem of one layer, with any head that gives columns.

It is columns, a path of weights, and the replay check.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from oamip_model.clock import Deadline, finishing, seconds_left, within
from oamip_model.network.maps import Array
from oamip_model.runs.events import in_lines
from oamip_model.scoring.layerwise.convex import minimise_convex
from oamip_model.scoring.layerwise.convex_result import ConvexResult, ConvexSolve
from oamip_model.scoring.layerwise.heads.base import Head
from oamip_model.scoring.layerwise.heads.columns import Oracle, is_affine_after, rest_columns
from oamip_model.scoring.layerwise.plan import LayerOutcome
from oamip_model.scoring.layerwise.projection import Tangents
from oamip_model.scoring.layerwise.task import LayerTask, tensors
from oamip_model.scoring.program_result import ProgramResult, ReplayCheck, TrainedHead
from oamip_model.torchnet.layers import TorchLayers

_CHECKED, _ACTIVATIONS = 100, 2_000_000
"""Images of the replay check at most, and their activations. It is in double precision, and one
image shows an error."""


class ColumnHead(Head):
    """A head whose logits are affine in the scores.

    So the layer's program is convex.

    Where nothing but the loss is non-linear after the score, the columns are those of the network itself, whatever the
    head.
    """

    @abstractmethod
    def columns(
        self, task: LayerTask, layers: TorchLayers, others: dict[int, Tensor]
    ) -> tuple[Oracle, TrainedHead | None]:
        """Logits in the scores of the layer, and what is known of a trained head.

        layers: the network in torch; others: masks of the groups that are cut already, by index.
        """

    def exact_at(self, task: LayerTask, scores: Array) -> Array | None:
        """Scores at which the columns give the network's logits, which is checked.

        scores: those that were found. None for a head that is no part of the network.
        """
        return None

    def solve(self, task: LayerTask, progress: Callable[[str], None] | None = None) -> LayerOutcome:
        """See :class:`Head`."""
        return solve_convex_layer(task, self, progress)


def solve_convex_layer(
    task: LayerTask, head: ColumnHead, progress: Callable[[str], None] | None = None
) -> LayerOutcome:
    """The outcome of one layer's convex program, or of a path of programs.

    Columns come first. Of a path the best cut is taken. The replay check comes last.
    """
    began = time.monotonic()
    plan, layers = task.plan, task.torch_layers()
    others = tensors(layers, task.others)
    first = Deadline(plan.time_limit)
    whole = is_affine_after(layers, task.group)
    trained: TrainedHead | None = None
    with within(first):
        if whole:
            columns = rest_columns(layers, task.images, task.labels, task.group, others)
        else:
            columns, trained = head.columns(task, layers, others)
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
            at = result.scores if whole else head.exact_at(task, result.scores)
            check = None if at is None else _check(task, columns, at)
        with finishing(plan.time_limit):
            # For a path the caller computes it, for the chosen results only, since each takes a pass over all images.
            loss = None if plan.path else task.measure(layers, result.scores).loss
        program = ProgramResult(
            (), result.status.value, result.objective, result.bound, result.gap, result.loss,
            result.objective - weight * result.loss, loss, check, None, calls, len(tangents.level),
            seconds | {"replay": time.monotonic() - before}, result.message, weight, task.name, result.variables,
            result.rows, trained, certified=result.certified,
        )  # fmt: skip
        name = "rest" if whole else head.name
        return LayerOutcome(result.scores, task.cut(result.scores), program, result.solver, result.version, name)

    return task.settle(layers, [result.scores for result in results], outcome)


def _along_weights(task: LayerTask, solve: Callable[[float], ConvexResult]) -> tuple[list[float], list[ConvexResult]]:
    """The weights that were tried, and their results.

    They are those of the plan, and with an amount some between two of them. A weight keeps the
    units whose score is at least one half. The weights of the path keep ever more units. It ends at
    the second that keeps too many, and the interval where the number is reached is halved.
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
    how = ConvexSolve(
        solver=plan.solver, tolerance=plan.tolerance, time_limit=seconds_left(), level=plan.level, seed=plan.seed,
        progress=in_lines(progress, f"weight {weight:g}"),
    )  # fmt: skip
    return minimise_convex(columns, price, weight, how, offset=offset, binary=plan.binary, tangents=tangents)


def _check(task: LayerTask, columns: Oracle, at: Array) -> ReplayCheck:
    """The columns' logits against the network's own in double precision, at these scores, on the first images."""
    network = task.network
    images = task.images[: min(_CHECKED, max(1, _ACTIVATIONS // sum(layer.size for layer in network.layers)))]
    by_name = {g.name: np.ones(g.size) for g in network.groups}
    by_name |= {network.groups[g].name: mask for g, mask in task.others.items()}
    logits = network.replay(images, by_name | {task.name: at})
    s = torch.as_tensor(at, dtype=columns.kind.dtype, device=columns.kind.device)
    ours = columns.logits(s, slice(len(images)))
    difference = float(np.abs(logits - ours.double().cpu().numpy()).max())
    tolerance = 1e-3 * max(1.0, float(np.abs(logits).max()))
    return ReplayCheck(difference, 0.0, tolerance, difference <= tolerance)
