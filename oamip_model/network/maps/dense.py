"""Fully connected maps."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, LinearMap, Shape


@dataclass(frozen=True)
class Dense(LinearMap):
    """A fully connected map of one flat vector per image.

    ``weight`` is (out, in).
    """

    weight: Array

    def output_shape(self, shape: Shape) -> Shape:
        return (self.weight.shape[0],)

    def apply(self, x: Array) -> Array:
        return x @ self.weight.T

    def matrix(self, shape: Shape) -> sp.csr_array:
        if not self.weight.all():
            return sp.csr_array(self.weight)
        # Nothing to look for: several times faster than the search for non-zeros.
        rows, columns = self.weight.shape
        starts = np.arange(0, rows * columns + 1, columns, dtype=np.int32) if columns else np.zeros(rows + 1, np.int32)
        indices = np.tile(np.arange(columns, dtype=np.int32), rows)
        return sp.csr_array((self.weight.flatten(), indices, starts), shape=(rows, columns))

    def magnitude(self) -> LinearMap:
        return Dense(np.abs(self.weight))
