"""Decoupled scoring: one program a layer, from every image, with a certified gap each (FORMULATION.md 6)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from oamip_model.bounds import fingerprint_images
from oamip_model.data import Dataset
from oamip_model.network.ops import Array
from oamip_model.network.types import Network
from oamip_model.scoring.layers import TorchLayers
from oamip_model.scoring.plan import LayerOutcome, Plan
from oamip_model.scoring.result import Scores, total_seconds
from oamip_model.scoring.store import RunStore, key_of
from oamip_model.scoring.subproblem import solve_layer
from oamip_model.scoring.task import LayerTask, network_accuracy, network_loss


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
        self.layers = TorchLayers(network, plan.device)
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
            before = self.loss(self.cut())
            again = self.layer(group)
            if self.loss(self.cut() | {group: again.keep}) < before:
                self.outcomes[group] = again

    def cut(self) -> dict[int, Array]:
        """Masks of the layers that are cut so far, by group; where each layer is on its own, none."""
        return {} if self.plan.order == "decoupled" else {g: o.keep for g, o in self.outcomes.items()}

    def loss(self, scores: dict[int, Array]) -> float:
        """Mean cross-entropy of the network with these scores."""
        return network_loss(self.layers, self.images, self.labels, scores)

    def layer(self, group: int) -> LayerOutcome:
        """The subproblem of one score group, with the other groups cut as far as the order says."""
        others = {g: keep for g, keep in self.cut().items() if g != group}
        name = self.network.groups[group].name
        key = key_of(**self.base_key, group=name, others={g: m.tolist() for g, m in others.items()})
        known = self.store.get(key)
        if known is None:
            self.tell(f"{name}: columns")
            task = LayerTask(self.network, self.images, self.labels, group, others, self.plan)
            outcome = solve_layer(task, self.tell)
            self.store.put(key, outcome.record())
        else:
            outcome = LayerOutcome.from_record(known)
        self.done += 1
        self.tell(f"{name}: {outcome.result.status}, gap {outcome.result.gap:.2g}")
        return outcome

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
    full = None
    if any(outcome.result.trained is not None for outcome in found):
        full = network_accuracy(run.layers, images, labels)
    options = asdict(plan) | {"version": found[0].version, "input_shape": list(network.input_shape)}
    return Scores(
        by_layer=scores, strategy=plan.order, gate="switch", solver=found[0].solver, version=found[0].version,
        relaxed=False, programs=tuple(outcome.result for outcome in found), options=options, source=data.source,
        network=network.fingerprint, planned=len(network.groups), interrupted=interrupted, seconds=seconds,
        images=len(images), head=" and ".join(heads), network_accuracy=full,
    )  # fmt: skip
