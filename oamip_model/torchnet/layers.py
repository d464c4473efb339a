"""A network's layers in torch, one by one, with scores in between.

Representations and columns are computed with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from oamip_model.clock import tick
from oamip_model.errors import InputError
from oamip_model.network.maps import Array, LinearMap
from oamip_model.network.types import IMAGE, Layer, Network
from oamip_model.torchnet.maps import torch_map
from oamip_model.torchnet.max_pool import maximum
from oamip_model.training.loop import torch_device


class TorchLayers:
    """The layers of a network on a device, in single precision by default.

    :meth:`run` computes outputs from the image, or from outputs that are known, to the logits. It
    multiplies each scored ReLU's output by the score of its unit. With scores of 0 and 1 that is
    the network with units removed.
    """

    def __init__(self, network: Network, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.network, self.device, self.dtype = network, torch_device(device), dtype
        self._arrays: dict[int, Tensor] = {}
        self._units = {
            k: torch.as_tensor(layer.units, device=self.device)
            for k, layer in enumerate(network.layers)
            if layer.units is not None
        }
        self._channels = {k for k in self._units if _by_channel(network.layers[k])}

    def tensor(self, array: Array) -> Tensor:
        """The array on the device; weights are moved once."""
        if id(array) not in self._arrays:
            self._arrays[id(array)] = torch.as_tensor(array, dtype=self.dtype, device=self.device)
        return self._arrays[id(array)]

    def trainable(self, arrays: Sequence[Array]) -> list[Tensor]:
        """A tensor for each of these weights or biases of the network, to train.

        :meth:`run` uses them from now on.
        """
        for array in arrays:
            known = torch.tensor(array, dtype=self.dtype, device=self.device)
            self._arrays[id(array)] = known.requires_grad_()
        return [self._arrays[id(array)] for array in arrays]

    def run(
        self,
        images: Tensor,
        scores: Mapping[int, Tensor],
        known: list[Tensor] | None = None,
        upto: int | None = None,
    ) -> list[Tensor]:
        """The output of every layer.

        Parameters
        ----------
        images : Tensor
            Images (n, *input_shape).
        scores : mapping of int to Tensor
            Scores (units,) or (n, units) of each group, by its number. They are 1 where a group is
            missing.
        known : list of Tensor, optional
            Outputs of the first layers, which are not computed again.
        upto : int, optional
            The last layer that is needed.

        Returns
        -------
        list of Tensor
            One output (n, *layer.shape) for each layer.
        """
        outputs = dict(enumerate(known or []))
        last = len(self.network.layers) - 1 if upto is None else upto
        for k in range(len(outputs), last + 1):
            outputs[k] = self.layer(k, images, scores, outputs)
        return list(outputs.values())

    def output(self, images: Tensor, scores: Mapping[int, Tensor], k: int | None = None) -> Tensor:
        """Output of layer k alone, or of the last layer if none is given.

        It has the shape (n, *shape). Scores are as in :meth:`run`.

        Every other output is freed after its last reader, so a deep network takes no more than its widest place.
        """
        last = len(self.network.layers) - 1 if k is None else k
        outputs: dict[int, Tensor] = {}
        for made, freed in self._schedule(last):
            outputs[made] = self.layer(made, images, scores, outputs)
            for gone in freed:
                del outputs[gone]
        return outputs[last]

    def layer(self, k: int, images: Tensor, scores: Mapping[int, Tensor], outputs: Mapping[int, Tensor]) -> Tensor:
        """Output of layer k, from images and the outputs of layers that it reads.

        The output has the shape (n, *shape); outputs are given by layer.
        """
        return self.scored(k, self.before(k, images, outputs), scores)

    def scored(self, k: int, a: Tensor, scores: Mapping[int, Tensor]) -> Tensor:
        """Output of layer k, from its pre-activations (n, *pre_shape)."""
        layer = self.network.layers[k]
        if layer.group is None or layer.group not in scores:
            return self.activate(layer, a)
        return self.passed(k, a, self.gate(k, scores[layer.group], a))

    def before(self, k: int, images: Tensor, outputs: Mapping[int, Tensor]) -> Tensor:
        """Pre-activations of layer k, (n, *pre_shape).

        outputs: of the layers that it reads, by number.
        """
        layer = self.network.layers[k]
        inputs = [images if term.source == IMAGE else outputs[term.source] for term in layer.terms]
        return self.pre_activation(layer, inputs)

    def passed(self, k: int, a: Tensor, s: Tensor) -> Tensor:
        """What a scored layer k passes on, from its pre-activations and the score of each."""
        return self.activate(self.network.layers[k], a) * s

    def _schedule(self, last: int) -> list[tuple[int, list[int]]]:
        """The layers that layer ``last`` needs, in order, each with the outputs that no later layer reads."""
        reads = {k: {t.source for t in self.network.layers[k].terms} - {IMAGE} for k in range(last + 1)}
        needed, steps = {last}, []
        for k in range(last, -1, -1):
            if k in needed:
                steps.append((k, sorted(reads[k] - needed)))
                needed |= reads[k]
        return steps[::-1]

    def gate(self, k: int, scores: Tensor, h: Tensor) -> Tensor:
        """The score of every activation of layer k, in a shape that multiplies h.

        The outputs h have the shape (n, *shape).
        """
        if k in self._channels:  # spread by torch, whose gradient is then a sum and no scattering
            return scores.reshape((-1 if scores.ndim == 2 else 1, h.shape[1]) + (1,) * (h.ndim - 2))
        spread = scores[..., self._units[k]]
        return spread.reshape((-1 if scores.ndim == 2 else 1, *h.shape[1:]))

    def pre_activation(self, layer: Layer, inputs: list[Tensor]) -> Tensor:
        """The layer's affine map on one input per term: (n, *pre_shape)."""
        bias = self.tensor(layer.bias).reshape((1, -1) + (1,) * (len(layer.pre_shape) - 1))
        total: Tensor | None = None
        for term, x in zip(layer.terms, inputs, strict=True):
            y = self.apply(term.map, x.reshape(len(x), *term.input_shape)).reshape(len(x), *layer.pre_shape)
            total = bias + y if total is None else total.add_(y)
        return bias.expand(len(inputs[0]), *layer.pre_shape) if total is None else total

    def apply(self, map: LinearMap, x: Tensor) -> Tensor:
        """A linear map on (n, *shape)."""
        return torch_map(map).forward(map, x, self.tensor)

    def activate(self, layer: Layer, a: Tensor) -> Tensor:
        """The layer's activation on (n, *pre_shape)."""
        if layer.activation == "relu":
            return F.relu(a)
        return a if layer.pool is None else maximum(layer.pool, a)

    def batches(self, images: Array, size: int) -> Iterator[tuple[slice, Tensor]]:
        """The images (n, *input_shape) in parts of ``size``, on the device."""
        for start in range(0, len(images), size):
            if start:
                tick(f"images {start + 1} to {min(start + size, len(images))} of {len(images)}")
            part = slice(start, min(start + size, len(images)))
            yield part, torch.as_tensor(images[part], dtype=self.dtype, device=self.device)

    def batch_size(self, k: int | None = None, budget: int = 2**25) -> int:
        """Images at once for which :meth:`output` fits into a budget of numbers.

        A convolution pads and unfolds its inputs, so what it reads is counted twice.
        """
        last = len(self.network.layers) - 1 if k is None else k
        sizes = [layer.size for layer in self.network.layers]
        held, widest = 0, 1
        for made, freed in self._schedule(last):
            held += sizes[made]
            read = sum(int(np.prod(term.input_shape)) for term in self.network.layers[made].terms)
            widest = max(widest, held + read)
            held -= sum(sizes[gone] for gone in freed)
        return max(1, min(2000, budget // widest))

    def gradient_batch_size(self, budget: int = 2**25) -> int:
        """Images at once whose outputs of all layers fit into a budget of numbers.

        A gradient needs the outputs of all layers.
        """
        return max(1, min(2000, budget // sum(layer.size for layer in self.network.layers)))


def _by_channel(layer: Layer) -> bool:
    """Whether channel k of the layer's outputs is unit k."""
    units, channels = layer.units, layer.shape[0]
    return units is not None and np.array_equal(units, np.arange(channels).repeat(layer.size // channels))


def spread_by_unit(units: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Activations sorted by unit, (units, activations per unit).

    Raises InputError where units differ in size.
    """
    sizes = np.bincount(units, minlength=count)
    if len(set(sizes.tolist())) != 1:
        raise InputError(f"layer: its units have {sizes.min()} to {sizes.max()} activations, equal numbers are needed")
    return np.argsort(units, kind="stable").reshape(count, -1)
