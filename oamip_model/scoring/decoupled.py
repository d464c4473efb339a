"""Decoupled scoring: one convex program a layer, from every image, with a certified gap each (FORMULATION.md 6)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from oamip_model.bounds import fingerprint_images
from oamip_model.data import Dataset
from oamip_model.network.norms import unit_norms
from oamip_model.network.ops import Array
from oamip_model.network.types import Network
from oamip_model.scoring.columns import Columns, head_columns, is_affine_after, rest_columns
from oamip_model.scoring.convex import ConvexResult, Tangents, minimise_convex
from oamip_model.scoring.heads import train_linear_head
from oamip_model.scoring.layers import TorchLayers
from oamip_model.scoring.result import ProgramResult, ReplayCheck, Scores, read_program, total_seconds
from oamip_model.scoring.select import removal_count, removal_order
from oamip_model.scoring.store import RunStore, key_of
from oamip_model.training.loop import torch_device

PATH = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
"""Weights that are tried, from the least to the most, where the share of units to remove is given."""
_EPOCHS = 5
"""Epochs of a linear head's training."""
_CHECKED = 100
"""Images of the replay check."""


@dataclass(frozen=True)
class Plan:
    """What every subproblem of a run has in common.

    order: "decoupled" (each layer on its own), "forward" or "backward" (layers cut before stay cut); head: "pattern" or
    "linear"; weight: of the loss, unless ``amount`` is given: the share of each layer's units that is to go, for which
    the weight is found along a path; threshold: units below it count as cut in the orders, if there is no amount;
    sweeps: how often all layers are scored again with the others cut, after the first time.
    """

    order: str = "decoupled"
    head: str = "pattern"
    sparsity: str = "published"
    binary: bool = False
    weight: float = 5.0
    amount: float | None = None
    threshold: float = 0.1
    sweeps: int = 1
    solver: str = "highs"
    tolerance: float = 1e-3
    time_limit: float | None = None
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class LayerOutcome:
    """A layer's scores (units,), the units that stay (units,), its program's result, and the head's accuracy."""

    scores: Array
    keep: Array
    result: ProgramResult
    solver: str
    version: str
    head: str
    head_accuracy: float | None = None


class DecoupledRun:
    """The subproblems of one run, solved one after the other; finished ones are taken from the store."""

    def __init__(
        self,
        network: Network,
        images: Array,
        labels: NDArray[np.int64],
        plan: Plan,
        store: RunStore,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> None:
        self.network, self.images, self.labels, self.plan = network, images, labels, plan
        self.store, self.progress = store, progress
        self.layers = TorchLayers(network, str(torch_device(plan.device)))
        self.norms = unit_norms(network)
        self.outcomes: dict[int, LayerOutcome] = {}
        self.done = 0
        groups = list(range(len(network.groups)))
        self.steps = groups[::-1] if plan.order == "backward" else groups
        self.total = len(groups) * (1 + (plan.sweeps if plan.order != "decoupled" else 0))
        self.base_key = {
            "network": network.fingerprint, "images": fingerprint_images(images), "labels": labels.tolist(),
        } | asdict(plan)  # fmt: skip

    def run(self) -> bool:
        """Solve every subproblem; returns whether Ctrl-C stopped it before the end."""
        try:
            for group in self.steps:
                self.outcomes[group] = self.layer(group)
            if self.plan.order != "decoupled":
                for _ in range(self.plan.sweeps):
                    self.sweep()
        except KeyboardInterrupt:
            return True
        return False

    def sweep(self) -> None:
        """Score each layer once more with the others cut as they are now; a cut that lowers the loss replaces the
        old."""
        for group in self.steps:
            before = self.loss(self.masks({group: self.outcomes[group].keep}))
            again = self.layer(group)
            if self.loss(self.masks({group: again.keep})) < before:
                self.outcomes[group] = again

    def masks(self, also: dict[int, Array] | None = None) -> dict[int, Tensor]:
        """Masks of the layers that are cut so far, and of ``also``, by group."""
        cut = {} if self.plan.order == "decoupled" else {g: o.keep for g, o in self.outcomes.items()}
        return {g: self.tensor(keep) for g, keep in (cut | (also or {})).items()}

    def tensor(self, values: Array) -> Tensor:
        """The values on the device of the run."""
        return torch.as_tensor(values, dtype=self.layers.dtype, device=self.layers.device)

    def loss(self, scores: dict[int, Tensor]) -> float:
        """Mean cross-entropy of the network with each unit's activation multiplied by its score."""
        total = 0.0
        labels = torch.as_tensor(self.labels, device=self.layers.device)
        with torch.no_grad():
            for part, x in self.layers.batches(self.images, self.layers.batch_size()):
                logits = self.layers.run(x, scores)[-1].reshape(len(x), -1).double()
                total += float(F.cross_entropy(logits, labels[part], reduction="sum"))
        return total / len(self.images)

    def layer(self, group: int) -> LayerOutcome:
        """The subproblem of one score group, with the other groups cut as far as the order says."""
        others = {g: keep for g, keep in self.masks().items() if g != group}
        name = self.network.groups[group].name
        key = key_of(**self.base_key, group=name, others={g: m.tolist() for g, m in others.items()})
        known = self.store.get(key)
        if known is None:
            self.tell(f"{name}: columns")
            outcome = self.solve(group, others)
            self.store.put(key, _record(outcome))
        else:
            outcome = _outcome(known)
        self.done += 1
        self.tell(f"{name}: {outcome.result.status}, gap {outcome.result.gap:.2g}")
        return outcome

    def solve(self, group: int, others: dict[int, Tensor]) -> LayerOutcome:
        """Columns, the program (or a path of programs, from which the best cut is taken), and the replay check."""
        began = time.monotonic()
        columns, head, accuracy = self.columns(group, others)
        made = time.monotonic()
        price, offset = self.price(group)
        tangents = Tangents()
        best: tuple[float, ConvexResult, Array, float] | None = None
        calls = 0
        for weight in (self.plan.weight,) if self.plan.amount is None else PATH:
            result = self.program(columns, price, offset, weight, tangents)
            calls += result.calls
            keep = self.cut(group, result.scores)
            value = 0.0
            if self.plan.amount is not None:
                value = self.loss(others | {group: self.tensor(keep)})
            if best is None or value < best[0]:
                best = (value, result, keep, weight)
        assert best is not None
        _, result, keep, weight = best
        solved = time.monotonic()
        check = self.check(group, others, columns, head, result.scores)
        gated = others | {group: self.tensor(result.scores)}
        loss = self.loss(gated)
        seconds = {"columns": made - began, "solve": solved - made, "replay": time.monotonic() - solved}
        sparsity = result.objective - weight * result.loss
        program = ProgramResult(
            (), result.status.value, result.objective, result.bound, result.gap, result.loss, sparsity, loss, check,
            None, calls, len(tangents.level), seconds, result.message, weight,
        )  # fmt: skip
        return LayerOutcome(result.scores, keep, program, result.solver, result.version, head, accuracy)

    def program(self, columns: Columns, price: Array, offset: float, weight: float, tangents: Tangents) -> ConvexResult:
        """The convex program of one layer at one weight."""
        plan = self.plan
        return minimise_convex(
            columns, price, weight, offset=offset, solver=plan.solver, binary=plan.binary, tolerance=plan.tolerance,
            time_limit=plan.time_limit, tangents=tangents, seed=plan.seed,
            progress=lambda line: self.tell(f"weight {weight:g}, {line}"),
        )  # fmt: skip

    def columns(self, group: int, others: dict[int, Tensor]) -> tuple[Columns, str, float | None]:
        """The columns of a group, the head that they are of, and the accuracy of a trained head."""
        if self.plan.head == "linear" and not is_affine_after(self.layers, group):
            head = train_linear_head(
                self.layers, self.images, self.labels, group, others, epochs=_EPOCHS, seed=self.plan.seed
            )
            return head_columns(self.layers, self.images, self.labels, group, others, head), "linear", head.accuracy
        exact = "rest" if is_affine_after(self.layers, group) else "pattern"
        return rest_columns(self.layers, self.images, self.labels, group, others), exact, None

    def price(self, group: int) -> tuple[Array, float]:
        """Price of each score in the subproblem's sparsity, and its constant: of this layer alone."""
        entry = self.network.groups[group]
        if self.plan.sparsity == "published":
            return np.full(entry.size, 1.0 / entry.divisor), -2.0 * entry.size / entry.divisor
        if self.plan.sparsity == "parameters":
            saved = entry.parameters.astype(np.float64)
            return saved / saved.sum(), 0.0
        return np.full(entry.size, 1.0 / entry.size), 0.0

    def cut(self, group: int, scores: Array) -> Array:
        """Which units stay, 1 or 0: by the amount, or by the threshold. One unit always stays."""
        entry = self.network.groups[group]
        norm = self.norms[entry.name]
        order = removal_order(scores, norm / (norm.max() or 1.0))
        if self.plan.amount is None:
            go = order[scores[order] < self.plan.threshold]
        else:
            go = order[: removal_count(self.plan.amount, entry.size)]
        keep = np.ones(entry.size)
        keep[go[: entry.size - 1]] = 0.0
        return keep

    def check(
        self, group: int, others: dict[int, Tensor], columns: Columns, head: str, scores: Array
    ) -> ReplayCheck | None:
        """The columns' logits against the network's own in double precision, on the first images.

        Where the columns are exact ("rest") at these scores; for "pattern" at scores of 1, where they must agree too. A
        trained head is no part of the network, so there is nothing to replay.
        """
        if head == "linear":
            return None
        images = self.images[:_CHECKED]
        entry = self.network.groups[group]
        at = scores if head == "rest" else np.ones(entry.size)
        by_name = {g.name: np.ones(g.size) for g in self.network.groups}
        by_name |= {self.network.groups[g].name: mask.double().cpu().numpy() for g, mask in others.items()}
        logits = self.network.replay(images, by_name | {entry.name: at})
        s = torch.as_tensor(at, dtype=columns.g.dtype, device=columns.g.device)
        ours = columns.base[: len(images)] + columns.g[: len(images)] @ s
        difference = float(np.abs(logits - ours.double().cpu().numpy()).max())
        tolerance = 1e-3 * max(1.0, float(np.abs(logits).max()))
        return ReplayCheck(difference, 0.0, tolerance, difference <= tolerance)

    def tell(self, line: str) -> None:
        """Report progress."""
        if self.progress is not None:
            self.progress(min(self.done, self.total), self.total, line)


def layerwise_scores(
    network: Network,
    images: Array,
    labels: NDArray[np.int64],
    data: Dataset,
    plan: Plan,
    store: RunStore,
    progress: Callable[[int, int, str], None] | None = None,
) -> Scores:
    """Scores of the strategies "decoupled", "forward" and "backward" for images (n, *input_shape) and labels (n,).

    Layers that an interruption left unscored have scores of 1. Raises KeyboardInterrupt where it left all.
    """
    run = DecoupledRun(network, images, labels, plan, store, progress)
    interrupted = run.run()
    if not run.outcomes:
        raise KeyboardInterrupt
    found = [run.outcomes[g] for g in sorted(run.outcomes)]
    scores = {
        group.name: run.outcomes[g].scores if g in run.outcomes else np.ones(group.size)
        for g, group in enumerate(network.groups)
    }
    seconds = total_seconds(outcome.result for outcome in found)
    heads = {outcome.head: None for outcome in found}
    options = asdict(plan) | {"version": found[0].version, "input_shape": list(network.input_shape)}
    return Scores(
        by_layer=scores, strategy=plan.order, gate="switch", solver=found[0].solver, version=found[0].version,
        relaxed=False, programs=tuple(outcome.result for outcome in found), options=options, source=data.source,
        network=network.fingerprint, planned=len(network.groups), interrupted=interrupted, seconds=seconds,
        images=len(images), head=" and ".join(heads),
    )  # fmt: skip


def _record(outcome: LayerOutcome) -> dict[str, Any]:
    return asdict(outcome) | {"scores": outcome.scores.tolist(), "keep": outcome.keep.tolist()}


def _outcome(record: dict[str, Any]) -> LayerOutcome:
    arrays = {"scores": np.asarray(record["scores"]), "keep": np.asarray(record["keep"])}
    return LayerOutcome(**record | arrays | {"result": read_program(record["result"])})
