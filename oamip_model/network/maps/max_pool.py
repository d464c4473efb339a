"""Windows of max pooling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.maps.base import Array, Shape


@dataclass(frozen=True)
class MaxPool:
    """Windows of max pooling.

    ``padding`` is (top, left, bottom, right) and never holds the maximum. The reader computes
    ``output``, which is (height, width), by floor or ceiling, so nothing here rounds. It says where
    the last window is, whatever the padding at the bottom and the right.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    output: tuple[int, int]

    def windows(self, shape: Shape) -> NDArray[np.int64]:
        """Flat input index of each window entry, -1 outside the image.

        It has the shape (outputs, kernel height x kernel width).
        """
        channels, height, width = shape
        axes = []
        for axis, length in enumerate((height, width)):
            start = np.arange(self.output[axis]) * self.stride[axis] - self.padding[axis]
            index = start[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis]
            axes.append(np.where((index >= 0) & (index < length), index, -1))
        rows, columns = axes[0][:, None, :, None], axes[1][None, :, None, :]
        flat = np.where((rows >= 0) & (columns >= 0), rows * width + columns, -1)
        flat = flat.reshape(self.output[0] * self.output[1], -1)
        offset = np.arange(channels)[:, None, None] * height * width
        return np.where(flat >= 0, flat + offset, -1).reshape(-1, flat.shape[1])

    def apply(self, x: Array) -> Array:
        """The maximum over each window, (n, channels, *output)."""
        windows = self.windows(x.shape[1:])
        flat = np.concatenate([x.reshape(len(x), -1), np.full((len(x), 1), -np.inf)], axis=1)
        return np.asarray(flat[:, windows].max(axis=2).reshape(len(x), x.shape[1], *self.output))
