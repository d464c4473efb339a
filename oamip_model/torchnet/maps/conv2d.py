"""Two-dimensional convolutions in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oamip_model.network.maps import Array, Conv2d, Shape
from oamip_model.network.maps.windows import same_padding
from oamip_model.torchnet.maps.base import TorchMap
from oamip_model.torchnet.maps.parameters import with_parameters
from oamip_model.torchnet.maps.zero_pad import border_module, bordered


class TorchConv2d(TorchMap[Conv2d]):
    """An nn.Conv2d, after a border where its padding is uneven."""

    name: ClassVar[str] = "conv2d"
    fits: ClassVar[bool] = True

    def forward(self, map: Conv2d, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        weight = tensor(map.weight)
        if x.device.type == "cpu" and map.groups == 1:
            # Up to twice as fast on a core. What follows keeps the order of numbers.
            weight = weight.contiguous(memory_format=torch.channels_last)
        # A border of its own copies the input: torch pads an even one as it reads.
        x, even = (bordered(x, map.padding), (0, 0)) if _lopsided(map) else (x, map.padding[:2])
        return F.conv2d(x, weight, None, map.stride, even, map.dilation, map.groups)

    def module(self, map: Conv2d, bias: Array | None, shape: Shape) -> nn.Module | None:
        kernel = (map.weight.shape[2], map.weight.shape[3])
        padding: str | tuple[int, int] = "same" if _same(map) else (0, 0) if _lopsided(map) else map.padding[:2]
        module = nn.Conv2d(
            map.inputs, len(map.weight), kernel, map.stride, padding, map.dilation, map.groups, bias=bias is not None
        )
        return with_parameters(module, map.weight, bias)

    def before(self, map: Conv2d) -> nn.Module | None:
        return border_module(map.padding) if _lopsided(map) and not _same(map) else None

    def columns(self, map: Conv2d, x: Tensor, at: Tensor | None, made: Shape) -> Tensor:
        assert at is not None
        padded, width = bordered(x, map.padding), made[2]
        kernel = [torch.arange(size, device=x.device) for size in map.weight.shape[2:]]
        rows = (at // width * map.stride[0])[:, None] + kernel[0] * map.dilation[0]
        columns = (at % width * map.stride[1])[:, None] + kernel[1] * map.dilation[1]
        taken = padded[:, :, rows[:, :, None], columns[:, None, :]]
        return taken.permute(0, 2, 1, 3, 4).reshape(len(x), len(at), -1)


def _lopsided(map: Conv2d) -> bool:
    top, left, bottom, right = map.padding
    return top != bottom or left != right


def _same(map: Conv2d) -> bool:
    """Whether the padding is uneven in just the way of torch's padding="same"."""
    rows, columns = (same_padding(map.weight.shape[2 + axis], map.dilation[axis]) for axis in (0, 1))
    even = (rows[0], columns[0], rows[1], columns[1])
    return _lopsided(map) and map.stride == (1, 1) and map.padding == even
