"""ONNX operators with weights, windows and sums, for every opset that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from oamip_benchmarks.measures.matrix.operators import Shape

Numbers: TypeAlias = NDArray[Any]
Nodes: TypeAlias = list[onnx.NodeProto]
_RANDOM = np.random.default_rng(0)


def weights(*shape: int) -> Numbers:
    """Random numbers in single precision."""
    return _RANDOM.normal(size=shape).astype(np.float32)


def node(operator: str, inputs: str = "x", output: str = "h", **attributes: Any) -> onnx.NodeProto:
    """A node of one output."""
    return helper.make_node(operator, inputs.split(), [output], **attributes)


IMAGE = (2, 7, 8)
W = {"w": weights(3, 2, 2, 3), "b": weights(3)}
NORM = {"s": weights(2), "b": weights(2), "m": weights(2), "v": np.abs(weights(2)) + 0.5}
TURNED = {"w": weights(5, 6), "one": weights(1, 5)}
DENSE = {"w": weights(6, 5), "b": weights(5), "one": weights(1, 5)}


def moved(
    operator: str, opset: int, since: int, given: dict[str, Any], inputs: str = "x", output: str = "h", **rest: Any
) -> Nodes:
    """A node whose numbers are attributes, and inputs from opset ``since`` on."""
    if opset < since:
        return [node(operator, inputs, output, **given, **rest)]
    constants = [
        helper.make_node("Constant", [], [f"{output}_{key}"], value=numpy_helper.from_array(_array(value)))
        for key, value in given.items()
    ]
    names = " ".join([inputs, *(f"{output}_{key}" for key in given)])
    return [*constants, node(operator, names, output, **rest)]


def _array(value: Any) -> Numbers:
    return np.array(value, np.float32 if isinstance(value, float) else np.int64)


def _view(opset: int) -> Nodes:
    """What torch writes for x.view(x.size(0), -1)."""
    nodes = [node("Shape", "x", "shape"), node("Gather", "shape zero", "size", axis=0)]
    if opset < 13:
        nodes.append(node("Unsqueeze", "size", "sizes", axes=[0]))
    else:
        nodes.append(node("Unsqueeze", "size first", "sizes"))
    return [*nodes, node("Concat", "sizes rest", "target", axis=0), node("Reshape", "x target")]


VIEW = {"zero": np.array(0), "first": np.array([0]), "rest": np.array([-1])}


def _sliced(opset: int) -> Nodes:
    """The batch size cut out of the shape, as other exporters do, and a length that is worked out."""
    last = [node("Slice", "shape", "sizes", starts=[0], ends=[1], axes=[0])]
    if opset >= 10:
        last = [node("Slice", "shape first one", "sizes")]
    return [
        node("Shape", "x", "shape"), *last, node("Slice", "shape", "others", starts=[1], ends=[4]) if opset < 10
        else node("Slice", "shape one four", "others"),
        node("ReduceProd", "others", "length", keepdims=1),
        node("Concat", "sizes length", "target", axis=0), node("Reshape", "x target"),
    ]  # fmt: skip


SLICED = {"first": np.array([0]), "one": np.array([1]), "four": np.array([4])}
Case: TypeAlias = tuple[int, Shape, dict[str, Numbers], Callable[[int], Nodes]]
"""The first opset, the shape of one image, weights, and the nodes from x to h for an opset."""
LAYERS: dict[str, Case] = {
    "Conv": (7, IMAGE, W, lambda o: [node("Conv", "x w b", pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2])]),
    "Conv same": (7, IMAGE, W, lambda o: [node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2])]),
    "Conv grouped": (7, IMAGE, {"w": weights(4, 1, 3, 3)}, lambda o: [node("Conv", "x w", group=2)]),
    "Gemm": (7, (6,), DENSE, lambda o: [node("Gemm", "x w b", alpha=0.5, beta=2.0)]),
    "Gemm transposed": (7, (6,), TURNED, lambda o: [node("Gemm", "x w one", transB=1)]),
    "Gemm without bias": (11, (6,), DENSE, lambda o: [node("Gemm", "x w")]),
    "MatMul": (7, (6,), DENSE, lambda o: [node("MatMul", "x w")]),
    "Add": (7, (6,), DENSE, lambda o: [node("MatMul", "x w", "p"), node("Add", "one p", "q"), node("Add", "q b")]),
    "Add per channel": (7, IMAGE, {"c": weights(2, 1, 1)}, lambda o: [node("Add", "x c")]),
    "Add twice": (7, IMAGE, {}, lambda o: [node("Relu", "x", "r"), node("Add", "x r")]),
    "BatchNormalization": (7, IMAGE, NORM, lambda o: [node("BatchNormalization", "x s b m v", epsilon=1e-2)]),
    "BatchNormalization dense": (7, (2,), NORM, lambda o: [node("BatchNormalization", "x s b m v")]),
    "BatchNormalization zero": (7, (2,), NORM, lambda o: [node("BatchNormalization", "x s b m v", epsilon=0.0)]),
    "MaxPool": (7, IMAGE, {}, lambda o: [node("MaxPool", kernel_shape=[2, 3], strides=[2, 1])]),
    "MaxPool padded": (
        7, IMAGE, {}, lambda o: [node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 2])]
    ),
    "MaxPool upper": (
        7, IMAGE, {}, lambda o: [node("MaxPool", kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER")]
    ),
    "MaxPool lower": (
        7, IMAGE, {}, lambda o: [node("MaxPool", kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_LOWER")]
    ),
    "MaxPool valid": (
        7, IMAGE, {}, lambda o: [node("MaxPool", kernel_shape=[2, 2], strides=[2, 3], auto_pad="VALID")]
    ),
    "MaxPool ceil": (
        10, IMAGE, {},
        lambda o: [node("MaxPool", kernel_shape=[2, 3], strides=[2, 3], pads=[0, 0, 1, 0], ceil_mode=1)],
    ),
    "MaxPool dilated": (
        10, IMAGE, {}, lambda o: [node("MaxPool", kernel_shape=[2, 2], dilations=[2, 3], ceil_mode=1)]
    ),
    "AveragePool": (7, IMAGE, {}, lambda o: [node("AveragePool", kernel_shape=[2, 3], strides=[2, 1])]),
    "AveragePool padded": (
        7, IMAGE, {}, lambda o: [node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 2])]
    ),
    "AveragePool counted": (
        7, IMAGE, {},
        lambda o: [node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 2], count_include_pad=1)],
    ),
    "AveragePool lower": (
        7, IMAGE, {}, lambda o: [node("AveragePool", kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_LOWER")]
    ),
    "AveragePool ceil": (
        10, IMAGE, {}, lambda o: [node("AveragePool", kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1)]
    ),
    "AveragePool ceil padded": (
        10, IMAGE, {},
        lambda o: [node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 1], ceil_mode=1)],
    ),
    "AveragePool ceil counted": (
        19, IMAGE, {},
        lambda o: [node("AveragePool", kernel_shape=[3, 3], strides=[3, 3], pads=[1, 1, 0, 0], ceil_mode=1,
                         count_include_pad=1)],
    ),
    "GlobalAveragePool": (7, IMAGE, {}, lambda o: [node("GlobalAveragePool")]),
    "ReduceMean": (7, IMAGE, {}, lambda o: moved("ReduceMean", o, 18, {"axes": [-1, 2]}, keepdims=0)),
    "ReduceMean kept": (7, IMAGE, {}, lambda o: moved("ReduceMean", o, 18, {"axes": [3]})),
    "Relu": (7, IMAGE, {}, lambda o: [node("Relu")]),
    "Flatten": (7, IMAGE, {}, lambda o: [node("Flatten", axis=1)]),
    "Flatten negative": (11, IMAGE, {}, lambda o: [node("Flatten", axis=-3)]),
    "Reshape": (7, IMAGE, {"shape": np.array([0, -1, 4])}, lambda o: [node("Reshape", "x shape")]),
    "Reshape, zero allowed": (
        14, IMAGE, {"shape": np.array([-1, 4, 28])}, lambda o: [node("Reshape", "x shape", allowzero=1)]
    ),
    "Squeeze": (7, (3, 1, 1), {}, lambda o: moved("Squeeze", o, 13, {"axes": [2, 3]})),
    "Unsqueeze": (7, (6,), {}, lambda o: moved("Unsqueeze", o, 13, {"axes": [2, 3]})),
    "Dropout": (7, (6,), {}, lambda o: [node("Dropout")]),
    "Cast": (7, (6,), {}, lambda o: [node("Cast", to=TensorProto.DOUBLE, output="d"), node("Cast", "d", to=1)]),
    "Identity": (7, (6,), {}, lambda o: [node("Identity")]),
    "view": (7, IMAGE, VIEW, _view),
    "sliced": (7, IMAGE, SLICED, _sliced),
}  # fmt: skip
