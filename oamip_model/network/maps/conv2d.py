"""Two-dimensional convolutions."""

# The methods of every map are documented once, in LinearMap.
# ruff: noqa: D102

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.lib.stride_tricks import sliding_window_view

from oamip_model.clock import expect, tick
from oamip_model.network.held import row_parts
from oamip_model.network.maps.base import Array, LinearMap, Padding, Shape, TrainedMap
from oamip_model.network.maps.units import Shifted, batched, not_space

_WINDOWS = 2**21
"""Numbers (16 MiB) that the copied windows of one group take at once, unless one row of one image takes more."""
_ENTRY_SECONDS = 5e-8
"""Seconds that one coefficient of a convolution's matrix takes at least."""


@dataclass(frozen=True)
class Conv2d(TrainedMap):
    """Two-dimensional convolution as torch defines it.

    ``weight`` is (out, in / groups, kernel height, kernel width).

    ``padding`` is (top, left, bottom, right), of zeros.
    """

    stride: tuple[int, int] = (1, 1)
    padding: Padding = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    name: ClassVar[str] = "conv2d"

    def misfit(self, shape: Shape) -> str | None:
        if len(shape) == 3 and shape[0] != self.inputs:
            return f"reads {self.inputs} channels, and got {batched(shape)}"
        return not_space(shape)

    @property
    def blocks(self) -> int:
        return self.groups

    def in_blocks(self, weight: Array, blocks: int) -> LinearMap:
        return replace(self, weight=weight, groups=blocks)

    def _windows(self, x: Array) -> Array:
        """View of the padded input as (n, channels, out height, out width, kernel height, kernel width)."""
        top, left, bottom, right = self.padding
        padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
        (kh, kw), (dh, dw), (sh, sw) = self.held.shape[2:], self.dilation, self.stride
        span = (dh * (kh - 1) + 1, dw * (kw - 1) + 1)
        view = sliding_window_view(padded, span, axis=(2, 3))
        return np.asarray(view[:, :, ::sh, ::sw, ::dh, ::dw])

    def output_shape(self, shape: Shape) -> Shape:
        top, left, bottom, right = self.padding
        size = []
        for length, pad, axis in ((shape[1], top + bottom, 0), (shape[2], left + right, 1)):
            span = self.dilation[axis] * (self.held.shape[2 + axis] - 1) + 1
            size.append((length + pad - span) // self.stride[axis] + 1)
        return (len(self.held), size[0], size[1])

    def apply(self, x: Array) -> Array:
        # In parts of images and rows, whose copied windows are small. Fresh memory takes longer to get than to fill.
        out = np.empty((len(x), *self.output_shape(x.shape[1:])))
        line = out.shape[3] * int(np.prod(self.held.shape[1:]))
        rows = max(1, _WINDOWS // max(line, 1))
        step = max(1, rows // max(out.shape[2], 1))
        for start in range(0, len(x), step):
            windows = self._windows(x[start : start + step])
            for top in range(0, out.shape[2], rows):
                if start or top:
                    tick("a convolution")
                self._fill(out[start : start + step, :, top : top + rows], windows[:, :, top : top + rows])
        return out

    def _fill(self, out: Array, windows: Array) -> None:
        """Write the result of these windows to ``out``."""
        outputs, inputs = len(self.held) // self.groups, self.held.shape[1]
        for g in range(self.groups):
            window = windows[:, g * inputs : (g + 1) * inputs]
            own = slice(g * outputs, (g + 1) * outputs)
            if self.held.dtype == np.float64:
                out[:, own] = np.moveaxis(np.tensordot(window, self.weight[own], axes=((1, 4, 5), (1, 2, 3))), 3, 1)
                continue
            n, _, height, width, *kernel = window.shape
            columns = window.transpose(0, 2, 3, 1, 4, 5).reshape(n, height * width, inputs * math.prod(kernel))
            for rows, part in row_parts(self.held[own]):
                made = part.reshape(len(part), -1) @ columns.swapaxes(1, 2)
                out[:, own][:, rows] = made.reshape(n, len(part), height, width)

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

    def bordered(self, padding: Padding) -> LinearMap | None:
        top, left, bottom, right = (mine + more for mine, more in zip(self.padding, padding, strict=True))
        return replace(self, weight=self.held, padding=(top, left, bottom, right))

    def absorbing(self, before: Shifted, read: Shape) -> tuple[LinearMap, Array] | None:
        # At the zeros around a padded convolution nothing is shifted.
        if read != before.shape or (any(self.padding) and before.shift.any()):
            return None
        outputs, inputs = len(self.weight) // self.groups, self.weight.shape[1]
        kernels = self.weight.reshape(self.groups, outputs, inputs, *self.weight.shape[2:])
        scale = before.scale.reshape(self.groups, 1, inputs, 1, 1)
        bias = np.einsum("goihw,gi->go", kernels, before.shift.reshape(self.groups, inputs)).reshape(-1)
        return replace(self, weight=(kernels * scale).reshape(self.weight.shape)), bias
