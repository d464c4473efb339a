"""Numbers at other places, in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

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
        self.zeros = map.used is not None
        # The index after the last number of the input gives a 0.
        places = np.where(map.index >= 0, map.index, map.size).ravel()
        self.register_buffer("places", torch.as_tensor(places))

    def forward(self, x: Tensor) -> Tensor:
        """The rearranged tensors, (n, *shape)."""
        flat = functional.pad(x.flatten(1), (0, 1)) if self.zeros else x.flatten(1)
        return torch.index_select(flat, 1, self.get_buffer("places")).reshape(x.shape[0], *self.shape)
