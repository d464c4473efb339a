"""Several outputs of the same logits, and what onnx's checker refuses although it is clear."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from one_line import one_line
from onnx import TensorProto, helper, numpy_helper

import oamip_model as om

RANDOM = np.random.default_rng(0)
WEIGHTS = {"W": RANDOM.normal(size=(4, 6)), "B": RANDOM.normal(size=6), "V": RANDOM.normal(size=(6, 3))}
LAYERS = [
    helper.make_node("Gemm", ["x", "W", "B"], ["a"]),
    helper.make_node("Relu", ["a"], ["h"]),
    helper.make_node("MatMul", ["h", "V"], ["z"]),
]


def expected(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(x @ WEIGHTS["W"] + WEIGHTS["B"], 0) @ WEIGHTS["V"])


def saved(
    path: Path, behind: list[onnx.NodeProto], outputs: list[onnx.ValueInfoProto], **given: np.ndarray
) -> onnx.ModelProto:
    weights = {name: values.astype(np.float32) for name, values in WEIGHTS.items()} | given
    graph = helper.make_graph(
        [*LAYERS, *behind], "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])], outputs,
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )  # fmt: skip
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return model


def right(network: om.Network) -> bool:
    x = np.random.default_rng(1).normal(size=(5, 4))
    return bool(np.abs(network.replay(x) - expected(x)).max() < 1e-5)


def test_a_label_and_a_map_of_probabilities_are_read_as_their_logits(tmp_path: Path) -> None:
    behind = [
        helper.make_node("Softmax", ["z"], ["p"], axis=1),
        helper.make_node("ArgMax", ["p"], ["k"], axis=1),
        helper.make_node("ArrayFeatureExtractor", ["classes", "k"], ["c"], domain="ai.onnx.ml"),
        helper.make_node("Cast", ["c"], ["i"], to=TensorProto.INT32),
        helper.make_node("Reshape", ["i", "flat"], ["r"]),
        helper.make_node("Cast", ["r"], ["label"], to=TensorProto.INT64),
        helper.make_node("ZipMap", ["p"], ["map"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2]),
    ]
    kind = helper.make_sequence_type_proto(
        helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    )
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]), helper.make_value_info("map", kind)]
    whole = {"classes": np.arange(3), "flat": np.array([-1])}
    saved(tmp_path / "net.onnx", behind, outputs, **whole)
    network = om.read_network(tmp_path / "net.onnx")
    assert right(network)
    assert network.notes[0] == "its outputs (label, map) all come from the same logits, which are read"
    assert "Softmax at the end left out" in network.notes[1]
    for name in ("label", "map"):
        assert right(om.read_network(tmp_path / "net.onnx", output=name))


def test_outputs_of_other_logits_are_not_chosen_among(tmp_path: Path) -> None:
    behind = [helper.make_node("Softmax", ["h"], ["p"], axis=1), helper.make_node("Softmax", ["z"], ["q"], axis=1)]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("p", "q")]
    saved(tmp_path / "net.onnx", behind, outputs)
    with pytest.raises(om.InputError, match="gives 2 outputs") as told:
        om.read_network(tmp_path / "net.onnx")
    one_line(told)


def test_weights_that_are_no_inputs_are_read_in_version_3_of_the_format(tmp_path: Path) -> None:
    model = saved(tmp_path / "net.onnx", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 3])])
    model.ir_version = 3
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    assert right(om.read_network(tmp_path / "net.onnx"))


def test_an_output_of_no_stated_type_is_read(tmp_path: Path) -> None:
    saved(tmp_path / "net.onnx", [], [helper.make_empty_tensor_value_info("z")])
    assert right(om.read_network(tmp_path / "net.onnx"))


def test_an_input_of_no_stated_shape_takes_the_one_that_is_given(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    model = saved(path, [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 3])])
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT, None))
    path.write_bytes(model.SerializeToString())
    assert right(om.read_network(path, (4,)))
    with pytest.raises(om.InputError, match="states no shape of its input; pass input_shape") as told:
        om.read_network(path)
    one_line(told)


def test_sparse_weights_are_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    behind = [helper.make_node("MatMul", ["z", "S"], ["y"])]
    model = saved(path, behind, [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])])
    values = numpy_helper.from_array(np.ones(1, np.float32), "S")
    place = numpy_helper.from_array(np.zeros(1, np.int64), "")
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, indices=place, dims=[3, 3]))
    path.write_bytes(model.SerializeToString())
    with pytest.raises(om.InputError, match="holds sparse weights") as told:
        om.read_network(path)
    one_line(told)
