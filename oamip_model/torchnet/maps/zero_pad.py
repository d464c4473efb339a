"""Borders of zeros in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from oamip_model.network.maps import Array, Padding, Shape, ZeroPad
from oamip_model.torchnet.maps.base import TorchMap


class TorchZeroPad(TorchMap[ZeroPad]):
    """An nn.ZeroPad2d."""

    name: ClassVar[str] = "zero-pad"

    def forward(self, map: ZeroPad, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        return bordered(x, map.padding)

    def module(self, map: ZeroPad, bias: Array | None, shape: Shape) -> nn.Module | None:
        return border_module(map.padding)


def bordered(x: Tensor, padding: Padding) -> Tensor:
    """Images (n, channels, height, width) with zeros around them."""
    top, left, bottom, right = padding
    return F.pad(x, (left, right, top, bottom)) if any(padding) else x


def border_module(padding: Padding) -> nn.Module:
    """The module that does what :func:`bordered` does."""
    top, left, bottom, right = padding
    return nn.ZeroPad2d((left, right, top, bottom))
