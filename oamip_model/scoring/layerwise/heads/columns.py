"""Subproblems whose logits are affine in one layer's scores.

There is one column per unit for each image (mathematics:layer-1).

With g[n, c, u] what unit u adds to logit c of image n, the logits are g @ s + base (mathematics:layer-1). Their number
does not depend on the size of the picture, and the loss and its gradient are one pass over the columns.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from oamip_model.network.maps import Array
from oamip_model.refit.slim import scored_slim
from oamip_model.scoring.layerwise.heads.representation import Representation
from oamip_model.scoring.layerwise.losses import SummedLoss, summed_loss
from oamip_model.torchnet.layers import TorchLayers


class Oracle(ABC):
    """The mean loss of logits that are affine in the scores, over the weighted images.

    Calling it gives the loss and its gradient.

    labels: (n,); loss: of the logits, convex, the cross-entropy unless it is set to another. Logits are computed in the
    precision of the columns, sums in double precision.
    """

    labels: Tensor
    loss: SummedLoss = summed_loss("cross-entropy")
    chunk = 5000

    @abstractmethod
    def logits(self, scores: Tensor, part: slice) -> Tensor:
        """Logits of a part of the images, (part, classes), at scores (units,)."""

    @abstractmethod
    def gradient(self, slope: Tensor, part: slice) -> Tensor:
        """The gradient of a loss by the scores, (units,), from that by the logits.

        The slope is by the logits of a part, (part, classes).
        """

    @property
    @abstractmethod
    def kind(self) -> Tensor:
        """A tensor of the precision and on the device of the columns."""

    def __call__(self, scores: Array) -> tuple[float, Array]:
        """Mean loss over the weighted images, and its gradient by the scores (units,)."""
        s = torch.as_tensor(scores, dtype=self.kind.dtype, device=self.kind.device)
        whole, total = 0.0, np.zeros(len(scores))
        count = len(self.labels)
        for start in range(0, count, self.chunk):
            part = slice(start, min(start + self.chunk, count))
            loss, slope = self.loss(self.logits(s, part).double(), self.labels[part], part)
            whole += loss
            total += self.gradient(slope.to(s.dtype), part).double().cpu().numpy()
        return whole / count, total / count


@dataclass
class Columns(Oracle):
    """Logits of n images as base + g @ s, with a matrix for each image.

    g: (n, classes, units) and base: (n, classes) in single precision; labels: (n,).
    """

    g: Tensor
    base: Tensor
    labels: Tensor

    def logits(self, scores: Tensor, part: slice) -> Tensor:
        """See :class:`Oracle`."""
        return self.base[part] + self.g[part] @ scores

    def gradient(self, slope: Tensor, part: slice) -> Tensor:
        """See :class:`Oracle`."""
        return slope.reshape(-1) @ self.g[part].reshape(-1, self.g.shape[2])

    @property
    def kind(self) -> Tensor:
        """See :class:`Oracle`."""
        return self.g


@dataclass
class SharedColumns(Oracle):
    """Logits of n images as base + weight @ (s * features).

    One weight is for all images.

    features: (n, units, positions); weight: (classes, units, positions); base: (classes,); labels: (n,). Where a unit
    has fewer positions than there are classes, this is smaller than :class:`Columns`, and quicker.
    """

    features: Tensor
    weight: Tensor
    base: Tensor
    labels: Tensor

    def logits(self, scores: Tensor, part: slice) -> Tensor:
        """See :class:`Oracle`."""
        scored = self.weight * scores[:, None]
        return F.linear(self.features[part].flatten(1), scored.flatten(1), self.base)

    def gradient(self, slope: Tensor, part: slice) -> Tensor:
        """See :class:`Oracle`."""
        by_class = (slope.T @ self.features[part].flatten(1)).reshape(self.weight.shape)
        return (by_class * self.weight).sum(dim=(0, 2))

    @property
    def kind(self) -> Tensor:
        """See :class:`Oracle`."""
        return self.features


def shared_columns(
    features: Representation,
    weight: Tensor,
    base: Tensor,
    labels: NDArray[np.int64],
    known: Tensor | None = None,
) -> Oracle:
    """Columns of one affine map for all images, base + weight @ features.

    They are in the smaller of the two forms.

    weight: (classes, units, positions); base: (classes,); known: the features, where they were computed before.
    """
    classes, units, positions = weight.shape
    marks = torch.as_tensor(labels, device=weight.device)
    if positions <= classes:
        return SharedColumns(features.tensor() if known is None else known, weight, base, marks)
    g = torch.empty((len(labels), classes, units), dtype=weight.dtype, device=weight.device)
    for part, r in features.batches() if known is None else [(slice(None), known)]:
        g[part] = torch.einsum("nup,cup->ncu", r, weight)
    return Columns(g, base.expand(len(labels), -1), marks)


def rest_columns(
    layers: TorchLayers, images: Array, labels: NDArray[np.int64], group: int, keep: Mapping[int, Tensor]
) -> Oracle:
    """Exact columns of the rest of the network.

    Nothing but the loss is non-linear after the score there.

    keep: masks of the other groups, by index. The rest is one affine map of the layer's activations, the same for all
    images, so it is read off the first one.
    """
    features = Representation(layers, images, group, keep, pooled=False)
    with torch.no_grad():
        first = torch.as_tensor(images[:1], dtype=layers.dtype, device=layers.device)
        known = layers.run(first, keep, upto=features.k)
    h = known[-1].requires_grad_()
    logits = layers.run(first, keep, [*known[:-1], h])[-1].reshape(-1)
    rows = [torch.autograd.grad(logit, h, retain_graph=True)[0].reshape(-1) for logit in logits]
    weight = torch.stack(rows)
    base = logits.detach() - weight @ h.detach().reshape(-1)
    return shared_columns(features, weight[:, features.order], base, labels)


def pattern_columns(
    layers: TorchLayers,
    images: Array,
    labels: NDArray[np.int64],
    group: int,
    keep: Mapping[int, Tensor],
    at: Tensor | None = None,
) -> Columns:
    """Columns of the rest of the network with its ReLU states held.

    ReLUs and pooling choices are those that it has at scores ``at``.

    That is the network linearised at each image: the tangent that it follows as long as no later ReLU changes its
    state. keep: masks of the other groups, by index; at: (units,), all 1 if not given.
    """
    layers, group, keep = _without_cut(layers, group, keep)
    network = layers.network
    count = network.groups[group].size
    first = network.groups[group].layers[0]
    g = torch.empty((len(images), network.classes, count), dtype=layers.dtype, device=layers.device)
    base = torch.empty((len(images), network.classes), dtype=layers.dtype, device=layers.device)
    point = torch.ones(count, dtype=layers.dtype, device=layers.device) if at is None else at
    for part, x in layers.batches(images, layers.gradient_batch_size()):
        with torch.no_grad():
            known = layers.run(x, keep, upto=first - 1) if first else []
        scores = point.repeat(len(x), 1).requires_grad_()
        logits = layers.run(x, {**keep, group: scores}, known)[-1].reshape(len(x), -1)
        for c in range(network.classes):
            last = c == network.classes - 1
            (slope,) = torch.autograd.grad(logits[:, c].sum(), scores, retain_graph=not last)
            g[part, c] = slope
        base[part] = logits.detach() - g[part] @ point
    return Columns(g, base, torch.as_tensor(labels, device=layers.device))


def _without_cut(
    layers: TorchLayers, group: int, keep: Mapping[int, Tensor]
) -> tuple[TorchLayers, int, Mapping[int, Tensor]]:
    """The layers, a group and masks of the others, with the cut units left out where they can be."""
    network = layers.network
    masks = {g: mask.double().cpu().numpy() for g, mask in keep.items() if g != group}
    if not any((mask == 0).any() for mask in masks.values()):
        return layers, group, keep
    slim = scored_slim(network, group, masks)
    return (layers, group, keep) if slim is None else (TorchLayers(slim, str(layers.device), layers.dtype), 0, {})


def is_affine_after(layers: TorchLayers, group: int) -> bool:
    """Whether nothing but the loss is non-linear after the group's scores.

    Then :func:`rest_columns` can be made.
    """
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
