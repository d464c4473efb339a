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
        out = np.full((*x.shape[:2], *self.output), -np.inf)
        for row in range(self.kernel[0]):
            for column in range(self.kernel[1]):
                rows, from_rows = self._reached(0, row, x.shape[2])
                columns, from_columns = self._reached(1, column, x.shape[3])
                own = out[:, :, rows, columns]
                np.maximum(own, x[:, :, from_rows, from_columns], out=own)
        return out

    def _reached(self, axis: int, place: int, length: int) -> tuple[slice, slice]:
        """The outputs whose windows have this place inside the image, and the inputs that are there."""
        stride, offset = self.stride[axis], place * self.dilation[axis] - self.padding[axis]
        first = max(-(offset // stride), 0)
        last = min((length - 1 - offset) // stride, self.output[axis] - 1)
        if last < first:
            return slice(0, 0), slice(0, 0)
        begin = first * stride + offset
        return slice(first, last + 1), slice(begin, begin + (last - first) * stride + 1, stride)
