"""The map that passes its input on."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, ChannelwiseMap, LinearMap, Shape


@dataclass(frozen=True)
class Identity(ChannelwiseMap):
    """Passes its input on.

    It is a shortcut of a residual block, or the input of a ReLU or pooling layer.
    """

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def apply(self, x: Array) -> Array:
        return x

    def matrix(self, shape: Shape) -> sp.csr_array:
        return sp.eye_array(int(np.prod(shape)), format="csr")

    def magnitude(self) -> LinearMap:
        return self
