"""Linear functions that are substituted backwards through a layer, as CROWN does.

The coefficients of a layer's outputs become coefficients of what the layer reads.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.network.maps import Array


def collect(waiting: dict[int, Array], source: int, coefficients: Array) -> None:
    """Add coefficients of a layer's outputs to those that wait for it."""
    waiting[source] = waiting[source] + coefficients if source in waiting else coefficients


def selection(entry: NDArray[np.int64], size: int) -> sp.csr_array:
    """The matrix that picks the entries that pooled outputs read, (outputs, size)."""
    return sp.csr_array((np.ones(len(entry)), (np.arange(len(entry)), entry)), shape=(len(entry), size))
