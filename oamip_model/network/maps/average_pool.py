"""Averages over space."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, LinearMap, Shape
from oamip_model.network.maps.channelwise import ChannelwiseMap
from oamip_model.network.maps.units import not_space


@dataclass(frozen=True)
class AveragePool(ChannelwiseMap):
    """Averages over space, one channel at a time: ``rows @ image @ columns.T``.

    ``rows`` is (out height, in height) and ``columns`` (out width, in width); each row holds one window's weights along
    that axis. A two-dimensional mean is separable, so this covers fixed and adaptive windows, padding and global means.
    """

    rows: Array
    columns: Array
    name: ClassVar[str] = "average-pool"

    def misfit(self, shape: Shape) -> str | None:
        return not_space(shape)

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.rows.shape[0], self.columns.shape[0])

    def apply(self, x: Array) -> Array:
        return np.asarray(self.rows @ x @ self.columns.T)

    def matrix(self, shape: Shape) -> sp.csr_array:
        one_channel = sp.kron(sp.csr_array(self.rows), sp.csr_array(self.columns))
        return sp.csr_array(sp.kron(sp.eye_array(shape[0]), one_channel))

    def magnitude(self) -> LinearMap:
        return AveragePool(np.abs(self.rows), np.abs(self.columns))

    @property
    def keeps_sign(self) -> bool:
        return bool((self.rows >= 0).all() and (self.columns >= 0).all())

    @property
    def keeps_constants(self) -> bool:
        return all(np.allclose(axis.sum(axis=1), 1.0, rtol=0.0, atol=1e-12) for axis in (self.rows, self.columns))

    def after(self, first: LinearMap) -> LinearMap | None:
        """Averages over one axis, and then over the other, as one map."""
        if not isinstance(first, type(self)):
            return None
        if _is_identity(first.columns) and _is_identity(self.rows):
            return AveragePool(first.rows, self.columns)
        if _is_identity(first.rows) and _is_identity(self.columns):
            return AveragePool(self.rows, first.columns)
        return None


def _is_identity(matrix: Array) -> bool:
    return np.array_equal(matrix, np.eye(*matrix.shape))
