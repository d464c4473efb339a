"""Forms in which public networks are written: no axis for the batch, keras' order of axes, old opsets, any order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import oamip_model as om

RANDOM = np.random.default_rng(5)


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), outputs.split(), **attributes)


def dense(name: str, outputs: int, inputs: int) -> dict[str, np.ndarray]:
    return {f"w{name}": RANDOM.normal(size=(inputs, outputs)) / 3, f"b{name}": RANDOM.normal(size=outputs)}


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


HIDDEN = [node("MatMul", "f w1", "m1"), node("Add", "m1 b1", "a1"), node("Relu", "a1", "r1")]
TOP = [node("MatMul", "r1 w2", "m2"), node("Add", "m2 b2", "y")]
COLUMN = {"w1": RANDOM.normal(size=(4, 6)), "b1": RANDOM.normal(size=(4, 1)), "w2": RANDOM.normal(size=(3, 4)),
          "b2": RANDOM.normal(size=(3, 1))}  # fmt: skip
COLUMNS = [node("MatMul", "w1 f", "m1"), node("Add", "m1 b1", "a1"), node("Relu", "a1", "r1"),
           node("MatMul", "w2 r1", "m2"), node("Add", "m2 b2", "y")]  # fmt: skip
KERNEL = {"k": RANDOM.normal(size=(3, 2, 3, 3)), "kb": RANDOM.normal(size=3)}
NORM = {"s": RANDOM.uniform(0.5, 2, 3), "o": RANDOM.normal(size=3), "mean": RANDOM.normal(size=3),
        "var": RANDOM.uniform(0.5, 2, 3)}  # fmt: skip
# (nodes, weights, shape of the input, opset, shape of an image, scored units by group)
FORMS: dict[str, tuple[Sequence[onnx.NodeProto], dict[str, np.ndarray], list[Any], int, tuple[int, ...], list[int]]] = {
    "a subtracted mean, 1x1x1x5": (
        [node("Sub", "x mean", "c"), node("Flatten", "c", "f", axis=1), *HIDDEN, *TOP],
        {"mean": RANDOM.normal(size=(1, 1, 1, 5)), **dense("1", 4, 5), **dense("2", 3, 4)}, [1, 1, 1, 5], 12,
        (1, 1, 5), [4],
    ),
    "a column, weights on the left": (
        [node("Flatten", "x", "g", axis=1), node("Transpose", "g", "f", perm=[1, 0]), *COLUMNS], COLUMN, [1, 6, 1], 13,
        (6, 1), [4],
    ),
    "a batch of one column": ([node("Identity", "x", "f"), *COLUMNS], COLUMN, [1, 6, 1], 9, (6, 1), [4]),
    "a column without a batch": ([node("Identity", "x", "f"), *COLUMNS], COLUMN, [6, 1], 13, (6, 1), [4]),
    "a vector without a batch": (
        [node("Identity", "x", "f"), *HIDDEN, *TOP], {**dense("1", 4, 5), **dense("2", 3, 4)}, [5], 11, (5,), [4],
    ),
    "normalised by a quotient": (
        [node("Sub", "x mean", "c"), node("Div", "c dev", "d"), node("Reshape", "d shape", "f"), *HIDDEN, *TOP],
        {"mean": np.full((1, 1, 1), 0.2), "dev": np.full((1,), 0.3), "shape": ints(1, -1), **dense("1", 4, 6),
         **dense("2", 3, 4)}, [1, 1, 2, 3], 8, (1, 2, 3), [4],
    ),
    "one that is made for a batch of one, whose axis is open": (
        [node("Reshape", "x shape", "f"), *HIDDEN, *TOP],
        {"shape": ints(1, 6), **dense("1", 4, 6), **dense("2", 3, 4)}, ["n", 2, 3], 13, (2, 3), [4],
    ),
    "a shape that is worked out": (
        [node("Shape", "x", "s"), node("Gather", "s zero", "n", axis=0), node("Unsqueeze", "n", "u", axes=[0]),
         node("Concat", "u rest", "shape", axis=0), node("Reshape", "x shape", "f"), *HIDDEN, *TOP],
        {"zero": np.array(0), "rest": ints(-1), **dense("1", 4, 6), **dense("2", 3, 4)}, ["n", 2, 3], 11, (2, 3), [4],
    ),
    "keras: channels last in between": (
        [node("Transpose", "x", "t", perm=[0, 3, 1, 2]), node("Conv", "t k", "c"),
         node("Transpose", "c", "l", perm=[0, 2, 3, 1]), node("Add", "l kb", "b"), node("Relu", "b", "r"),
         node("Transpose", "r", "u", perm=[0, 3, 1, 2]), node("MaxPool", "u", "p", kernel_shape=[2, 2], strides=[2, 2]),
         node("Transpose", "p", "v", perm=[0, 2, 3, 1]), node("Reshape", "v shape", "f"), *HIDDEN, *TOP],
        {**KERNEL, "shape": ints(-1, 12), **dense("1", 4, 12), **dense("2", 3, 4)}, ["n", 6, 6, 2], 9, (6, 6, 2),
        [3, 4],
    ),
    "batch norm of opset 9": (
        [node("Conv", "x k kb", "c"), node("BatchNormalization", "c s o mean var", "n"), node("Relu", "n", "r"),
         node("GlobalAveragePool", "r", "g"), node("Flatten", "g", "f"), *HIDDEN, *TOP],
        {**KERNEL, **NORM, **dense("1", 4, 3), **dense("2", 3, 4)}, [1, 2, 6, 6], 9, (2, 6, 6), [3, 4],
    ),
    "parts by an attribute": (
        [node("Split", "x", "p q", axis=1, split=[2, 4]), node("Concat", "q p", "f", axis=1), *HIDDEN, *TOP],
        {**dense("1", 4, 6), **dense("2", 3, 4)}, ["n", 6], 11, (6,), [4],
    ),
    "parts by an input, and a sum": (
        [node("Split", "x sizes", "p q", axis=1), node("ReduceSum", "q axes", "s", keepdims=1),
         node("Concat", "p s c", "f", axis=1), *HIDDEN, *TOP],
        {"sizes": ints(2, 4), "axes": ints(1), "c": np.full((1, 1), 0.7), **dense("1", 4, 4), **dense("2", 3, 4)},
        [1, 6], 13, (6,), [4],
    ),
    "slices of opset 9": (
        [node("Slice", "x", "f", axes=[1], starts=[1], ends=[-1]), *HIDDEN, *TOP],
        {**dense("1", 4, 4), **dense("2", 3, 4)}, ["n", 6], 9, (6,), [4],
    ),
    "an upsampling of opset 9": (
        [node("Conv", "x k kb", "c"), node("Relu", "c", "r"), node("Upsample", "r scales", "u", mode="nearest"),
         node("ReduceMean", "u", "f", axes=[2, 3], keepdims=0), *HIDDEN, *TOP],
        {**KERNEL, "scales": np.array([1, 1, 2, 2], np.float32), **dense("1", 4, 3), **dense("2", 3, 4)},
        ["n", 2, 5, 5], 9, (2, 5, 5), [3, 4],
    ),
    "a clip, and a leaky relu": (
        [node("Gemm", "x w1 b1", "a"), node("Clip", "a", "c", min=0.0, max=1.5), node("MatMul", "c w2", "m"),
         node("LeakyRelu", "m", "l", alpha=0.2), node("Gemm", "l w3 b3", "y")],
        {**dense("1", 4, 6), **dense("2", 3, 4), **dense("3", 2, 3)}, ["n", 6], 9, (6,), [4],
    ),
}  # fmt: skip
FORMS["operators in any order"] = (FORMS["batch norm of opset 9"][0][::-1], *FORMS["batch norm of opset 9"][1:])


def write(path: Path, nodes: Sequence[onnx.NodeProto], weights: dict[str, Any], sizes: list[Any], opset: int) -> Path:
    # A column of a batch stays one; a vector without a batch, too.
    axes = len(sizes) if sizes in ([1, 6, 1], [5]) and nodes[0].op_type == "Identity" else 2
    used = {name for item in nodes for name in item.input}
    tensors = [
        numpy_helper.from_array(values if values.dtype == np.int64 else values.astype(np.float32), name)
        for name, values in weights.items() if name in used
    ]  # fmt: skip
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [f"d{n}" for n in range(axes)])], tensors,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("form", FORMS)
def test_a_public_form_gives_the_logits_of_onnxruntime(form: str, tmp_path: Path) -> None:
    nodes, weights, sizes, opset, shape, units = FORMS[form]
    network = om.read_network(write(tmp_path / "net.onnx", nodes, weights, sizes, opset))
    assert network.input_shape == shape
    assert [group.size for group in network.groups] == units
    # The runtime takes sorted operators alone.
    ordered = nodes if form != "operators in any order" else nodes[::-1]
    whole = [1 if size == "n" else size for size in sizes]
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(write(tmp_path / "sorted.onnx", ordered, weights, sizes, opset),
                                           providers=["CPUExecutionProvider"])  # fmt: skip
    wanted = np.concatenate([session.run(None, {"x": part.reshape(whole)})[0].reshape(1, -1) for part in x])
    np.testing.assert_allclose(network.replay(x), wanted, rtol=1e-5, atol=1e-5)


def test_what_is_subtracted_from_the_image_folds_into_the_first_weights(tmp_path: Path) -> None:
    nodes, weights, sizes, opset, _, _ = FORMS["a subtracted mean, 1x1x1x5"]
    network = om.read_network(write(tmp_path / "net.onnx", nodes, weights, sizes, opset))
    assert [(layer.name, layer.activation) for layer in network.layers] == [("w1", "relu"), ("w2", "none")]
    images = np.random.default_rng(0).normal(size=(3, 1, 1, 5))
    labels = network.replay(images).argmax(axis=1)
    method = om.Joint(om.Formulation(scores="binary", sparsity="mean"))
    scores = om.score(network, images, labels, method=method)
    assert scores.status == "optimal"


def test_softmax_and_sigmoid_at_the_end_are_left_out_and_said(tmp_path: Path) -> None:
    weights = {**dense("1", 4, 6), **dense("2", 3, 4)}
    plain = [node("Identity", "x", "f"), *HIDDEN, node("MatMul", "r1 w2", "m2"), node("Add", "m2 b2", "logits")]
    for ending in ("Softmax", "Sigmoid"):
        path = write(tmp_path / f"{ending}.onnx", [*plain, node(ending, "logits", "y")], weights, ["n", 6], 13)
        network = om.read_network(path)
        assert network.notes[0] == f"{ending} at the end left out: the outputs are its inputs"
        x = np.random.default_rng(0).normal(size=(3, 6))
        hidden = np.maximum(x @ weights["w1"] + weights["b1"], 0)
        np.testing.assert_allclose(network.replay(x), hidden @ weights["w2"] + weights["b2"], rtol=1e-4, atol=1e-4)
