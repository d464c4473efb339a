"""Decoupled subproblems whose logits are affine in one layer's scores: one column per unit for each image.

With g[n, c, u] what unit u adds to logit c of image n, the logits are g @ s + base (FORMULATION.md 6). Their number
does not depend on the size of the picture, and the loss and its gradient are one pass over the columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from oamip_model.network.ops import Array
from oamip_model.scoring.heads import LinearHead
from oamip_model.scoring.layers import TorchLayers, spread_by_unit


@dataclass
class Columns:
    """Logits of n images as base + g @ s.

    g: (n, classes, units) and base: (n, classes) in single precision; labels: (n,). A call is an oracle of the mean
    cross-entropy: from scores (units,) to the loss and its gradient, summed in double precision.
    """

    g: Tensor
    base: Tensor
    labels: Tensor
    chunk: int = 5000

    def __call__(self, scores: Array) -> tuple[float, Array]:
        """Mean cross-entropy over the images, and its gradient by the scores (units,)."""
        s = torch.as_tensor(scores, dtype=self.g.dtype, device=self.g.device)
        count, _, units = self.g.shape
        loss = 0.0
        gradient = np.zeros(units)
        for start in range(0, count, self.chunk):
            part = self.g[start : start + self.chunk]
            labels = self.labels[start : start + self.chunk]
            logits = (self.base[start : start + self.chunk] + part @ s).double()
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
            slope = torch.softmax(logits, dim=1)
            slope[torch.arange(len(labels)), labels] -= 1.0
            flat = slope.to(part.dtype).reshape(-1) @ part.reshape(-1, units)
            gradient += flat.double().cpu().numpy()
        return loss / count, gradient / count


def head_columns(
    layers: TorchLayers,
    images: Array,
    labels: NDArray[np.int64],
    group: int,
    keep: Mapping[int, Tensor],
    head: LinearHead,
) -> Columns:
    """Columns of the linear head: unit u adds weight @ representation of its activations."""
    k = layers.network.groups[group].layers[-1]
    units = layers.network.layers[k].units
    assert units is not None
    count = layers.network.groups[group].size
    order = torch.as_tensor(spread_by_unit(units, count), device=layers.device)
    weight = head.weight[:, order]  # (classes, units, activations of a unit)
    g = torch.empty((len(images), len(weight), count), dtype=layers.dtype, device=layers.device)
    with torch.no_grad():
        for part, x in layers.batches(images, layers.batch_size()):
            r = layers.run(x, keep, upto=k)[k].reshape(len(x), -1)[:, order]
            g[part] = torch.einsum("nup,cup->ncu", r, weight)
    base = head.bias.expand(len(images), -1)
    return Columns(g, base, torch.as_tensor(labels, device=layers.device))


def rest_columns(
    layers: TorchLayers, images: Array, labels: NDArray[np.int64], group: int, keep: Mapping[int, Tensor]
) -> Columns:
    """Columns of the rest of the network, with the ReLUs and pooling choices that it has where all scores are 1.

    Exact where nothing but the loss is non-linear after the score; otherwise the network linearised at each image: the
    tangent that it follows as long as no later ReLU changes its state. keep: masks of the other groups, by index.
    """
    network = layers.network
    count = network.groups[group].size
    first = network.groups[group].layers[0]
    g = torch.empty((len(images), network.classes, count), dtype=layers.dtype, device=layers.device)
    base = torch.empty((len(images), network.classes), dtype=layers.dtype, device=layers.device)
    for part, x in layers.batches(images, layers.batch_size(2**25)):
        with torch.no_grad():
            known = layers.run(x, keep, upto=first - 1) if first else []
        scores = torch.ones((len(x), count), dtype=layers.dtype, device=layers.device, requires_grad=True)
        logits = layers.run(x, {**keep, group: scores}, known)[-1].reshape(len(x), -1)
        for c in range(network.classes):
            last = c == network.classes - 1
            (slope,) = torch.autograd.grad(logits[:, c].sum(), scores, retain_graph=not last)
            g[part, c] = slope
        base[part] = logits.detach() - g[part].sum(dim=2)
    return Columns(g, base, torch.as_tensor(labels, device=layers.device))


def is_affine_after(layers: TorchLayers, group: int) -> bool:
    """Whether nothing but the loss is non-linear after the group's scores, so that :func:`rest_columns` is exact."""
    network = layers.network
    gated = network.groups[group].layers
    if len(gated) > 1:
        return False
    reached = {gated[0]}
    for k in range(gated[0] + 1, len(network.layers)):
        if any(term.source in reached for term in network.layers[k].terms):
            if network.layers[k].activation != "none":
                return False
            reached.add(k)
    return True
