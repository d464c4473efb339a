"""Two networks side by side, from the first layer to the last.

One is as trained, the other as cut and refitted so far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.clock import tick
from oamip_model.network.maps import LinearMap
from oamip_model.network.types import IMAGE, Layer, Network
from oamip_model.refit.slim import Slim, slim_network
from oamip_model.refit.stream import ImageStream
from oamip_model.torchnet.layers import TorchLayers

HELD = 3 * 2**28
"""Numbers, in single precision 3 GiB, that outputs kept between layers may take. Beyond it they are computed again."""

Outputs = dict[int, Tensor]


@dataclass(frozen=True)
class Inputs:
    """What one layer reads from a batch in both networks, one tensor a term.

    The networks are the trained and the cut one.
    """

    trained: list[Tensor]
    cut: list[Tensor]


class Walk:
    """Inputs of one layer after the other, in the trained and the cut network.

    They are those of all images.

    slim: the network as cut so far, with the weights refitted so far.
    """

    def __init__(self, trained: Network, slim: Slim, stream: ImageStream, device: str = "cpu") -> None:
        self.slim, self.current, self.stream = slim, slim.network, stream
        self.trained, self.cut = TorchLayers(trained, device), TorchLayers(slim.network, device)
        self._held: list[tuple[Outputs, Outputs]] | None = None
        self._reads = [max((k for k, o in enumerate(trained.layers) if _reads(o, j)), default=-1)
                       for j in range(-1, len(trained.layers))]  # fmt: skip
        self._holds = not slim.gates and stream.count * self._widest() <= HELD

    def inputs(self, k: int, other: int | None = None) -> Iterator[Inputs]:
        """What layer k reads, batch by batch. Layers must be asked for in order.

        other: a later layer, whose inputs are given instead, as the network computes them from what layer k reads now.
        """
        if self._holds:
            if self._held is None:
                self._held = [({IMAGE: x}, {IMAGE: x}) for x in self._images()]
            states: Iterator[tuple[Outputs, Outputs]] = iter(self._held)
        else:
            states = (({IMAGE: x}, {IMAGE: x}) for x in self._images())
        gates = self._gates()
        last = k if other is None else other
        for trained, cut in states:
            self._advance(self.trained, trained, {}, k)
            self._advance(self.cut, cut, gates, k)
            if other is not None:
                trained, cut = dict(trained), dict(cut)
                self._advance(self.trained, trained, {}, last)
                self._advance(self.cut, cut, gates, last)
            sources = [term.source for term in self.current.layers[last].terms]
            yield Inputs([trained[s] for s in sources], [cut[s] for s in sources])

    def refit(self, k: int, maps: Mapping[int, LinearMap], bias: NDArray[np.float64]) -> None:
        """Give layer k of the cut network these maps, by term, and this bias."""
        layer = self.current.layers[k]
        terms = tuple(replace(term, map=maps.get(number, term.map)) for number, term in enumerate(layer.terms))
        layers = list(self.current.layers)
        layers[k] = replace(layer, terms=terms, bias=bias)
        self._take(replace(self.current, layers=tuple(layers)))

    def recut(self, keep: Mapping[str, NDArray[np.bool_]]) -> None:
        """Cut the network as it is now to these masks, {group: (units,)}.

        They cut no less than before.
        """
        before = self.slim
        self.slim = slim_network(before.widen(self.current), keep)
        self._take(self.slim.network)
        if self.slim.gates:
            self._holds, self._held = False, None
        for _, cut in self._held or []:
            for j in [j for j in cut if j != IMAGE]:
                at = np.searchsorted(before.stays[j], self.slim.stays[j])
                if len(at) < cut[j].shape[1]:
                    cut[j] = cut[j][:, torch.as_tensor(at, device=cut[j].device)].contiguous()

    def _take(self, network: Network) -> None:
        self.current = network
        self.cut = TorchLayers(network, str(self.trained.device))

    def _images(self) -> Iterator[Tensor]:
        for images, _ in self.stream:
            yield torch.as_tensor(images, dtype=self.trained.dtype, device=self.trained.device)

    def _gates(self) -> dict[int, Tensor]:
        like = self.cut.device
        return {g: torch.as_tensor(m, dtype=self.cut.dtype, device=like) for g, m in self.slim.gates.items()}

    @torch.no_grad()
    def _advance(self, layers: TorchLayers, outputs: Outputs, gates: dict[int, Tensor], k: int) -> None:
        """Compute the outputs of the layers before k, and drop those that no layer reads from k on."""
        for j in range(max(outputs) + 1 if outputs else 0, k):
            if j not in outputs:
                tick(f"layer {layers.network.layers[j].name}")
                outputs[j] = layers.layer(j, outputs.get(IMAGE, torch.empty(0)), gates, outputs)
            for gone in [i for i in outputs if i != j and self._reads[i + 1] <= j]:
                del outputs[gone]

    def _widest(self) -> int:
        """Numbers of one image that are held at the widest place, in both networks."""
        networks = (self.trained.network, self.slim.network)
        image = int(np.prod(networks[0].input_shape))
        sizes = [[image, *(layer.size for layer in network.layers)] for network in networks]
        count = len(sizes[0])
        return max(
            sum(size[j] for size in sizes for j in range(k + 1) if self._reads[j] >= k or j == k) for k in range(count)
        )


def _reads(layer: Layer, source: int) -> bool:
    return any(term.source == source for term in layer.terms)
