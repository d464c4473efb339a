"""Pooling layers as ordinary torch modules.

They are found again from what the network stores of them.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from oamip_model.network.maps import Array, AveragePool, MaxPool, Shape
from oamip_model.network.maps.windows import adaptive_averaging, averaging, window_count


class SeparableAverage(nn.Module):
    """Average pooling with windows that no torch module has.

    It is ``rows @ image @ columns.T`` on every channel.
    """

    def __init__(self, rows: Array, columns: Array) -> None:
        super().__init__()
        self.register_buffer("rows", torch.tensor(rows, dtype=torch.float32))
        self.register_buffer("columns", torch.tensor(columns.T.copy(), dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        """Pooled images, (n, channels, height, width)."""
        return torch.matmul(torch.matmul(self.get_buffer("rows"), x), self.get_buffer("columns"))


def average_pool_module(pool: AveragePool) -> nn.Module:
    """A module that computes the average pooling.

    It is AdaptiveAvgPool2d or AvgPool2d where one does it, else SeparableAverage.

    Examples
    --------
    >>> import numpy as np
    >>> average_pool_module(AveragePool(np.full((1, 4), 0.25), np.full((1, 4), 0.25)))
    AdaptiveAvgPool2d(output_size=(1, 1))
    """
    matrices = (pool.rows, pool.columns)
    output = tuple(len(m) for m in matrices)
    if output == (1, 1) and all(np.allclose(m, 1 / m.shape[1], atol=1e-12) for m in matrices):
        return nn.AdaptiveAvgPool2d((1, 1))
    # AvgPool2d before AdaptiveAvgPool2d, which ONNX does not know.
    for ceil, count in product((False, True), (True, False)):
        axes = [_window(m, ceil, count) for m in matrices]
        if axes[0] is not None and axes[1] is not None:
            kernel, stride, padding = ((a, b) for a, b in zip(axes[0], axes[1], strict=True))
            return nn.AvgPool2d(kernel, stride, padding, ceil_mode=ceil, count_include_pad=count)
    if all(np.allclose(m, adaptive_averaging(m.shape[1], len(m)), atol=1e-12) for m in matrices):
        return nn.AdaptiveAvgPool2d((output[0], output[1]))
    return SeparableAverage(pool.rows, pool.columns)


def _window(matrix: Array, ceil: bool, count_padding: bool) -> tuple[int, int, int] | None:
    """The (kernel, stride, padding) whose averaging is this matrix, None where there is none."""
    windows, length = matrix.shape
    last = int(np.flatnonzero(matrix[0]).max(initial=0)) + 1
    for padding in range(length):
        kernel = last + padding
        if 2 * padding > kernel:
            continue
        for stride in range(1, length + 1) if windows > 1 else (kernel,):
            pads = (padding, padding)
            if length + 2 * padding < kernel or window_count(length, kernel, stride, pads, 1, ceil) != windows:
                continue
            if np.allclose(averaging(length, kernel, stride, pads, ceil, count_padding), matrix, atol=1e-12):
                return kernel, stride, padding
    return None


def max_pool_module(pool: MaxPool, shape: Shape, positive: bool = False) -> nn.Module:
    """A module that computes the max pooling of images of this shape.

    It is a MaxPool2d, behind a padding where it needs one.

    positive: no number of the images is below 0, so that a padding with zeros never holds the maximum alone.

    Examples
    --------
    >>> max_pool_module(MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1), (3, 3)), (8, 5, 5)).ceil_mode
    True
    """
    top, left = pool.padding[:2]
    fits = 2 * top <= pool.kernel[0] and 2 * left <= pool.kernel[1]
    for ceil in (False, True):
        counts = tuple(
            window_count(length, pool.kernel[axis], pool.stride[axis], (pad, pad), pool.dilation[axis], ceil)
            for axis, (length, pad) in enumerate(((shape[1], top), (shape[2], left)))
        )
        if fits and counts == pool.output:
            return nn.MaxPool2d(pool.kernel, pool.stride, (top, left), pool.dilation, ceil_mode=ceil)
    # Padding at the far end up to where the last window ends; what no window reads, the pooling leaves out itself.
    far = [
        max(0, (pool.output[axis] - 1) * pool.stride[axis] + pool.dilation[axis] * (pool.kernel[axis] - 1) + 1 - size)
        for axis, size in enumerate((shape[1] + top, shape[2] + left))
    ]
    around = (left, far[1], top, far[0])
    padding = nn.ZeroPad2d(around) if positive else nn.ConstantPad2d(around, torch.finfo(torch.float32).min)
    return nn.Sequential(padding, nn.MaxPool2d(pool.kernel, pool.stride, 0, pool.dilation))
