"""The objective of many score vectors at once, in torch, with gradients.

It is that of the network with a sound gate's scores.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.formulation import Formulation, gate_scale
from oamip_model.formulation.gates import PRODUCT, gate_named
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Network
from oamip_model.torchnet.layers import TorchLayers

PENALTY = 100.0
"""Weight of a loss that is rows of the program and not in its objective."""


class GatedObjective(TorchLayers):
    """The objective weight * loss + sparsity of score vectors (k, units).

    All of them are computed in one pass. The program is that of some images (n, *input_shape) and
    labels (n,), in a sound gate. A loss that is not in the objective has the weight PENALTY. An
    example is the amount by which the mean image misses a margin.

    With ``product`` scores multiply activations whatever the gate is. This changes nothing at
    scores of 0 and 1, and has gradients where a gate that subtracts has none. ``sparsity`` gives
    the sparsity term (k,), and ``weights`` are those of the images' losses (n,), with mean 1.
    """

    def __init__(
        self,
        network: Network,
        images: Array,
        labels: NDArray[np.int64],
        settings: Formulation,
        *,
        product: bool = False,
        dtype: torch.dtype = torch.float32,
        weights: Array | None = None,
    ) -> None:
        super().__init__(network, dtype=dtype)
        self.settings, self.count = settings, len(images)
        self.images = torch.as_tensor(images, dtype=dtype)
        self.labels = torch.as_tensor(labels)
        self.weights = torch.as_tensor(np.ones(self.count) if weights is None else weights, dtype=dtype)
        self.sizes = [group.size for group in network.groups]
        self.scale: list[Tensor] | None = None
        self.how = gate_named(PRODUCT if product else settings.gate)
        if self.how.scaled:
            self.scale = [torch.as_tensor(m, dtype=dtype) for m in gate_scale(network, images, settings.gate)]
        self.judged = loss_named(settings.loss)
        self.sparsity = sparsity_named(settings.sparsity).in_torch(network, dtype)
        self.fixed = self._fixed()

    def _fixed(self) -> dict[int, Tensor]:
        """Pre-activations (n, *pre_shape) of the layers that no score reaches."""
        found: dict[int, Tensor] = {}
        outputs: dict[int, Tensor] = {}
        with torch.no_grad():
            for k, layer in enumerate(self.network.layers):
                if any(term.source != IMAGE and term.source not in outputs for term in layer.terms):
                    continue
                found[k] = super().before(k, self.images, outputs)
                if layer.group is None:
                    outputs[k] = self.activate(layer, found[k])
        return found

    def before(self, k: int, images: Tensor, outputs: Mapping[int, Tensor]) -> Tensor:
        """Pre-activation of layer k for every score vector and image.

        It has the shape (vectors x images, *pre_shape).
        """
        if k not in self.fixed:
            return super().before(k, images, outputs)
        return self.fixed[k].repeat(len(images) // self.count, *([1] * (self.fixed[k].ndim - 1)))

    def passed(self, k: int, a: Tensor, s: Tensor) -> Tensor:
        """What the gate makes of a scored layer k."""
        if self.scale is None:
            return self.how.torch_output(a, s, torch.ones(()))
        scale = self.scale[k].reshape(1, self.count, *a.shape[1:]).expand(len(a) // self.count, -1, *a.shape[1:])
        return self.how.torch_output(a, s, scale.reshape(a.shape))

    def logits(self, scores: Tensor) -> Tensor:
        """Logits (k, n, classes) of score vectors (k, units)."""
        images = self.images.repeat(len(scores), *([1] * (self.images.ndim - 1)))
        rows = scores.repeat_interleave(self.count, dim=0)
        parts = dict(enumerate(torch.split(rows, self.sizes, dim=1)))
        return self.output(images, parts).reshape(len(scores), self.count, -1)

    def loss(self, logits: Tensor) -> Tensor:
        """Mean loss of each score vector over the weighted images, (k,)."""
        labels = self.labels.expand(len(logits), -1)
        return (self.judged.torch_values(logits, labels, self.settings.margin) * self.weights).mean(dim=1)

    def set_prices(self, prices: Tensor) -> None:
        """Another linear sparsity from now on: prices (units,) @ scores."""
        self.sparsity = lambda scores: scores @ prices

    def __call__(self, scores: Tensor) -> Tensor:
        """weight * loss + sparsity of each score vector (k, units): (k,)."""
        weight = self.settings.weight if self.judged.weighted else PENALTY
        return weight * self.loss(self.logits(scores)) + self.sparsity(scores)

    def most(self, budget: int = 2**24) -> int:
        """Score vectors at once that fit into the budget of numbers.

        A gradient needs all layers' outputs.
        """
        return max(1, budget // (self.count * sum(layer.size for layer in self.network.layers)))
