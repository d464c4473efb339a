"""The map that passes its input on."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, LinearMap, Shape
from oamip_model.network.maps.channelwise import ChannelwiseMap
from oamip_model.network.maps.units import Cells


@dataclass(frozen=True)
class Identity(ChannelwiseMap):
    """Passes its input on.

    It is a shortcut of a residual block, or the input of a ReLU or pooling layer.
    """

    name: ClassVar[str] = "identity"

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def apply(self, x: Array) -> Array:
        return x

    def matrix(self, shape: Shape) -> sp.csr_array:
        return sp.eye_array(int(np.prod(shape)), format="csr")

    def magnitude(self) -> LinearMap:
        return self

    def transposed(self, shape: Shape) -> Callable[[Array], Array]:
        return lambda c: c

    def cells(self, shape: Shape) -> Cells | None:
        return Cells.by_entry(int(np.prod(shape)))

    @property
    def passes_on(self) -> bool:
        return True

    @property
    def keeps_sign(self) -> bool:
        return True

    @property
    def keeps_constants(self) -> bool:
        return True

    def factors(self, channels: int) -> Array | None:
        return np.ones(channels)
