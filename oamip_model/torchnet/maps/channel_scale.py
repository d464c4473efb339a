"""Factors of channels in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from oamip_model.network.maps import Array, ChannelScale, Shape
from oamip_model.torchnet.maps.base import TorchMap
from oamip_model.torchnet.maps.parameters import with_parameters


class TorchChannelScale(TorchMap[ChannelScale]):
    """A batch norm with mean 0, variance 1 and eps 0."""

    name: ClassVar[str] = "channel-scale"

    def forward(self, map: ChannelScale, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        return x * tensor(map.scale).reshape((1, -1) + (1,) * (x.ndim - 2))

    def module(self, map: ChannelScale, bias: Array | None, shape: Shape) -> nn.Module | None:
        return scale_module(map.scale, np.zeros(len(map.scale)) if bias is None else bias, shape)


def scale_module(scale: Array, bias: Array, shape: Shape) -> nn.Module:
    """The module that scales and shifts each channel of images of this shape."""
    kind = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
    return with_parameters(kind(len(scale), eps=0.0), scale, bias)
