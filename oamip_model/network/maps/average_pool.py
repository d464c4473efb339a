"""Averages over space."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, ChannelwiseMap, LinearMap, Shape


@dataclass(frozen=True)
class AveragePool(ChannelwiseMap):
    """Averages over space, one channel at a time: ``rows @ image @ columns.T``.

    ``rows`` is (out height, in height) and ``columns`` (out width, in width); each row holds one window's weights along
    that axis. A two-dimensional mean is separable, so this covers fixed and adaptive windows, padding and global means.
    """

    rows: Array
    columns: Array

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.rows.shape[0], self.columns.shape[0])

    def apply(self, x: Array) -> Array:
        return np.asarray(self.rows @ x @ self.columns.T)

    def matrix(self, shape: Shape) -> sp.csr_array:
        one_channel = sp.kron(sp.csr_array(self.rows), sp.csr_array(self.columns))
        return sp.csr_array(sp.kron(sp.eye_array(shape[0]), one_channel))

    def magnitude(self) -> LinearMap:
        return AveragePool(np.abs(self.rows), np.abs(self.columns))
