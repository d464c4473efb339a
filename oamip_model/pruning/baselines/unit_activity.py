"""Simple rules that use the activity of each unit on images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.pruning.rebuild import to_module


@dataclass(frozen=True)
class Activity:
    """The activity of each unit on images, over all its ReLUs and positions.

    Each field is a mapping of groups to arrays (units,).

    Parameters
    ----------
    mean : dict of str to array
        Mean activation.
    zeros : dict of str to array
        Share of activations that are zero.
    signed, absolute : dict of str to array, optional
        Means over images of the derivative of the cross-entropy by a factor on all activations of
        the unit, and of its absolute value. They are None without labels.
    """

    mean: dict[str, Array]
    zeros: dict[str, Array]
    signed: dict[str, Array] | None
    absolute: dict[str, Array] | None


def unit_activity(network: Network, images: Array, labels: Array | None, batch_size: int) -> Activity:
    """What each unit does on images (n, *input_shape), in double precision.

    Images are taken in batches of ``batch_size``.
    """
    module = to_module(network).double()
    sums = {name: {group.name: np.zeros(group.size) for group in network.groups} for name in _SUMS}
    activations = {group.name: np.zeros(group.size) for group in network.groups}
    gates: dict[str, Tensor] = {}

    def gating(group: str, units: Tensor) -> Callable[[nn.Module, Any, Tensor], Tensor]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
            # One factor for each image, so that one backward pass gives the derivatives of every image.
            flat = output.detach().flatten(1)
            for name, values in (("mean", flat), ("zeros", (flat == 0).double())):
                total = torch.zeros(len(sums[name][group]), dtype=torch.float64)
                sums[name][group] += total.index_add_(0, units, values.sum(0)).numpy()
            return output * gates[group][:, units].reshape(output.shape)

        return hook

    for index, layer in enumerate(network.layers):
        if layer.group is not None and layer.units is not None:
            group = network.groups[layer.group]
            activations[group.name] += np.bincount(layer.units, minlength=group.size)
            relu = module.get_submodule(module.steps[index].after[-1])
            relu.register_forward_hook(gating(group.name, torch.tensor(layer.units)))
    for start in range(0, len(images), batch_size):
        batch = torch.tensor(images[start : start + batch_size])
        for group in network.groups:
            ones = torch.ones(len(batch), group.size, dtype=torch.float64)
            gates[group.name] = ones.requires_grad_(labels is not None)
        with torch.set_grad_enabled(labels is not None):
            logits = module(batch)
        if labels is None:
            continue
        wanted = torch.tensor(labels[start : start + batch_size])
        loss = nn.functional.cross_entropy(logits.reshape(len(batch), -1), wanted, reduction="sum")
        for name, derivative in zip(gates, torch.autograd.grad(loss, list(gates.values())), strict=True):
            sums["signed"][name] += derivative.sum(0).numpy()
            sums["absolute"][name] += derivative.abs().sum(0).numpy()

    def mean(name: str, each: bool) -> dict[str, Array]:
        return {
            group: total / (len(images) * (activations[group] if each else 1.0)) for group, total in sums[name].items()
        }

    told = labels is not None
    return Activity(
        mean("mean", True),
        mean("zeros", True),
        mean("signed", False) if told else None,
        mean("absolute", False) if told else None,
    )


_SUMS = ("mean", "zeros", "signed", "absolute")
