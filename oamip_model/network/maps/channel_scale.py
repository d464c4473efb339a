"""A factor for each channel."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, ChannelwiseMap, LinearMap, Shape


@dataclass(frozen=True)
class ChannelScale(ChannelwiseMap):
    """Multiplies each channel (first axis of the tensor) by a number.

    It is batch norm that could not be folded away.
    """

    scale: Array

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
