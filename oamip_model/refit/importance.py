"""How much the trained network's answer depends on each output of a layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oamip_model.clock import tick
from oamip_model.network.types import Network
from oamip_model.refit.stream import ImageStream
from oamip_model.torchnet.layers import TorchLayers


@dataclass(frozen=True)
class Importance:
    """What a squared error of each output of a layer costs, in nats.

    Parameters
    ----------
    apart : Tensor
        Shape (channels,). The cost of errors that do not depend on each other, at any two positions.
    alike : Tensor
        Shape (channels,). The cost of an error that is the same at all positions of an image. It equals ``apart``
        where there are no positions.
    """

    apart: Tensor
    alike: Tensor

    def of(self, channels: Tensor) -> Importance:
        """The costs of some channels."""
        return Importance(self.apart[channels], self.alike[channels])


def output_importance(network: Network, stream: ImageStream, seed: int, device: str = "cpu") -> list[Importance]:
    """The cost of a squared error of each layer's outputs.

    It is half the mean squared gradient of the cross-entropy. For errors that are alike, the gradient is first
    summed over positions. To second order the softmax changes by so much (mathematics:elim-4).
    The classes are drawn from the network's own softmax, one for each image, so no labels are used.
    """
    layers = TorchLayers(network, device)
    generator = torch.Generator().manual_seed(seed)
    total = [torch.zeros(2, layer.pre_shape[0], dtype=torch.float64, device=layers.device) for layer in network.layers]
    size, begun = layers.gradient_batch_size(), 0
    for batch, _ in stream:
        for part in torch.split(torch.as_tensor(batch, dtype=layers.dtype), size):
            tick("importance of outputs")
            images = part.to(layers.device).requires_grad_()
            outputs: dict[int, Tensor] = {}
            befores: list[Tensor] = []
            for k, layer in enumerate(network.layers):
                befores.append(layers.before(k, images, outputs))
                outputs[k] = layers.activate(layer, befores[k])
            logits = outputs[len(network.layers) - 1].flatten(1)
            drawn = torch.multinomial(torch.softmax(logits.detach().cpu(), dim=1), 1, generator=generator)[:, 0]
            loss = torch.nn.functional.cross_entropy(logits, drawn.to(logits.device), reduction="sum")
            shares = stream.shares(begun, part)
            begun += len(part)
            slopes = torch.autograd.grad(loss, befores, allow_unused=True)
            for k, slope in enumerate(slopes):
                if slope is not None:
                    at = slope.double().reshape(len(part), total[k].shape[1], -1)
                    squares = torch.stack([at.square().sum(2), at.sum(2).square()])
                    total[k] += (squares if shares is None else squares * shares.to(squares)[:, None]).sum(1)
    return [Importance(*(value / (2 * stream.count))) for value in total]
