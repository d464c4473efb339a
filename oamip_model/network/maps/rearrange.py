"""Numbers of a tensor at other places."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps.base import Array, Cut, LinearMap, Shape
from oamip_model.network.maps.units import NOTHING, Cells, Flags, Ids, batched, by_channel


@dataclass(frozen=True)
class Rearrange(LinearMap):
    """Takes each number of the result from one place of the input, or puts a 0 there.

    ``index`` has the shape of the result. It holds flat places of the input, and :data:`NOTHING` for a 0. It is a
    transpose, a slice, a gathering, a border, or the place of one tensor in a concatenation. ``size`` is that of the
    flat input.
    """

    index: Ids
    size: int
    name: ClassVar[str] = "rearrange"

    def misfit(self, shape: Shape) -> str | None:
        if math.prod(shape) == self.size:
            return None
        return f"takes places of {self.size} numbers, and got {batched(shape)}"

    @cached_property
    def places(self) -> Ids:
        """Flat places, with any for what is 0."""
        return np.maximum(self.index.ravel(), 0)

    @cached_property
    def used(self) -> Array | None:
        """1 for what comes from the input and 0 for what does not; None where all does."""
        used = self.index.ravel() >= 0
        return None if used.all() else used.astype(np.float64)

    def output_shape(self, shape: Shape) -> Shape:
        return self.index.shape

    def apply(self, x: Array) -> Array:
        found = x.reshape(len(x), -1)[:, self.places]
        found = found if self.used is None else found * self.used
        return np.asarray(found.reshape(len(x), *self.index.shape))

    def matrix(self, shape: Shape) -> sp.csr_array:
        flat = self.index.ravel()
        used = flat >= 0
        pointers = np.concatenate(([0], np.cumsum(used)))
        return sp.csr_array((np.ones(int(used.sum())), flat[used], pointers), shape=(flat.size, self.size))

    def magnitude(self) -> LinearMap:
        return self

    def transposed(self, shape: Shape) -> Callable[[Array], Array]:
        flat = self.index.ravel()
        if not uses_each_once(flat, self.size):
            return super().transposed(shape)
        places = places_of(flat, self.size)
        return lambda c: c[:, places]

    @property
    def moves(self) -> tuple[Ids, int] | None:
        return self.index, self.size

    @property
    def keeps_sign(self) -> bool:
        return True

    def cells(self, shape: Shape) -> Cells | None:
        return Cells(np.arange(self.size), self.index.ravel())

    def cut(self, shape: Shape, reads: Flags, makes: Flags) -> Cut | None:
        made = by_channel(makes, self.index.shape[0])
        if made is None:
            return None
        # An output that reads a removed input is 0.
        left = np.where(reads, np.cumsum(reads) - 1, NOTHING)
        index = composed(left, self.index[made])
        read = by_channel(reads, shape[0])
        count = int(reads.sum())
        return Cut(Rearrange(index, count), (count,) if read is None else (int(read.sum()), *shape[1:]))


def composed(inner: Ids, outer: Ids) -> Ids:
    """The index that does what ``inner`` and then ``outer`` do.

    >>> composed(np.array([2, 0, 1]), np.array([0, -1])).tolist()
    [2, -1]
    """
    return np.where(outer >= 0, inner.ravel()[np.maximum(outer, 0)], NOTHING)


def uses_each_once(index: Ids, size: int) -> bool:
    """Whether an index takes every number of a tensor of this size exactly once.

    >>> uses_each_once(np.array([1, -1, 0]), 2), uses_each_once(np.array([0, 0]), 2)
    (True, False)
    """
    used = index[index >= 0].ravel()
    return used.size == size and bool((np.bincount(used, minlength=size) == 1).all())


def places_of(index: Ids, size: int) -> Ids:
    """The place in the result of each number, by an index that uses each once.

    >>> places_of(np.array([1, -1, 0]), 2).tolist()
    [2, 0]
    """
    flat = index.ravel()
    found = np.empty(size, np.int64)
    places = np.flatnonzero(flat >= 0)
    found[flat[places]] = places
    return found
