"""A part of a flat tensor."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, LinearMap, Shape
from oamip_model.network.maps.units import Cells


@dataclass(frozen=True)
class Part(LinearMap):
    """Entries ``start`` to ``start + size`` of a flat tensor."""

    start: int
    size: int
    name: ClassVar[str] = "part"

    def output_shape(self, shape: Shape) -> Shape:
        return (self.size,)

    def apply(self, x: Array) -> Array:
        return x[:, self.start : self.start + self.size]

    def matrix(self, shape: Shape) -> sp.csr_array:
        return sp.eye_array(self.size, int(np.prod(shape)), k=self.start, format="csr")

    def magnitude(self) -> LinearMap:
        return self

    def cells(self, shape: Shape) -> Cells | None:
        return Cells(np.arange(int(np.prod(shape))), np.arange(self.start, self.start + self.size))

    @property
    def keeps_sign(self) -> bool:
        return True
