"""Operators of ONNX's reference implementation that are mended here.

They are mended where it does not do what ONNX says.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx.reference.op_run import OpRun


class BatchNormalization(OpRun):  # type: ignore[misc]
    """Batch norm by stored statistics.

    Before opset 14 the reference implementation takes those of the batch.
    """

    op_domain = ""

    def _run(self, x: Any, scale: Any, bias: Any, mean: Any, variance: Any, **attributes: Any) -> tuple[Any]:
        shape = (1, -1) + (1,) * (x.ndim - 2)
        scale, bias, mean, variance = (values.reshape(shape) for values in (scale, bias, mean, variance))
        epsilon = attributes.get("epsilon")
        deviation = np.sqrt(variance + (1e-5 if epsilon is None else epsilon))
        return (((x - mean) / deviation * scale + bias).astype(x.dtype),)


class Dropout(OpRun):  # type: ignore[misc]
    """Dropout that predicts, which the reference implementation lacks in old opsets."""

    op_domain = ""

    def _run(self, x: Any, *rest: Any, **attributes: Any) -> tuple[Any]:
        return (x,)


class _Aligned(OpRun):  # type: ignore[misc]
    """A function of two tensors, with the attribute of old versions.

    Before opset 7 it says at which axis of the first tensor those of the second begin.
    """

    op_domain = ""
    both: Callable[[Any, Any], Any]

    def _run(self, a: Any, b: Any, **attributes: Any) -> tuple[Any]:
        axis = attributes.get("axis")
        behind = 0 if axis is None else max(a.ndim - axis - b.ndim, 0)
        return (self.both(a, b.reshape(b.shape + (1,) * behind)),)


class Add(_Aligned):
    """A sum."""

    both = staticmethod(operator.add)


class Sub(_Aligned):
    """A difference."""

    both = staticmethod(operator.sub)


class Mul(_Aligned):
    """A product."""

    both = staticmethod(operator.mul)


class Div(_Aligned):
    """A quotient."""

    both = staticmethod(operator.truediv)


class Gemm(OpRun):  # type: ignore[misc]
    """A product of matrices and a sum.

    The reference implementation lacks it before opset 6.
    """

    op_domain = ""

    def _run(self, a: Any, b: Any, c: Any, **attributes: Any) -> tuple[Any]:
        alpha, beta = (1.0 if attributes.get(name) is None else attributes[name] for name in ("alpha", "beta"))
        a, b = a.T if attributes.get("transA") else a, b.T if attributes.get("transB") else b
        return ((alpha * (a @ b) + beta * c).astype(a.dtype),)


class Reshape(OpRun):  # type: ignore[misc]
    """Another shape by an attribute, which the reference implementation lacks."""

    op_domain = ""

    def _run(self, x: Any, **attributes: Any) -> tuple[Any]:
        shape = [x.shape[axis] if n == 0 else n for axis, n in enumerate(attributes["shape"])]
        return (x.reshape(shape),)


class DequantizeLinear(OpRun):  # type: ignore[misc]
    """Numbers from whole ones, a scale and a zero.

    The reference implementation lacks it in old opsets.
    """

    op_domain = ""

    def _run(self, x: Any, scale: Any, zero: Any = None, **attributes: Any) -> tuple[Any]:
        axis, block = attributes.get("axis"), attributes.get("block_size") or 0
        axis = (1 if axis is None else axis) if scale.size > 1 else 0
        parts = [scale] if zero is None else [scale, zero]
        if scale.size == 1:
            parts = [part.reshape(()) for part in parts]
        elif block:
            parts = [np.repeat(part, block, axis).take(range(x.shape[axis]), axis) for part in parts]
        else:
            shape = [-1 if k == axis % x.ndim else 1 for k in range(x.ndim)]
            parts = [part.reshape(shape) for part in parts]
        whole = x.astype(np.float64) - (0.0 if zero is None else parts[1].astype(np.float64))
        return ((whole * parts[0].astype(np.float64)).astype(scale.dtype),)


class _Pool(OpRun):  # type: ignore[misc]
    """Pooling window by window, as the definition of the operators says it."""

    op_domain = ""

    def _pool(self, x: Any, attributes: dict[str, Any]) -> Any:
        kernel = attributes["kernel_shape"]
        axes = range(len(kernel))
        sides = [_Side(x.shape[2 + k], k, kernel, attributes) for k in axes]
        result: Any = np.empty((*x.shape[:2], *(len(side.starts) for side in sides)), dtype=x.dtype)
        for index in itertools.product(*(range(len(side.starts)) for side in sides)):
            windows = [side.window(i) for side, i in zip(sides, index, strict=True)]
            inside = [[i for i in window if 0 <= i < side.size] for side, window in zip(sides, windows, strict=True)]
            values = x[np.ix_(range(x.shape[0]), range(x.shape[1]), *inside)]
            padded = [
                [i for i in window if -side.head <= i < side.end] for side, window in zip(sides, windows, strict=True)
            ]
            counted = padded if attributes.get("count_include_pad") else inside
            result[(slice(None), slice(None), *index)] = self._value(values, int(np.prod([len(c) for c in counted])))
        return result

    def _value(self, values: Any, count: int) -> Any:
        raise NotImplementedError


class _Side:
    """The windows along one axis: where each starts, and what is the image and the padded image."""

    def __init__(self, size: int, axis: int, kernel: list[int], attributes: dict[str, Any]) -> None:
        stride = (attributes.get("strides") or [1] * len(kernel))[axis]
        self.size, self.dilation = size, (attributes.get("dilations") or [1] * len(kernel))[axis]
        self.span = self.dilation * (kernel[axis] - 1) + 1
        self.head, tail = 0, 0
        mode = attributes.get("auto_pad") or "NOTSET"
        given: list[int] = list(attributes.get("pads") or [0] * 2 * len(kernel))
        if mode == "NOTSET":
            self.head, tail = given[axis], given[len(kernel) + axis]
        if mode.startswith("SAME"):
            whole = max((-(-size // stride) - 1) * stride + self.span - size, 0)
            self.head = whole // 2 if mode == "SAME_UPPER" else whole - whole // 2
            tail = whole - self.head
        self.end = size + tail
        self.starts = list(range(-self.head, self.end - self.span + 1, stride))
        if attributes.get("ceil_mode") and self.starts:
            # A last window may hang over the end, but starts within the image.
            following = self.starts[-1] + stride
            if self.starts[-1] + self.span < self.end and following < size:
                self.starts.append(following)

    def window(self, index: int) -> range:
        """Places that the window reads, some of which may lie outside the image."""
        start = self.starts[index]
        return range(start, start + self.span, self.dilation)


class MaxPool(_Pool):
    """The largest number of each window."""

    def _run(self, x: Any, **attributes: Any) -> tuple[Any]:
        return (self._pool(x, attributes),)

    def _value(self, values: Any, count: int) -> Any:
        return values.max(axis=tuple(range(2, values.ndim)))


class AveragePool(_Pool):
    """The mean of each window: of what lies in the image, or in the padded image."""

    def _run(self, x: Any, **attributes: Any) -> tuple[Any]:
        return (self._pool(x, attributes),)

    def _value(self, values: Any, count: int) -> Any:
        return values.sum(axis=tuple(range(2, values.ndim))) / count


MENDED = (Add, BatchNormalization, DequantizeLinear, Dropout, MaxPool, AveragePool)
_OLDER = {7: (Sub, Mul, Div), 6: (Gemm,), 5: (Reshape,)}
"""Operators that are mended in models of an opset before each of these."""


def mended(opset: int) -> list[type[OpRun]]:
    """The operators that are mended in models of an opset."""
    return [*MENDED, *(kind for before, kinds in _OLDER.items() if opset < before for kind in kinds)]
