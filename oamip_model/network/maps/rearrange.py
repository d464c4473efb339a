"""Numbers of a tensor at other places."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.network.maps.base import Array, LinearMap, Shape

Index: TypeAlias = NDArray[np.int64]
NOTHING = -1
"""The place that a 0 of the result comes from."""


@dataclass(frozen=True)
class Rearrange(LinearMap):
    """Takes each number of the result from one place of the input, or puts a 0 there.

    ``index`` has the shape of the result. It holds flat places of the input, and :data:`NOTHING` for a 0. It is a
    transpose, a slice, a gathering, a border, or the place of one tensor in a concatenation.
    """

    index: Index

    def output_shape(self, shape: Shape) -> Shape:
        return self.index.shape

    def apply(self, x: Array) -> Array:
        flat = x.reshape(len(x), -1)
        return np.where(self.index >= 0, flat[:, np.maximum(self.index, 0)], 0.0)

    def matrix(self, shape: Shape) -> sp.csr_array:
        flat = self.index.ravel()
        used = flat >= 0
        pointers = np.concatenate(([0], np.cumsum(used)))
        size = (flat.size, int(np.prod(shape)))
        return sp.csr_array((np.ones(int(used.sum())), flat[used], pointers), shape=size)

    def magnitude(self) -> LinearMap:
        return self


def composed(inner: Index, outer: Index) -> Index:
    """The index that does what ``inner`` and then ``outer`` do.

    >>> composed(np.array([2, 0, 1]), np.array([0, -1])).tolist()
    [2, -1]
    """
    return np.where(outer >= 0, inner.ravel()[np.maximum(outer, 0)], NOTHING)


def uses_each_once(index: Index, size: int) -> bool:
    """Whether an index takes every number of a tensor of this size exactly once.

    >>> uses_each_once(np.array([1, -1, 0]), 2), uses_each_once(np.array([0, 0]), 2)
    (True, False)
    """
    used = index[index >= 0].ravel()
    return used.size == size and bool((np.bincount(used, minlength=size) == 1).all())


def places_of(index: Index, size: int) -> Index:
    """Where each number of a tensor goes by an index that uses each once, (size,).

    >>> places_of(np.array([1, -1, 0]), 2).tolist()
    [2, 0]
    """
    flat = index.ravel()
    found = np.empty(size, np.int64)
    places = np.flatnonzero(flat >= 0)
    found[flat[places]] = places
    return found
