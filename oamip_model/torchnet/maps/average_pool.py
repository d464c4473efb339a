"""Averages over space in torch."""

# The methods of every map are documented once, in TorchMap.
# ruff: noqa: D102

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from oamip_model.network.maps import Array, AveragePool, Shape
from oamip_model.network.maps.windows import adaptive_averaging, averaging, window_count
from oamip_model.torchnet.maps.base import TorchMap


class TorchAveragePool(TorchMap[AveragePool]):
    """An average pooling of torch's, where one does it."""

    name: ClassVar[str] = "average-pool"

    def forward(self, map: AveragePool, x: Tensor, tensor: Callable[[Array], Tensor]) -> Tensor:
        return tensor(map.rows) @ x @ tensor(map.columns).T

    def module(self, map: AveragePool, bias: Array | None, shape: Shape) -> nn.Module | None:
        return average_pool_module(map)


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
    # Not where images become larger, which no exporter writes.
    smaller = all(len(m) <= m.shape[1] for m in matrices)
    if smaller and all(np.allclose(m, adaptive_averaging(m.shape[1], len(m)), atol=1e-12) for m in matrices):
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
