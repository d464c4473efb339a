"""Numbers at other places, in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from oamip_model.network.maps import Array, Rearrange, Shape
from oamip_model.torchnet.maps.base import TorchMap


class TorchRearrange(TorchMap[Rearrange]):
    """A gathering of the flat input."""

    name: ClassVar[str] = "rearrange"

    def forward(self, map: Rearrange, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        found = x.flatten(1)[:, torch.as_tensor(map.places, device=x.device)]
        found = found if map.used is None else found * tensor(map.used)
        return found.reshape(len(x), *map.index.shape)

    def module(self, map: Rearrange, bias: Array | None, shape: Shape) -> nn.Module | None:
        return Rearranged(map)


class Rearranged(nn.Module):
    """The numbers of its input at other places, and zeros."""

    def __init__(self, map: Rearrange) -> None:
        super().__init__()
        self.shape = map.index.shape
        self.register_buffer("places", torch.as_tensor(map.places))
        self.register_buffer("used", None if map.used is None else torch.tensor(map.used, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """The rearranged tensors, (n, *shape)."""
        found = torch.index_select(x.flatten(1), 1, self.get_buffer("places"))
        if self.used is not None:
            found = found * self.get_buffer("used")
        return found.reshape(x.shape[0], *self.shape)
