"""Geometry of pooling and convolution windows, as torch and ONNX define it."""

from __future__ import annotations

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.ops import Array, AveragePool

_MOST = 2**26


def window_count(length: int, kernel: int, stride: int, pads: tuple[int, int], dilation: int, ceil: bool) -> int:
    """How many windows fit along an axis.

    With ``ceil`` a last one may hang over the end, but must start inside.

    >>> window_count(5, 2, 2, (0, 0), 1, ceil=False), window_count(5, 2, 2, (0, 0), 1, ceil=True)
    (2, 3)
    """
    room = length + sum(pads) - dilation * (kernel - 1) - 1
    count = -(-room // stride) + 1 if ceil else room // stride + 1
    if ceil and (count - 1) * stride >= length + pads[0]:
        count -= 1
    return count


def averaging(
    length: int, kernel: int, stride: int, pads: tuple[int, int], ceil: bool = False, count_padding: bool = True
) -> Array:
    """Weights of average pooling along one axis, (windows, length).

    ``count_padding`` divides by the window's length in the padded axis, else by its length in the axis itself. What
    hangs over the padding (with ``ceil``) is never counted.
    """
    weights = _no_weights(window_count(length, kernel, stride, pads, 1, ceil), length)
    for row, start in enumerate(range(-pads[0], -pads[0] + stride * len(weights), stride)):
        end = min(start + kernel, length + pads[1])
        first, last = max(start, 0), min(end, length)
        if last > first:
            weights[row, first:last] = 1.0 / (end - start if count_padding else last - first)
    return weights


def adaptive_averaging(length: int, output: int) -> Array:
    """Weights of adaptive average pooling along one axis, (output, length).

    >>> adaptive_averaging(3, 2).tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.5, 0.5]]
    """
    weights = _no_weights(output, length)
    for row in range(output):
        first, last = row * length // output, -(-(row + 1) * length // output)
        weights[row, first:last] = 1.0 / (last - first)
    return weights


def _no_weights(windows: int, length: int) -> Array:
    if windows * length > _MOST:
        raise InputError(f"network: a pooling takes {windows} windows of an axis of length {length}, too many to read")
    return np.zeros((windows, length))


def is_averaging(matrix: Array) -> bool:
    """Whether each row of a matrix (windows, length) holds an average's weights.

    Zeros may be around them.

    >>> is_averaging(np.array([[0.5, 0.5], [0.0, 0.25]])), is_averaging(np.array([[1.0, -1.0]]))
    (True, False)
    """
    return bool(matrix.ndim == 2 and (matrix >= 0).all() and (matrix.sum(axis=1) <= 1 + 1e-6).all())


def spatial_mean(height: int, width: int, over_height: bool = True, over_width: bool = True) -> AveragePool:
    """The mean over height, width or both."""
    return AveragePool(
        np.full((1, height), 1.0 / height) if over_height else np.eye(height),
        np.full((1, width), 1.0 / width) if over_width else np.eye(width),
    )


def same_padding(kernel: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after an axis that keep its length at stride 1.

    The odd one is after (torch's padding="same").
    """
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2
