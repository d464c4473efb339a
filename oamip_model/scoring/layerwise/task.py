"""One layer's subproblem as plain data, for every head.

It can be sent to another process.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.clock import finishing
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.network.maps import Array
from oamip_model.network.norms import unit_norms
from oamip_model.network.types import Network
from oamip_model.refit.slim import scored_slim, slim_network
from oamip_model.scoring.layerwise.losses import SummedLoss, summed_loss
from oamip_model.scoring.layerwise.plan import LayerOutcome, Plan
from oamip_model.scoring.select import removal_count, removal_order
from oamip_model.torchnet.layers import TorchLayers


@dataclass(frozen=True, eq=False)
class LayerTask:
    """The subproblem of one score group: arrays only, no modules.

    Parameters
    ----------
    network : Network
        The network.
    images : array
        Images (n, *input_shape).
    labels : array of int
        Labels (n,).
    group : int
        The scored group.
    others : dict of int to array
        Masks (units,) of the groups that are cut already. Missing groups are whole.
    plan : Plan
        The options of the run.
    heads : mapping of str to Network
        Auxiliary heads that were trained before, by group name.
    image_weights : array, optional
        Weights (n,) of the images' losses, with mean 1, where they count differently.
    at : array, optional
        Scores (units,) of the group at which the head "pattern" is linearised, by default all 1.
    """

    network: Network
    images: Array
    labels: NDArray[np.int64]
    group: int
    others: dict[int, Array]
    plan: Plan
    heads: Mapping[str, Network] = field(default_factory=dict)
    at: Array | None = None
    image_weights: Array | None = None

    @property
    def name(self) -> str:
        """Name of the scored group."""
        return self.network.groups[self.group].name

    def torch_layers(self) -> TorchLayers:
        """The network in torch, on the plan's device."""
        return TorchLayers(self.network, self.plan.device)

    @property
    def weights(self) -> tuple[float, ...]:
        """The weights of the loss to solve, against the sparsity of this layer alone.

        With the scope "global" the plan's weights are against the sparsity of all layers, times
        their number. Each unit of "mean" has the same price in it. So this layer's part is its
        share of the total price.
        """
        part = sparsity_named(self.plan.sparsity).layer_part(self.network, self.group)
        if self.plan.scope == "layer" or part is None:
            return self.plan.weights
        return tuple(weight / (part * len(self.network.groups)) for weight in self.plan.weights)

    def price(self) -> tuple[Array, float]:
        """Price of each score (units,) in the subproblem's sparsity, and its constant.

        They are of this layer alone.
        """
        return sparsity_named(self.plan.sparsity).layer_price(self.network, self.group)

    @cached_property
    def _norms(self) -> Array:
        """The weight norms of the group's units, (units,), at most 1. Each cut ranks ties by them."""
        norm = unit_norms(self.network)[self.name]
        return np.asarray(norm / (norm.max() or 1.0))

    def cut(self, scores: Array) -> Array:
        """Which units are kept, 1 or 0.

        It is by the plan's amount of each layer, or by its threshold. One unit is always kept.
        """
        entry = self.network.groups[self.group]
        order = removal_order(scores, self._norms)
        if self.plan.amount is None:
            go = order[scores[order] < self.plan.threshold]
        else:
            go = order[: removal_count(self.plan.amount, entry.size)]
        keep = np.ones(entry.size)
        keep[go[: entry.size - 1]] = 0.0
        return keep

    def measure(self, layers: TorchLayers, scores: Array) -> Measured:
        """How the network does with these scores of the group, the others cut."""
        return measure(layers, self.images, self.labels, self.others | {self.group: scores}, self.loss)

    @property
    def loss(self) -> SummedLoss:
        """The plan's loss of logits."""
        return summed_loss(self.plan.loss, self.plan.margin, self.image_weights)

    def settle(
        self, layers: TorchLayers, scores: Sequence[Array], outcome: Callable[[int], LayerOutcome]
    ) -> LayerOutcome:
        """The outcome of the weight whose cut does best on the images.

        Of a path of weights it is the last, with all others.

        scores: (units,) by the plan's weights; outcome: makes the outcome of the weight at this place. Where the time
        does not suffice to measure all, it is the best of those that were, or the last that was tried.
        """
        if self.plan.path:
            path = tuple(outcome(number) for number in range(len(scores)))
            return replace(path[-1], path=path)
        if len(scores) == 1:
            return outcome(0)
        began = time.monotonic()
        found: list[Measured] = []
        known: dict[bytes, Measured] = {}
        with finishing(self.plan.time_limit):
            for cut in map(self.cut, scores):
                if cut.tobytes() not in known:
                    known[cut.tobytes()] = self.measure(layers, cut)
                found.append(known[cut.tobytes()])
        took = time.monotonic() - began
        best = outcome(found.index(min(found)) if found else len(scores) - 1)
        return replace(best, result=replace(best.result, seconds=best.result.seconds | {"comparisons": took}))


def tensors(layers: TorchLayers, values: Mapping[int, Array]) -> dict[int, Tensor]:
    """The values by group as tensors of the layers' kind, on their device."""
    return {g: torch.as_tensor(v, dtype=layers.dtype, device=layers.device) for g, v in values.items()}


def named_masks(network: Network, scores: Mapping[int, Array]) -> dict[str, NDArray[np.bool_]]:
    """Which units of each group have a score above one half, by name.

    They are all units where a group has no scores.
    """
    return {g.name: np.asarray(scores.get(k, np.ones(g.size))) > 0.5 for k, g in enumerate(network.groups)}


class Measured(NamedTuple):
    """How a network does on images: share classified wrongly, and mean loss.

    Both are over the weighted images. They are compared in this order.
    """

    wrong: float
    loss: float


def measure(
    layers: TorchLayers, images: Array, labels: NDArray[np.int64], scores: Mapping[int, Array], loss: SummedLoss
) -> Measured:
    """How the network does with each unit's activation times its score.

    Scores of missing groups are 1.

    Sums are in double precision. What is computed is the network without the units that are cut, where at most one
    group has other scores than 0 and 1.
    """
    open_ones = [g for g, s in scores.items() if not np.isin(s, (0.0, 1.0)).all()]
    if len(open_ones) == 1 and len(scores) > 1:
        rest = {g: s for g, s in scores.items() if g != open_ones[0]}
        left = scored_slim(layers.network, open_ones[0], rest)
        if left is not None:
            layers, scores = TorchLayers(left, str(layers.device), layers.dtype), {0: scores[open_ones[0]]}
    elif scores and not open_ones:
        slim = slim_network(layers.network, named_masks(layers.network, scores))
        if slim.has_all_layers:
            layers = TorchLayers(slim.network, str(layers.device), layers.dtype)
            scores = slim.gates
    gates = tensors(layers, scores)
    marks = torch.as_tensor(labels, device=layers.device)
    wrong, total = 0.0, 0.0
    for part, x in layers.batches(images, layers.batch_size()):
        with torch.no_grad():
            logits = layers.output(x, gates).reshape(len(x), -1).double()
        wrong += loss.wrong(logits, marks[part], part)
        total += loss(logits, marks[part], part)[0]
    return Measured(wrong / len(images), total / len(images))
