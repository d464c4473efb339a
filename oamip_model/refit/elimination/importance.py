"""How much the trained network's answer depends on each output of a layer."""

from __future__ import annotations

import torch
from torch import Tensor

from oamip_model.clock import tick
from oamip_model.network.types import Network
from oamip_model.refit.stream import ImageStream
from oamip_model.torchnet.layers import TorchLayers


def output_importance(network: Network, stream: ImageStream, seed: int, device: str = "cpu") -> list[Tensor]:
    """The cost of a squared error of each output in nats, (channels,) by layer.

    It is half the mean squared gradient of the cross-entropy, summed over positions. Errors that do
    not depend on each other change the softmax by so much, to second order (mathematics:elim-4).
    The classes are drawn from the network's own softmax, one for each image, so no labels are used.
    """
    layers = TorchLayers(network, device)
    generator = torch.Generator().manual_seed(seed)
    total = [torch.zeros(layer.pre_shape[0], dtype=torch.float64, device=layers.device) for layer in network.layers]
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
                    squares = slope.double().square().reshape(len(part), len(total[k]), -1).sum(2)
                    total[k] += (squares if shares is None else squares * shares.to(squares)[:, None]).sum(0)
    return [value / (2 * stream.count) for value in total]
