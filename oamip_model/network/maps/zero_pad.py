"""Borders of zeros."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, LinearMap, Padding, Shape
from oamip_model.network.maps.channelwise import ChannelwiseMap


@dataclass(frozen=True)
class ZeroPad(ChannelwiseMap):
    """Puts zeros around each channel; ``padding`` is (top, left, bottom, right)."""

    padding: Padding
    name: ClassVar[str] = "zero-pad"

    def output_shape(self, shape: Shape) -> Shape:
        top, left, bottom, right = self.padding
        return (shape[0], top + shape[1] + bottom, left + shape[2] + right)

    def apply(self, x: Array) -> Array:
        top, left, bottom, right = self.padding
        return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))

    def matrix(self, shape: Shape) -> sp.csr_array:
        inside = self.apply(np.ones((1, *shape))).ravel() > 0
        pointers = np.concatenate(([0], np.cumsum(inside)))
        size = int(np.prod(shape))
        return sp.csr_array((np.ones(size), np.arange(size), pointers), shape=(inside.size, size))

    def magnitude(self) -> LinearMap:
        return self

    @property
    def keeps_sign(self) -> bool:
        return True

    @property
    def border(self) -> Padding | None:
        return self.padding
