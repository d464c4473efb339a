"""The map that passes its input on, in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from torch import Tensor, nn

from oamip_model.network.maps import Array, Identity, Shape
from oamip_model.torchnet.maps.base import TorchMap


class TorchIdentity(TorchMap[Identity]):
    """The identity, which computes nothing."""

    name: ClassVar[str] = "identity"

    def forward(self, map: Identity, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        return x

    def module(self, map: Identity, bias: Array | None, shape: Shape) -> nn.Module | None:
        return None
