"""Parts of flat tensors in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from oamip_model.network.maps import Array, Part, Shape
from oamip_model.torchnet.maps.base import TorchMap


class FlatPart(nn.Module):
    """Entries of a flat tensor, from one on."""

    def __init__(self, start: int, size: int) -> None:
        super().__init__()
        self.start, self.size = start, size

    def forward(self, x: Tensor) -> Tensor:
        """The entries, (n, size)."""
        return x[:, self.start : self.start + self.size]


class TorchPart(TorchMap[Part]):
    """A :class:`FlatPart`."""

    name: ClassVar[str] = "part"

    def forward(self, map: Part, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        return x[:, map.start : map.start + map.size]

    def module(self, map: Part, bias: Array | None, shape: Shape) -> nn.Module | None:
        return FlatPart(map.start, map.size)
