"""Heads of decoupled subproblems: small classifiers trained on one layer's representation, the network frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from oamip_model.network.ops import Array
from oamip_model.scoring.layers import TorchLayers

_RATE = 1e-3
_BATCH = 128


@dataclass(frozen=True)
class LinearHead:
    """One affine map from a representation (activations,) to logits: weight (classes, activations), bias (classes,).

    accuracy: share of the images it was trained on that it classifies correctly, which a network's own accuracy can be
    compared with.
    """

    weight: Tensor
    bias: Tensor
    accuracy: float


def train_linear_head(
    layers: TorchLayers,
    images: Array,
    labels: NDArray[np.int64],
    group: int,
    keep: Mapping[int, Tensor],
    *,
    epochs: int = 5,
    seed: int = 0,
) -> LinearHead:
    """A linear head on the representation of a score group's last layer, trained by Adam on cross-entropy.

    keep: masks of the groups that were cut before, by index. The representation is computed batch by batch and not
    held, so memory does not grow with the picture.
    """
    k = layers.network.groups[group].layers[-1]
    size, classes = layers.network.layers[k].size, layers.network.classes
    draw = torch.Generator().manual_seed(seed)
    weight = torch.zeros((classes, size), dtype=layers.dtype, device=layers.device, requires_grad=True)
    bias = torch.zeros(classes, dtype=layers.dtype, device=layers.device, requires_grad=True)
    optimiser = torch.optim.Adam([weight, bias], lr=_RATE)
    targets = torch.as_tensor(labels, device=layers.device)
    for _ in range(epochs):
        order = torch.randperm(len(images), generator=draw)
        for rows in torch.split(order, _BATCH * 8):
            with torch.no_grad():
                x = torch.as_tensor(images[rows.numpy()], dtype=layers.dtype, device=layers.device)
                r = layers.run(x, keep, upto=k)[k].reshape(len(rows), -1)
            for start in range(0, len(rows), _BATCH):
                part = rows[start : start + _BATCH]
                optimiser.zero_grad()
                loss = F.cross_entropy(F.linear(r[start : start + _BATCH], weight, bias), targets[part])
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    right = 0
    with torch.no_grad():
        for part_, x in layers.batches(images, layers.batch_size()):
            logits = F.linear(layers.run(x, keep, upto=k)[k].reshape(len(x), -1), weight, bias)
            right += int((logits.argmax(dim=1) == targets[part_]).sum())
    return LinearHead(weight.detach(), bias.detach(), right / len(images))
