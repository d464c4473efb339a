"""A factor for each channel."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, Ids, LinearMap, Shape
from oamip_model.network.maps.channelwise import ChannelwiseMap
from oamip_model.network.maps.units import Cells, batched


@dataclass(frozen=True)
class ChannelScale(ChannelwiseMap):
    """Multiplies each channel (first axis of the tensor) by a number.

    It is batch norm that could not be folded away.
    """

    scale: Array
    name: ClassVar[str] = "channel-scale"

    def misfit(self, shape: Shape) -> str | None:
        return None if len(self.scale) == shape[0] else f"scales {len(self.scale)} channels, and got {batched(shape)}"

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def apply(self, x: Array) -> Array:
        return x * self.scale.reshape((1, -1) + (1,) * (x.ndim - 2))

    def matrix(self, shape: Shape) -> sp.csr_array:
        return sp.dia_array(
            (np.repeat(self.scale, int(np.prod(shape[1:])))[None], [0]), shape=(int(np.prod(shape)),) * 2
        ).tocsr()

    def magnitude(self) -> LinearMap:
        return ChannelScale(np.abs(self.scale))

    def transposed(self, shape: Shape) -> Callable[[Array], Array]:
        scale = np.repeat(self.scale, int(np.prod(shape[1:])))
        return lambda c: c * scale

    @property
    def weights(self) -> Array | None:
        return self.scale

    def with_weights(self, weights: Array) -> LinearMap:
        return ChannelScale(weights)

    def cells(self, shape: Shape) -> Cells | None:
        return Cells.by_entry(int(np.prod(shape)))

    def of_channels(self, channels: Ids) -> LinearMap:
        return ChannelScale(self.scale[channels])

    def factors(self, channels: int) -> Array | None:
        return self.scale
