"""Fully connected maps in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from oamip_model.network.maps import Array, Dense, Shape
from oamip_model.torchnet.maps.base import TorchMap
from oamip_model.torchnet.maps.parameters import with_parameters


class TorchDense(TorchMap[Dense]):
    """An nn.Linear."""

    name: ClassVar[str] = "dense"
    fits: ClassVar[bool] = True

    def forward(self, map: Dense, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        return F.linear(x, tensor(map.weight))

    def module(self, map: Dense, bias: Array | None, shape: Shape) -> nn.Module | None:
        outputs, inputs = map.weight.shape
        return with_parameters(nn.Linear(inputs, outputs, bias=bias is not None), map.weight, bias)

    def columns(self, map: Dense, x: Tensor, at: Tensor | None, made: Shape) -> Tensor:
        return x[:, None]
