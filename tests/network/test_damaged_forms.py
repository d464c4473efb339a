"""Public forms with one thing wrong in them are refused in one line, or read: none is an error of another kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from one_line import one_line
from onnx import helper, numpy_helper
from public_kinds import KINDS, Kind

import oamip_model as om

FORMS = {kind.name: kind for kind in KINDS}
RECENT = [
    kind for kind in KINDS if kind.name.startswith(("layer zoo", "skl2onnx", "opset", "cubic", "linear", "tf2onnx"))
]


def wrong_type(model: onnx.ModelProto, random: np.random.Generator) -> None:
    tensors = model.graph.initializer
    tensors[random.integers(len(tensors))].data_type = int(random.choice([0, 2, 7, 8, 9, 10, 11, 14, 16, 99]))


def wrong_size(model: onnx.ModelProto, random: np.random.Generator) -> None:
    tensors = [tensor for tensor in model.graph.initializer if tensor.dims]
    dims = tensors[random.integers(len(tensors))].dims
    dims[random.integers(len(dims))] = int(random.choice([0, -1, 1, 7, 2**40, 2**62]))


def wrong_number(model: onnx.ModelProto, random: np.random.Generator) -> None:
    tensor = model.graph.initializer[random.integers(len(model.graph.initializer))]
    array = numpy_helper.to_array(tensor).copy()
    if array.size:
        array.flat[random.integers(array.size)] = (
            random.choice([np.nan, np.inf, 1e38]) if array.dtype.kind == "f" else 99
        )
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def wrong_image(model: onnx.ModelProto, random: np.random.Generator) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[random.integers(len(dims))].dim_value = int(random.choice([0, 1, 3, 2**31, 2**40]))


def wrong_attribute(model: onnx.ModelProto, random: np.random.Generator) -> None:
    found = [entry for node in model.graph.node for entry in node.attribute]
    entry = found[random.integers(len(found))]
    if entry.type == onnx.AttributeProto.INT:
        entry.i = int(random.choice([-(2**62), -1, 0, 3, 10**9, 2**62]))
    elif entry.type == onnx.AttributeProto.FLOAT:
        entry.f = float(random.choice([np.nan, np.inf, -1e30]))
    elif entry.type == onnx.AttributeProto.STRING:
        entry.s = bytes(random.choice([b"", b"x", b"\xff\xfe"]))
    elif entry.ints:
        entry.ints[random.integers(len(entry.ints))] = int(random.choice([-(2**62), -1, 0, 10**9]))
    elif entry.floats:
        del entry.floats[-1]


def wrong_input(model: onnx.ModelProto, random: np.random.Generator) -> None:
    node = next(node for node in model.graph.node if node.input)
    node.input[random.integers(len(node.input))] = str(random.choice(["", "y", "nobody", "x"]))


WRONG: list[Callable[[onnx.ModelProto, np.random.Generator], None]] = [
    wrong_type, wrong_size, wrong_number, wrong_image, wrong_attribute, wrong_input,
]  # fmt: skip


def read_or_refused(data: bytes, path: Path, kind: Kind) -> None:
    path.write_bytes(data)
    said = ""
    try:
        om.read_network(path, output=kind.options.get("ask"))
    except (om.InputError, om.CheckError) as error:
        said = str(error)
    assert "\n" not in said
    assert "report" not in said


@pytest.mark.parametrize("kind", RECENT, ids=lambda kind: kind.name)
def test_a_form_with_one_thing_wrong_is_read_or_refused_in_a_line(kind: Kind, tmp_path: Path) -> None:
    random = np.random.default_rng(len(kind.name))
    for damage in WRONG:
        model = kind.model()
        try:
            damage(model, random)
        except (ValueError, StopIteration):  # a form without weights, attributes or inputs
            continue
        read_or_refused(model.SerializeToString(), tmp_path / "net.onnx", kind)
    data = kind.model().SerializeToString()
    read_or_refused(data[: int(random.integers(1, len(data)))], tmp_path / "net.onnx", kind)


def changed(name: str, change: Callable[[onnx.ModelProto], None], tmp_path: Path) -> str:
    model = FORMS[name].model()
    change(model)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(om.InputError) as told:
        om.read_network(tmp_path / "net.onnx", output=FORMS[name].options.get("ask"))
    return one_line(told)


def attribute(model: onnx.ModelProto, operator: str, name: str) -> onnx.AttributeProto:
    node = next(node for node in model.graph.node if node.op_type == operator)
    return next(entry for entry in node.attribute if entry.name == name)


def test_a_window_of_no_width_is_refused(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        attribute(model, "MaxPool", "kernel_shape").ints[0] = 0

    assert "MaxPool" in changed("layer zoo: max pooling that reaches beyond the border", change, tmp_path)


def test_an_infinite_scale_is_refused(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(entry for entry in model.graph.initializer if entry.name == "sc")
        tensor.CopyFrom(numpy_helper.from_array(np.array([1, 1, np.inf, 1], np.float32), "sc"))

    assert "Resize" in changed("cubic resize with no weight outside", change, tmp_path)


def test_far_more_targets_than_coefficients_are_refused(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        attribute(model, "LinearRegressor", "targets").i = 2**60
        del model.graph.node[0].attribute[-1]

    assert "coefficients" in changed("skl2onnx: linear regression", change, tmp_path)


def test_text_that_is_no_text_is_refused(tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        attribute(model, "Resize", "mode").s = b"\xff\xfe"

    assert "is of mode" in changed("cubic resize with no weight outside", change, tmp_path)


def test_an_average_beside_an_axis_of_very_many_places_needs_no_matrix_of_them(tmp_path: Path) -> None:
    nodes = [helper.make_node("ReduceMean", ["x"], ["y"], axes=[3], keepdims=0)]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", 1, ["n", 1, 50000, 2])],
        [helper.make_tensor_value_info("y", 1, None)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    network = om.read_network(tmp_path / "net.onnx")
    assert network.input_shape == (1, 50000, 2)
    x = np.random.default_rng(0).normal(size=(1, 1, 50000, 2))
    np.testing.assert_allclose(network.replay(x), x.mean(axis=3).reshape(1, -1), atol=1e-6)
