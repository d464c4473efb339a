"""Every operator that is read, in every opset that has it: the logits are those of onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import oamip_model as om
from oamip_model.network.readers.onnx.numbers import Numbers
from oamip_model.network.readers.onnx.runs import judges_of

onnxruntime = pytest.importorskip("onnxruntime")
OPSETS = range(7, 22)
_RANDOM = np.random.default_rng(0)


def _weights(*shape: int) -> np.ndarray:
    return _RANDOM.normal(size=shape).astype(np.float32)


def _node(operator: str, inputs: str = "x", output: str = "h", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], **attributes)


IMAGE = (2, 7, 8)
W = {"w": _weights(3, 2, 2, 3), "b": _weights(3)}
NORM = {"s": _weights(2), "b": _weights(2), "m": _weights(2), "v": np.abs(_weights(2)) + 0.5}
TURNED = {"w": _weights(5, 6), "one": _weights(1, 5)}
DENSE = {"w": _weights(6, 5), "b": _weights(5), "one": _weights(1, 5)}


def _axes(operator: str, opset: int, since: int, axes: list[int], **rest: Any) -> list[onnx.NodeProto]:
    """A node whose axes are an attribute, and an input from opset ``since`` on."""
    if opset < since:
        return [_node(operator, axes=axes, **rest)]
    constant = helper.make_node("Constant", [], ["axes"], value=numpy_helper.from_array(np.array(axes, np.int64)))
    return [constant, _node(operator, "x axes", **rest)]


def _view(opset: int) -> list[onnx.NodeProto]:
    """What torch writes for x.view(x.size(0), -1)."""
    nodes = [_node("Shape", "x", "shape"), _node("Gather", "shape zero", "size", axis=0)]
    if opset < 13:
        nodes.append(_node("Unsqueeze", "size", "sizes", axes=[0]))
    else:
        nodes.append(_node("Unsqueeze", "size first", "sizes"))
    return [*nodes, _node("Concat", "sizes rest", "target", axis=0), _node("Reshape", "x target")]


VIEW = {"zero": np.array(0), "first": np.array([0]), "rest": np.array([-1])}


def _sliced(opset: int) -> list[onnx.NodeProto]:
    """The batch size cut out of the shape, as other exporters do, and a length that is worked out."""
    last = [_node("Slice", "shape", "sizes", starts=[0], ends=[1], axes=[0])]
    if opset >= 10:
        last = [_node("Slice", "shape first one", "sizes")]
    return [
        _node("Shape", "x", "shape"), *last, _node("Slice", "shape", "others", starts=[1], ends=[4]) if opset < 10
        else _node("Slice", "shape one four", "others"),
        _node("ReduceProd", "others", "length", keepdims=1),
        _node("Concat", "sizes length", "target", axis=0), _node("Reshape", "x target"),
    ]  # fmt: skip


SLICED = {"first": np.array([0]), "one": np.array([1]), "four": np.array([4])}
# name: (first opset, shape of one image, weights, nodes from "x" to "h" for an opset)
CASES: dict[str, tuple[int, tuple[int, ...], dict[str, np.ndarray], Any]] = {
    "Conv": (7, IMAGE, W, lambda o: [_node("Conv", "x w b", pads=[1, 0, 2, 1], strides=[2, 1], dilations=[1, 2])]),
    "Conv same": (7, IMAGE, W, lambda o: [_node("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 2])]),
    "Conv grouped": (7, IMAGE, {"w": _weights(4, 1, 3, 3)}, lambda o: [_node("Conv", "x w", group=2)]),
    "Gemm": (7, (6,), DENSE, lambda o: [_node("Gemm", "x w b", alpha=0.5, beta=2.0)]),
    "Gemm transposed": (7, (6,), TURNED, lambda o: [_node("Gemm", "x w one", transB=1)]),
    "Gemm without bias": (11, (6,), DENSE, lambda o: [_node("Gemm", "x w")]),
    "MatMul": (7, (6,), DENSE, lambda o: [_node("MatMul", "x w")]),
    "Add": (7, (6,), DENSE, lambda o: [_node("MatMul", "x w", "p"), _node("Add", "one p", "q"), _node("Add", "q b")]),
    "Add per channel": (7, IMAGE, {"c": _weights(2, 1, 1)}, lambda o: [_node("Add", "x c")]),
    "Add twice": (7, IMAGE, {}, lambda o: [_node("Relu", "x", "r"), _node("Add", "x r")]),
    "BatchNormalization": (7, IMAGE, NORM, lambda o: [_node("BatchNormalization", "x s b m v", epsilon=1e-2)]),
    "BatchNormalization dense": (7, (2,), NORM, lambda o: [_node("BatchNormalization", "x s b m v")]),
    "BatchNormalization zero": (7, (2,), NORM, lambda o: [_node("BatchNormalization", "x s b m v", epsilon=0.0)]),
    "MaxPool": (7, IMAGE, {}, lambda o: [_node("MaxPool", kernel_shape=[2, 3], strides=[2, 1])]),
    "MaxPool padded": (
        7, IMAGE, {}, lambda o: [_node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 2])]
    ),
    "MaxPool upper": (
        7, IMAGE, {}, lambda o: [_node("MaxPool", kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_UPPER")]
    ),
    "MaxPool lower": (
        7, IMAGE, {}, lambda o: [_node("MaxPool", kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_LOWER")]
    ),
    "MaxPool valid": (
        7, IMAGE, {}, lambda o: [_node("MaxPool", kernel_shape=[2, 2], strides=[2, 3], auto_pad="VALID")]
    ),
    "MaxPool ceil": (
        10, IMAGE, {},
        lambda o: [_node("MaxPool", kernel_shape=[2, 3], strides=[2, 3], pads=[0, 0, 1, 0], ceil_mode=1)],
    ),
    "MaxPool dilated": (
        10, IMAGE, {}, lambda o: [_node("MaxPool", kernel_shape=[2, 2], dilations=[2, 3], ceil_mode=1)]
    ),
    "AveragePool": (7, IMAGE, {}, lambda o: [_node("AveragePool", kernel_shape=[2, 3], strides=[2, 1])]),
    "AveragePool padded": (
        7, IMAGE, {}, lambda o: [_node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 2])]
    ),
    "AveragePool counted": (
        7, IMAGE, {},
        lambda o: [_node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 2], count_include_pad=1)],
    ),
    "AveragePool lower": (
        7, IMAGE, {}, lambda o: [_node("AveragePool", kernel_shape=[2, 3], strides=[2, 2], auto_pad="SAME_LOWER")]
    ),
    "AveragePool ceil": (
        10, IMAGE, {}, lambda o: [_node("AveragePool", kernel_shape=[3, 3], strides=[3, 3], ceil_mode=1)]
    ),
    "AveragePool ceil padded": (
        10, IMAGE, {},
        lambda o: [_node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 1, 1, 1], ceil_mode=1)],
    ),
    "AveragePool ceil counted": (
        19, IMAGE, {},
        lambda o: [_node("AveragePool", kernel_shape=[3, 3], strides=[3, 3], pads=[1, 1, 0, 0], ceil_mode=1,
                         count_include_pad=1)],
    ),
    "GlobalAveragePool": (7, IMAGE, {}, lambda o: [_node("GlobalAveragePool")]),
    "ReduceMean": (7, IMAGE, {}, lambda o: _axes("ReduceMean", o, 18, [-1, 2], keepdims=0)),
    "ReduceMean kept": (7, IMAGE, {}, lambda o: _axes("ReduceMean", o, 18, [3])),
    "Relu": (7, IMAGE, {}, lambda o: [_node("Relu")]),
    "Flatten": (7, IMAGE, {}, lambda o: [_node("Flatten", axis=1)]),
    "Flatten negative": (11, IMAGE, {}, lambda o: [_node("Flatten", axis=-3)]),
    "Reshape": (7, IMAGE, {"shape": np.array([0, -1, 4])}, lambda o: [_node("Reshape", "x shape")]),
    "Reshape, zero allowed": (
        14, IMAGE, {"shape": np.array([-1, 4, 28])}, lambda o: [_node("Reshape", "x shape", allowzero=1)]
    ),
    "Squeeze": (7, (3, 1, 1), {}, lambda o: _axes("Squeeze", o, 13, [2, 3])),
    "Unsqueeze": (7, (6,), {}, lambda o: _axes("Unsqueeze", o, 13, [2, 3])),
    "Dropout": (7, (6,), {}, lambda o: [_node("Dropout")]),
    "Cast": (7, (6,), {}, lambda o: [_node("Cast", to=TensorProto.DOUBLE, output="d"), _node("Cast", "d", to=1)]),
    "Identity": (7, (6,), {}, lambda o: [_node("Identity")]),
    "view": (7, IMAGE, VIEW, _view),
    "sliced": (7, IMAGE, SLICED, _sliced),
}  # fmt: skip


def write(path: Path, opset: int, case: str) -> Path:
    """A model that ends in a dense layer behind the case's nodes."""
    _, shape, weights, nodes = CASES[case]
    made = nodes(opset)
    used = {name for node in made for name in node.input}
    stored = [numpy_helper.from_array(array, name) for name, array in weights.items() if name in used]
    first = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])
    found = onnx.shape_inference.infer_shapes(
        helper.make_model(
            helper.make_graph(made, "net", [first], [helper.make_empty_tensor_value_info("h")], stored),
            opset_imports=[helper.make_opsetid("", opset)],
        ),
        data_prop=True,
    )
    sizes = [dim.dim_value for dim in found.graph.output[0].type.tensor_type.shape.dim][1:]
    length = int(np.prod(sizes if sizes and all(sizes) else shape))  # reshapes leave their length open
    stored.append(numpy_helper.from_array(np.linspace(-1, 1, 3 * length, dtype=np.float32).reshape(length, 3), "last"))
    made += [_node("Flatten", "h", "f", axis=1), _node("MatMul", "f last", "y")]
    graph = helper.make_graph(
        made, "net", [first], [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])], stored
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_onnxruntime_in_every_opset(case: str, tmp_path: Path) -> None:
    since, shape, _, _ = CASES[case]
    x = np.random.default_rng(1).normal(size=(3, *shape))
    for opset in (opset for opset in OPSETS if opset >= since):
        path = write(tmp_path / f"{opset}.onnx", opset, case)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        wanted = session.run(None, {"x": x.astype(np.float32)})[0]
        network = om.read_network(path)
        np.testing.assert_allclose(network.replay(x), wanted, rtol=1e-5, atol=1e-5, err_msg=f"opset {opset}")
        # The judge where there is no onnxruntime.
        reference = judges_of(onnx.load(path), Numbers(path), "x")[-1]
        # Batch norm folds to single precision, in which the file is.
        np.testing.assert_allclose(network.replay(x), reference.run(x), rtol=1e-6, atol=1e-6, err_msg=f"opset {opset}")
