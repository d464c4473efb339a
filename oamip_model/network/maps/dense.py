"""Fully connected maps."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp

from oamip_model.network.held import row_parts
from oamip_model.network.maps.base import Array, Ids, LinearMap, Shape, TrainedMap
from oamip_model.network.maps.rearrange import places_of, uses_each_once
from oamip_model.network.maps.units import Shifted, batched


@dataclass(frozen=True)
class Dense(TrainedMap):
    """A fully connected map of one flat vector per image.

    ``weight`` is (out, in).
    """

    name: ClassVar[str] = "dense"

    @property
    def called(self) -> str:
        return "Linear"

    def misfit(self, shape: Shape) -> str | None:
        inputs = self.inputs
        return None if shape == (inputs,) else f"reads (n, {inputs}) here, and got {batched(shape)}"

    def output_shape(self, shape: Shape) -> Shape:
        return (len(self.held),)

    def apply(self, x: Array) -> Array:
        if self.held.dtype == np.float64:
            return x @ self.weight.T
        out = np.empty((len(x), len(self.held)))
        for rows, part in row_parts(self.held):
            out[:, rows] = x @ part.T
        return out

    def matrix(self, shape: Shape) -> sp.csr_array:
        if not self.weight.all():
            return sp.csr_array(self.weight)
        # No search for non-zeros, which would take several times as long.
        rows, columns = self.weight.shape
        starts = np.arange(0, rows * columns + 1, columns, dtype=np.int32) if columns else np.zeros(rows + 1, np.int32)
        indices = np.tile(np.arange(columns, dtype=np.int32), rows)
        return sp.csr_array((self.weight.flatten(), indices, starts), shape=(rows, columns))

    def magnitude(self) -> LinearMap:
        return Dense(np.abs(self.weight))

    def transposed(self, shape: Shape) -> Callable[[Array], Array]:
        return lambda c: c @ self.weight

    def matrix_rows(self, shape: Shape) -> Callable[[Ids], Array]:
        return lambda rows: np.asarray(self.weight[rows])

    def absorbing(self, before: Shifted, read: Shape) -> tuple[LinearMap, Array] | None:
        # A flattened channel has the scale and the shift of the channel at each of its places.
        places = int(np.prod(before.shape[1:]))
        scale, shift = (np.repeat(values, places) for values in (before.scale, before.shift))
        return Dense(self.weight * scale), self.weight @ shift

    def after(self, first: LinearMap) -> LinearMap | None:
        """Return the map of what another rearranges."""
        moves = first.moves
        if moves is None:
            return None
        index, size = moves[0].ravel(), moves[1]
        if uses_each_once(index, size):
            return Dense(np.ascontiguousarray(self.weight[:, places_of(index, size)]))
        weight = np.zeros((size, len(self.weight)))
        np.add.at(weight, index[index >= 0], self.weight.T[index >= 0])
        return Dense(np.ascontiguousarray(weight.T))
