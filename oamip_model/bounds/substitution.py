"""Linear functions carried backwards through a layer: what CROWN does with a term.

The coefficients of a layer's outputs become coefficients of what the layer reads.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.network.maps import Array, ChannelScale, Dense, Identity
from oamip_model.network.types import Term


def collect(waiting: dict[int, Array], source: int, coefficients: Array) -> None:
    """Add coefficients of a layer's outputs to those that wait for it."""
    waiting[source] = waiting[source] + coefficients if source in waiting else coefficients


def selection(entry: NDArray[np.int64], size: int) -> sp.csr_array:
    """The matrix that picks the entries that pooled outputs read, (outputs, size)."""
    return sp.csr_array((np.ones(len(entry)), (np.arange(len(entry)), entry)), shape=(len(entry), size))


def transposed(term: Term) -> Callable[[Array], Array]:
    """The map from coefficients of a term's outputs to those of its inputs.

    They have the shapes (rows, outputs) and (rows, inputs).
    """
    if isinstance(term.map, Dense):
        weight = term.map.weight
        return lambda c: c @ weight
    if isinstance(term.map, Identity):
        return lambda c: c
    if isinstance(term.map, ChannelScale):
        scale = np.repeat(term.map.scale, int(np.prod(term.input_shape[1:])))
        return lambda c: c * scale
    matrix: list[sp.csr_array] = []

    def back(c: Array) -> Array:
        if not matrix:
            matrix.append(sp.csr_array(term.map.matrix(term.input_shape).T))
        return np.ascontiguousarray((matrix[0] @ c.T).T)

    return back
