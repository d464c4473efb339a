"""The convex subproblem of one layer (heads "pattern" and "linear"): columns, a path of weights, the replay check."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from oamip_model.network.ops import Array
from oamip_model.scoring.columns import Columns, head_columns, is_affine_after, rest_columns
from oamip_model.scoring.convex import ConvexResult, Tangents, minimise_convex
from oamip_model.scoring.heads import train_linear_head
from oamip_model.scoring.layers import TorchLayers
from oamip_model.scoring.plan import LayerOutcome
from oamip_model.scoring.result import ProgramResult, ReplayCheck
from oamip_model.scoring.task import LayerTask, tensors

PATH = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Weights that are tried, from the least to the most, where the share of units to remove is given."""
_EPOCHS = 5
"""Epochs of a linear head's training."""
_CHECKED = 100
"""Images of the replay check."""


def solve_convex_layer(task: LayerTask, progress: Callable[[str], None] | None = None) -> LayerOutcome:
    """Columns, the program (or a path of programs, from which the best cut is taken), and the replay check."""
    began = time.monotonic()
    plan, layers = task.plan, task.torch_layers()
    others = tensors(layers, task.others)
    columns, head, accuracy = _columns(task, layers, others)
    made = time.monotonic()
    tangents = Tangents()
    best: tuple[float, ConvexResult, Array, float] | None = None
    calls = 0
    for weight in (plan.weight,) if plan.amount is None else PATH:
        result = _program(task, columns, weight, tangents, progress)
        calls += result.calls
        keep = task.cut(result.scores)
        value = 0.0 if plan.amount is None else task.loss(layers, keep)
        if best is None or value < best[0]:
            best = (value, result, keep, weight)
    assert best is not None
    _, result, keep, weight = best
    solved = time.monotonic()
    check = _check(task, columns, head, result.scores)
    loss = task.loss(layers, result.scores)
    seconds = {"columns": made - began, "solve": solved - made, "replay": time.monotonic() - solved}
    sparsity = result.objective - weight * result.loss
    program = ProgramResult(
        (), result.status.value, result.objective, result.bound, result.gap, result.loss, sparsity, loss, check,
        None, calls, len(tangents.level), seconds, result.message, weight,
    )  # fmt: skip
    return LayerOutcome(result.scores, keep, program, result.solver, result.version, head, accuracy)


def _program(
    task: LayerTask, columns: Columns, weight: float, tangents: Tangents, progress: Callable[[str], None] | None
) -> ConvexResult:
    """The convex program of one layer at one weight."""
    plan = task.plan
    price, offset = task.price()
    return minimise_convex(
        columns, price, weight, offset=offset, solver=plan.solver, binary=plan.binary, tolerance=plan.tolerance,
        time_limit=plan.time_limit, tangents=tangents, seed=plan.seed,
        progress=None if progress is None else lambda line: progress(f"weight {weight:g}, {line}"),
    )  # fmt: skip


def _columns(task: LayerTask, layers: TorchLayers, others: dict[int, Tensor]) -> tuple[Columns, str, float | None]:
    """The columns of the layer, the head that they are of, and the accuracy of a trained head."""
    images, labels, group = task.images, task.labels, task.group
    if task.plan.head == "linear" and not is_affine_after(layers, group):
        head = train_linear_head(layers, images, labels, group, others, epochs=_EPOCHS, seed=task.plan.seed)
        return head_columns(layers, images, labels, group, others, head), "linear", head.accuracy
    exact = "rest" if is_affine_after(layers, group) else "pattern"
    return rest_columns(layers, images, labels, group, others), exact, None


def _check(task: LayerTask, columns: Columns, head: str, scores: Array) -> ReplayCheck | None:
    """The columns' logits against the network's own in double precision, on the first images.

    Where the columns are exact ("rest") at these scores; for "pattern" at scores of 1, where they must agree too. A
    trained head is no part of the network, so there is nothing to replay.
    """
    if head == "linear":
        return None
    network, images = task.network, task.images[:_CHECKED]
    at = scores if head == "rest" else np.ones(network.groups[task.group].size)
    by_name = {g.name: np.ones(g.size) for g in network.groups}
    by_name |= {network.groups[g].name: mask for g, mask in task.others.items()}
    logits = network.replay(images, by_name | {task.name: at})
    s = torch.as_tensor(at, dtype=columns.g.dtype, device=columns.g.device)
    ours = columns.base[: len(images)] + columns.g[: len(images)] @ s
    difference = float(np.abs(logits - ours.double().cpu().numpy()).max())
    tolerance = 1e-3 * max(1.0, float(np.abs(logits).max()))
    return ReplayCheck(difference, 0.0, tolerance, difference <= tolerance)
