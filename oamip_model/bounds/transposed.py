"""Maps from coefficients of what a layer gives to those of what it reads, for substitution backwards."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.network.ops import Array, ChannelScale, Dense, Identity
from oamip_model.network.types import Term


def selection(entry: NDArray[np.int64], size: int) -> sp.csr_array:
    """The matrix that takes from ``size`` numbers those at ``entry``, (entries, size)."""
    return sp.csr_array((np.ones(len(entry)), (np.arange(len(entry)), entry)), shape=(len(entry), size))


def transposed(term: Term) -> Callable[[Array], Array]:
    """The map from coefficients of a term's outputs, (rows, outputs), to those of its inputs, (rows, inputs)."""
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
