"""Geometry of pooling and convolution windows, as torch and ONNX define it."""

from __future__ import annotations

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.maps.base import Array

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


def unchanged(length: int) -> Array:
    """Weights that leave an axis as it is, (length, length).

    >>> unchanged(2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    weights = _no_weights(length, length)
    np.fill_diagonal(weights, 1.0)
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


def same_padding(kernel: int, dilation: int) -> tuple[int, int]:
    """Zeros before and after an axis that keep its length at stride 1.

    The odd one is after (torch's padding="same").
    """
    total = dilation * (kernel - 1)
    return total // 2, total - total // 2


def resizing(
    length: int, output: int, scale: float, mode: str, places: str, rounding: str = "floor", cubic: float = -0.75,
    inside: bool = False,
) -> Array:  # fmt: skip
    """Weights of a change of size along one axis, (output, length).

    ``mode`` is nearest, linear or cubic, ``places`` ONNX's coordinate_transformation_mode, ``rounding`` its
    nearest_mode, ``cubic`` its cubic_coeff_a and ``inside`` its exclude_outside.

    >>> resizing(2, 4, 2.0, "nearest", "asymmetric").tolist()
    [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    """
    at = np.arange(output, dtype=np.float64)
    if places == "align_corners":
        at = at * (length - 1) / (output - 1) if output > 1 else 0.0 * at
    elif places == "asymmetric":
        at = at / scale
    elif places == "tf_half_pixel_for_nn":
        at = (at + 0.5) / scale
    elif places == "pytorch_half_pixel" and output == 1:
        at = 0.0 * at
    else:
        at = (at + 0.5) / scale - 0.5
        if places == "half_pixel_symmetric":
            at = at + length / 2 * (1 - output / (scale * length))
    weights = _no_weights(output, length)
    rows = np.arange(output)
    if mode == "nearest":
        half = {"round_prefer_floor": -0.5, "round_prefer_ceil": 0.5}.get(rounding, 0.0)
        found = np.ceil(at + half) if rounding in ("ceil", "round_prefer_floor") else np.floor(at + half)
        weights[rows, np.clip(found, 0, length - 1).astype(int)] = 1.0
        return weights
    if mode == "cubic":
        for step in (-1, 0, 1, 2):
            found = np.floor(at) + step
            near, far = np.abs(at - found), 1.0 if inside else np.inf
            weight = np.where(near <= 1, ((cubic + 2) * near - (cubic + 3)) * near**2 + 1,
                              ((cubic * near - 5 * cubic) * near + 8 * cubic) * near - 4 * cubic)  # fmt: skip
            weight = np.where((found > -far) & (found < length - 1 + far), weight, 0.0)
            np.add.at(weights, (rows, np.clip(found, 0, length - 1).astype(int)), weight)
        return weights / weights.sum(axis=1, keepdims=True) if inside else weights
    at = np.clip(at, 0, length - 1)
    first = np.minimum(np.floor(at).astype(int), max(length - 2, 0))
    np.add.at(weights, (rows, first), 1.0 - (at - first))
    if length > 1:
        np.add.at(weights, (rows, first + 1), at - first)
    return weights
