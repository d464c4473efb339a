"""Linear maps between layers, kept as arrays.

They are applied without building their matrices.

Tensors are numpy arrays of shape (n, *shape), n images at once. Flattening is row-major, as in torch, so reshaping
a tensor never changes its flat vector.
"""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from oamip_model.clock import expect, tick

Array: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]
_WINDOWS = 2**26
"""Numbers (512 MiB) that the windows of a convolution take at once, unless one image takes more."""
_ENTRY_SECONDS = 5e-8
"""Seconds that one coefficient of a convolution's matrix takes at least."""


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
    """A linear map without trained rows, channel by channel.

    Each channel of the output is made from the channel at its place alone.
    """


@dataclass(frozen=True)
class Identity(ChannelwiseMap):
    """A map that passes its input on: a shortcut, or what a pooling layer reads."""

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def apply(self, x: Array) -> Array:
        return x

    def matrix(self, shape: Shape) -> sp.csr_array:
        return sp.eye_array(int(np.prod(shape)), format="csr")

    def magnitude(self) -> LinearMap:
        return self


@dataclass(frozen=True)
class Dense(LinearMap):
    """A fully connected map on one flat vector per image.

    ``weight`` is (out, in).
    """

    weight: Array

    def output_shape(self, shape: Shape) -> Shape:
        return (self.weight.shape[0],)

    def apply(self, x: Array) -> Array:
        return x @ self.weight.T

    def matrix(self, shape: Shape) -> sp.csr_array:
        if not self.weight.all():
            return sp.csr_array(self.weight)
        # Nothing to look for: several times faster than the search for non-zeros.
        rows, columns = self.weight.shape
        starts = np.arange(0, rows * columns + 1, columns, dtype=np.int32) if columns else np.zeros(rows + 1, np.int32)
        indices = np.tile(np.arange(columns, dtype=np.int32), rows)
        return sp.csr_array((self.weight.flatten(), indices, starts), shape=(rows, columns))

    def magnitude(self) -> LinearMap:
        return Dense(np.abs(self.weight))


@dataclass(frozen=True)
class ChannelScale(ChannelwiseMap):
    """A number for each channel (first axis), by which it is multiplied.

    It is batch norm that could not be folded away.
    """

    scale: Array

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def apply(self, x: Array) -> Array:
        return x * self.scale.reshape((1, -1) + (1,) * (x.ndim - 2))

    def matrix(self, shape: Shape) -> sp.csr_array:
        return sp.dia_array(
            (np.repeat(self.scale, int(np.prod(shape[1:])))[None], [0]), shape=(int(np.prod(shape)),) * 2
        ).tocsr()

    def magnitude(self) -> LinearMap:
        return ChannelScale(np.abs(self.scale))


@dataclass(frozen=True)
class Conv2d(LinearMap):
    """Two-dimensional convolution as torch defines it.

    ``weight`` is (out, in / groups, kernel height, kernel width).

    ``padding`` is (top, left, bottom, right), of zeros.
    """

    weight: Array
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def _windows(self, x: Array) -> Array:
        """View of the padded input as (n, channels, out height, out width, kernel height, kernel width)."""
        top, left, bottom, right = self.padding
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        (kh, kw), (dh, dw), (sh, sw) = self.weight.shape[2:], self.dilation, self.stride
        span = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
        view = sliding_window_view(padded, span, axis=(2, 3))
        return np.asarray(view[:, :, ::sh, ::sw, ::dh, ::dw])

    def output_shape(self, shape: Shape) -> Shape:
        top, left, bottom, right = self.padding
        size = []
        for length, pad, axis in ((shape[1], top + bottom, 0), (shape[2], left + right, 1)):
            span = self.dilation[axis] * (self.weight.shape[2 + axis] - 1) + 1
            size.append((length + pad - span) // self.stride[axis] + 1)
        return (self.weight.shape[0], size[0], size[1])

    def apply(self, x: Array) -> Array:
        # As many images at once as keep the windows, which are copied, within a budget.
        numbers = int(np.prod(self.output_shape(x.shape[1:])[1:])) * int(np.prod(self.weight.shape[1:])) * self.groups
        step = max(1, _WINDOWS // max(numbers, 1))
        found = []
        for start in range(0, len(x), step):
            if start:
                tick("a convolution")
            found.append(self._apply(x[start : start + step]))
        return found[0] if len(found) == 1 else np.concatenate(found)

    def _apply(self, x: Array) -> Array:
        windows = self._windows(x)
        outputs, inputs = self.weight.shape[0] // self.groups, self.weight.shape[1]
        parts = []
        for g in range(self.groups):
            window = windows[:, g * inputs : (g + 1) * inputs]
            weight = self.weight[g * outputs : (g + 1) * outputs]
            parts.append(np.moveaxis(np.tensordot(window, weight, axes=((1, 4, 5), (1, 2, 3))), 3, 1))
        return np.concatenate(parts, axis=1)

    def matrix(self, shape: Shape) -> sp.csr_array:
        entries = int(np.prod(self.output_shape(shape))) * int(np.prod(self.weight.shape[1:]))
        expect(_ENTRY_SECONDS * entries, "the matrix of a convolution")
        # Number every input from 1, so that a 0 in the windows marks padding.
        numbers = np.arange(1, np.prod(shape) + 1, dtype=np.float64).reshape(1, *shape)
        windows = self._windows(numbers)[0].astype(np.int64) - 1
        out_shape = self.output_shape(shape)
        outputs, inputs = self.weight.shape[0] // self.groups, self.weight.shape[1]
        kernel = self.weight.shape[2] * self.weight.shape[3]
        positions = out_shape[1] * out_shape[2]
        # (groups, 1, positions, inputs * kernel) columns against (groups, outputs, 1, inputs * kernel) weights.
        columns = windows.reshape(self.groups, inputs, positions, kernel).transpose(0, 2, 1, 3)
        columns = columns.reshape(self.groups, 1, positions, inputs * kernel)
        full = (self.groups, outputs, positions, inputs * kernel)
        weights = np.broadcast_to(self.weight.reshape(self.groups, outputs, 1, inputs * kernel), full)
        columns = np.broadcast_to(columns, full)
        keep = columns >= 0
        counts = keep.reshape(-1, inputs * kernel).sum(axis=1)
        pointers = np.concatenate(([0], np.cumsum(counts)))
        size = (int(np.prod(out_shape)), int(np.prod(shape)))
        return sp.csr_array((weights[keep], columns[keep], pointers), shape=size)

    def magnitude(self) -> LinearMap:
        return replace(self, weight=np.abs(self.weight))


@dataclass(frozen=True)
class AveragePool(ChannelwiseMap):
    """Averages over space, one channel at a time: ``rows @ image @ columns.T``.

    ``rows`` is (out height, in height) and ``columns`` (out width, in width); each row holds one window's weights along
    that axis. A two-dimensional mean is separable, so this covers fixed and adaptive windows, padding and global means.
    """

    rows: Array
    columns: Array

    def output_shape(self, shape: Shape) -> Shape:
        return (shape[0], self.rows.shape[0], self.columns.shape[0])

    def apply(self, x: Array) -> Array:
        return np.asarray(self.rows @ x @ self.columns.T)

    def matrix(self, shape: Shape) -> sp.csr_array:
        one_channel = sp.kron(sp.csr_array(self.rows), sp.csr_array(self.columns))
        return sp.csr_array(sp.kron(sp.eye_array(shape[0]), one_channel))

    def magnitude(self) -> LinearMap:
        return AveragePool(np.abs(self.rows), np.abs(self.columns))


@dataclass(frozen=True)
class ZeroPad(ChannelwiseMap):
    """Puts zeros around each channel; ``padding`` is (top, left, bottom, right)."""

    padding: tuple[int, int, int, int]

    def output_shape(self, shape: Shape) -> Shape:
        top, left, bottom, right = self.padding
        return (shape[0], top + shape[1] + bottom, left + shape[2] + right)

    def apply(self, x: Array) -> Array:
        top, left, bottom, right = self.padding
        return np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))

    def matrix(self, shape: Shape) -> sp.csr_array:
        inside = self.apply(np.ones((1, *shape))).ravel() > 0
        pointers = np.concatenate(([0], np.cumsum(inside)))
        size = int(np.prod(shape))
        return sp.csr_array((np.ones(size), np.arange(size), pointers), shape=(inside.size, size))

    def magnitude(self) -> LinearMap:
        return self


@dataclass(frozen=True)
class MaxPool:
    """Windows of max pooling.

    ``padding`` is (top, left, bottom, right) and never holds the maximum.

    ``output`` is the (height, width) that the reader worked out (floor or ceiling), so nothing here rounds: it says
    where the last window is, whatever the padding at the bottom and the right.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    output: tuple[int, int]

    def windows(self, shape: Shape) -> NDArray[np.int64]:
        """Flat input index of each window entry; -1 outside the image.

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
        """The maximum over each window.

        It goes from (n, channels, height, width) to (n, channels, *output).
        """
        windows = self.windows(x.shape[1:])
        flat = np.concatenate([x.reshape(len(x), -1), np.full((len(x), 1), -np.inf)], axis=1)
        return np.asarray(flat[:, windows].max(axis=2).reshape(len(x), x.shape[1], *self.output))
