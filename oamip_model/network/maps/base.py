"""What every linear map gives.

Tensors are numpy arrays of shape (n, *shape), n images at once. Flattening is row-major, as in torch, so reshaping
a tensor never changes its flat vector.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]


class LinearMap(ABC):
    """A linear map from tensors of one shape to tensors of another, without bias."""

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one image's output, for one image's input ``shape``."""

    @abstractmethod
    def apply(self, x: Array) -> Array:
        """The map applied to n tensors: (n, *shape) to (n, *output_shape(shape))."""

    @abstractmethod
    def matrix(self, shape: Shape) -> sp.csr_array:
        """The map as a sparse matrix over flat tensors, (outputs, inputs)."""

    @abstractmethod
    def magnitude(self) -> LinearMap:
        """The same map with absolute weights, for interval arithmetic.

        With it radius_out = magnitude(radius_in).
        """


class ChannelwiseMap(LinearMap):
    """A linear map without trained rows.

    Each channel of the output is made from the channel at its place alone.
    """
