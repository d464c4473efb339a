"""ONNX operators that move or bend numbers, for every opset that has them."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from onnx import TensorProto

from oamip_benchmarks.measures.matrix.layers import IMAGE, Case, Nodes, moved, node, weights

LAST: Final = 21
ROWS = (3, 4)
MASK = {"mask": np.arange(56).reshape(7, 8) % 3 > 0, "other": weights(7, 8)}


def _parts(opset: int) -> Nodes:
    split = moved("Split", opset, 13, {"split": [2, 5]}, axis=2)
    split[-1].output[:] = ["p", "q"]
    return [*split, node("Concat", "q p", axis=2)]


def _halves(opset: int) -> Nodes:
    """Two equal parts, whose lengths are not said before opset 18."""
    parts: dict[str, Any] = {"num_outputs": 2} if opset >= 18 else {}
    split = node("Split", axis=3, **parts)
    split.output[:] = ["p", "q"]
    return [split, node("Sub", "p q")]


def _resized(opset: int, mode: str, **attributes: Any) -> Nodes:
    if opset < 11:
        return [node("Resize", "x scales", mode=mode)]
    return [node("Resize", "x roi scales", mode=mode, **attributes)]


SCALES = {"scales": np.array([1, 1, 2, 1.5], np.float32), "roi": np.zeros(0, np.float32)}
MOVES: dict[str, Case] = {
    "Transpose": (7, IMAGE, {}, lambda o: [node("Transpose", perm=[0, 2, 3, 1])]),
    "Slice": (
        7, IMAGE, {}, lambda o: moved("Slice", o, 10, {"starts": [1, -6], "ends": [9, -1], "axes": [1, 3]})
    ),
    "Slice in steps": (
        10, IMAGE, {},
        lambda o: moved("Slice", o, 10, {"starts": [0, 7], "ends": [7, -9], "axes": [2, 3], "steps": [2, -3]}),
    ),
    "Split": (7, IMAGE, {}, _parts),
    "Split in halves": (7, IMAGE, {}, _halves),
    "Concat": (7, ROWS, {}, lambda o: [node("Relu", "x", "r"), node("Concat", "r x", axis=-1 if o >= 11 else 2)]),
    "Gather": (7, IMAGE, {"at": np.array([2, 0, 0])}, lambda o: [node("Gather", "x at", axis=2)]),
    "Gather one": (7, IMAGE, {"at": np.array(1)}, lambda o: [node("Gather", "x at", axis=1)]),
    "Expand": (8, (3, 1, 4), {"to": np.array([1, 3, 5, 4])}, lambda o: [node("Expand", "x to")]),
    "Tile": (7, ROWS, {"times": np.array([1, 2, 3])}, lambda o: [node("Tile", "x times")]),
    "DepthToSpace": (7, (8, 2, 3), {}, lambda o: [node("DepthToSpace", blocksize=2)]),
    "DepthToSpace CRD": (11, (8, 2, 3), {}, lambda o: [node("DepthToSpace", blocksize=2, mode="CRD")]),
    "SpaceToDepth": (7, (2, 4, 6), {}, lambda o: [node("SpaceToDepth", blocksize=2)]),
    "Trilu": (14, IMAGE, {}, lambda o: [node("Trilu", upper=0)]),
    "Pad": (7, IMAGE, {}, lambda o: moved("Pad", o, 11, {"pads": [0, 0, 1, 0, 0, 0, 2, 3]})),
    "Pad with a number": (
        7, IMAGE, {}, lambda o: moved("Pad", o, 11, {"pads": [0, 0, 1, 0, 0, 0, 0, 2], "value": 0.5})
    ),
    "Pad reflect": (7, IMAGE, {}, lambda o: moved("Pad", o, 11, {"pads": [0, 0, 1, 2, 0, 0, 0, 1]}, mode="reflect")),
    "Pad edge": (7, IMAGE, {}, lambda o: moved("Pad", o, 11, {"pads": [0, 0, 1, 2, 0, 0, 0, 1]}, mode="edge")),
    "Pad axes": (
        18, IMAGE, {"p": np.array([1, 2]), "v": np.array(0, np.float32), "at": np.array([3])},
        lambda o: [node("Pad", "x p v at")],
    ),
    "Where": (9, IMAGE, MASK, lambda o: [node("Where", "mask x other")]),
    "Where of two": (9, IMAGE, MASK, lambda o: [node("Neg", "x", "n"), node("Where", "mask n x")]),
    "Reshape by worked-out shape": (
        8, (6,), {"n": np.array([2]), "z": np.array([0]), "m": np.array([-1])},
        lambda o: [node("Concat", "z n m", "to", axis=0), node("Reshape", "x to")],
    ),
    "Resize nearest": (10, IMAGE, SCALES, lambda o: _resized(o, "nearest", coordinate_transformation_mode="asymmetric",
                                                             nearest_mode="floor")),
    "Resize linear": (10, IMAGE, SCALES, lambda o: _resized(o, "linear", coordinate_transformation_mode="half_pixel")),
    "Resize corners": (
        11, IMAGE, SCALES, lambda o: _resized(o, "linear", coordinate_transformation_mode="align_corners")
    ),
}  # fmt: skip
BENDS: dict[str, Case] = {
    "Sub from a constant": (7, IMAGE, {"c": weights(2, 1, 1)}, lambda o: [node("Sub", "c x")]),
    "Mul by pixel": (7, IMAGE, {"c": weights(1, 2, 7, 8)}, lambda o: [node("Mul", "x c")]),
    "Div": (7, IMAGE, {"c": np.abs(weights(2, 1, 1)) + 1}, lambda o: [node("Div", "x c")]),
    "Neg": (7, IMAGE, {}, lambda o: [node("Neg")]),
    "Abs": (7, IMAGE, {}, lambda o: [node("Abs")]),
    "Sum": (8, IMAGE, {"c": weights(1, 2, 7, 8)}, lambda o: [node("Relu", "x", "r"), node("Sum", "x r c")]),
    "Mean": (7, IMAGE, {}, lambda o: [node("Relu", "x", "r"), node("Mean", "x r r")]),
    "Max": (8, IMAGE, {"c": weights(8)}, lambda o: [node("Neg", "x", "n"), node("Max", "x n c")]),
    "Min": (8, IMAGE, {"c": weights(8)}, lambda o: [node("Relu", "x", "n"), node("Min", "x n c")]),
    "Pow": (7, IMAGE, {"one": np.ones(1, np.float32)}, lambda o: [node("Pow", "x one")]),
    "Clip": (7, IMAGE, {}, lambda o: moved("Clip", o, 11, {"min": -0.5, "max": 0.75})),
    "Clip 6": (7, IMAGE, {}, lambda o: moved("Clip", o, 11, {"min": 0.0, "max": 6.0})),
    "LeakyRelu": (7, IMAGE, {}, lambda o: [node("LeakyRelu", alpha=0.2)]),
    "PRelu": (7, IMAGE, {"s": weights(2, 1, 1)}, lambda o: [node("PRelu", "x s")]),
    "HardSigmoid": (7, IMAGE, {}, lambda o: [node("HardSigmoid", alpha=0.3)]),
    "ReduceSum": (7, IMAGE, {}, lambda o: moved("ReduceSum", o, 13, {"axes": [1, -1]}, keepdims=0)),
    "ReduceMax": (7, IMAGE, {}, lambda o: moved("ReduceMax", o, 18, {"axes": [3]})),
    "ReduceMin": (7, IMAGE, {}, lambda o: moved("ReduceMin", o, 18, {"axes": [1]}, keepdims=0)),
    "ReduceL1": (7, IMAGE, {}, lambda o: moved("ReduceL1", o, 18, {"axes": [2]})),
    "GlobalMaxPool": (7, IMAGE, {}, lambda o: [node("GlobalMaxPool")]),
    "MaxPool of one axis": (7, (2, 9), {}, lambda o: [node("MaxPool", kernel_shape=[3], strides=[2])]),
    "AveragePool of three axes": (7, (2, 4, 4, 3), {}, lambda o: [node("AveragePool", kernel_shape=[2, 2, 1])]),
    "Conv of one axis": (7, (2, 9), {"w": weights(3, 2, 3)}, lambda o: [node("Conv", "x w", pads=[1, 1])]),
    "Conv of three axes": (7, (2, 4, 4, 3), {"w": weights(3, 2, 2, 3, 1)}, lambda o: [node("Conv", "x w")]),
    "ConvTranspose": (
        7, IMAGE, {"w": weights(2, 3, 3, 2), "b": weights(3)},
        lambda o: [node("ConvTranspose", "x w b", strides=[2, 1], pads=[1, 0, 0, 1], output_padding=[1, 0])],
    ),
    "ConvTranspose grouped": (
        7, IMAGE, {"w": weights(2, 3, 2, 2)}, lambda o: [node("ConvTranspose", "x w", group=2, dilations=[1, 2])]
    ),
    "MatMul on the left": (7, IMAGE, {"w": weights(5, 7)}, lambda o: [node("MatMul", "w x")]),
    "MatMul of each channel": (7, IMAGE, {"w": weights(2, 8, 5)}, lambda o: [node("MatMul", "x w")]),
    "Einsum": (12, IMAGE, {"w": weights(4, 2, 8)}, lambda o: [node("Einsum", "x w", equation="bchw,ocw->bho")]),
    "Cast of the mask": (
        9, IMAGE, MASK, lambda o: [node("Cast", "mask", "m", to=TensorProto.FLOAT), node("Mul", "x m")]
    ),
}  # fmt: skip
