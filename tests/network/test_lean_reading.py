"""Large weights stay in their file until they are used, wherever it keeps them, and are read as small ones are."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from one_line import one_line
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import oamip_model as om
from oamip_model.network.readers.onnx import skeleton

RANDOM = np.random.default_rng(0)
WIDTH = 140
WEIGHTS = {f"w{k}": (RANDOM.normal(size=(WIDTH, WIDTH)) / 8).astype(np.float32) for k in range(3)}


def model_of(nodes: list[onnx.NodeProto], weights: list[np.ndarray]) -> onnx.ModelProto:
    width = len(weights[0])
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", width])],
        [numpy_helper.from_array(array, f"w{k}") for k, array in enumerate(weights)],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def plain(nodes: list[onnx.NodeProto] | None = None) -> onnx.ModelProto:
    """Three layers: weights by output, by input, and by output again."""
    nodes = nodes or [
        helper.make_node("Gemm", ["x", "w0"], ["a"], transB=1), helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("MatMul", ["b", "w1"], ["c"]), helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "w2"], ["y"], transB=1),
    ]  # fmt: skip
    return model_of(nodes, list(WEIGHTS.values()))


def in_float_data() -> onnx.ModelProto:
    model = plain()
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).ravel().tolist()
        tensor.ClearField("raw_data")
        tensor.float_data.extend(values)
    return model


def in_double_data() -> onnx.ModelProto:
    model = in_float_data()
    for tensor in model.graph.initializer:
        values = list(tensor.float_data)
        tensor.ClearField("float_data")
        tensor.double_data.extend(values)
        tensor.data_type = TensorProto.DOUBLE
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.DOUBLE
    return model


def in_constants() -> onnx.ModelProto:
    model = plain()
    made = [helper.make_node("Constant", [], [t.name], value=t) for t in model.graph.initializer]
    nodes = made + list(model.graph.node)
    del model.graph.node[:], model.graph.initializer[:]
    model.graph.node.extend(nodes)
    return model


def in_half_precision() -> onnx.ModelProto:
    model = plain()
    for tensor in model.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(WEIGHTS[tensor.name].astype(np.float16), tensor.name))
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    return model


def in_a_function() -> onnx.ModelProto:
    value = numpy_helper.from_array(WEIGHTS["w0"], "value")
    body = [helper.make_node("Constant", [], ["w"], value=value), helper.make_node("MatMul", ["a", "w"], ["b"])]
    model = plain([helper.make_node("layer", ["x"], ["h"], domain="own"), helper.make_node("Relu", ["h"], ["r"]),
                   helper.make_node("MatMul", ["r", "w1"], ["y"])])  # fmt: skip
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    model.functions.append(helper.make_function("own", "layer", ["a"], ["b"], body, imports))
    model.opset_import.append(imports[1])
    return model


FORMS = {
    "raw": plain, "float_data": in_float_data, "double_data": in_double_data, "constants": in_constants,
    "half precision": in_half_precision, "a function": in_a_function,
}  # fmt: skip


@pytest.mark.parametrize("form", [*FORMS, "another file"])
def test_large_weights_are_those_that_are_read_whole(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a b\u00e4.onnx"
    if form == "another file":
        onnx.save_model(plain(), path, save_as_external_data=True, location="weights.bin")
    else:
        path.write_bytes(FORMS[form]().SerializeToString())
    with path.open("rb") as file:
        bare = skeleton.skeleton(file, path.stat().st_size)
    assert form == "a function" or len(bare) < 2000
    lean = om.read_network(path)
    monkeypatch.setattr(skeleton, "LARGE", 2**40)
    whole = om.read_network(path)
    assert lean.fingerprint == whole.fingerprint
    assert lean.size == whole.size


def test_what_is_not_to_be_looked_into_is_as_it_was() -> None:
    model = plain()
    model.metadata_props.add(key="long", value="x" * 10**5)
    extra = model.graph.initializer.add(name="text", data_type=TensorProto.STRING, dims=[1])
    extra.string_data.append(b"y" * 10**5)
    data = model.SerializeToString()
    found = onnx.ModelProto.FromString(skeleton.skeleton(io.BytesIO(data), len(data)))
    for tensor in found.graph.initializer[:3]:
        told = {entry.key: entry.value for entry in tensor.external_data}
        start = int(told["offset"])
        held = data[start : start + int(told["length"])]
        tensor.CopyFrom(TensorProto(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims, raw_data=held))
    assert found == model


def outcome(path: Path) -> str:
    try:
        return str(om.read_network(path).classes)
    except om.InputError as error:
        return str(error)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_large_file_is_refused_in_a_line(seed: int, tmp_path: Path) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(plain().SerializeToString())
    if seed % 2:
        data = data[: int(random.integers(len(data)))]
    else:
        # Where fields begin, of the model or of a tensor within it.
        for place in random.integers(0, 200, size=3):
            data[place] = int(random.integers(256))
    (tmp_path / "net.onnx").write_bytes(data)
    assert "\n" not in outcome(tmp_path / "net.onnx")


@pytest.mark.parametrize("wrong", ["dims", "type"])
def test_large_numbers_that_do_not_fit_their_shape_are_refused(wrong: str, tmp_path: Path) -> None:
    model = plain()
    tensor = model.graph.initializer[0]
    if wrong == "dims":
        tensor.dims[0] = WIDTH + 1
    else:
        tensor.data_type = TensorProto.DOUBLE
    (tmp_path / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(om.InputError, match=r"'w0'.*(does not fit its numbers|holds)") as told:
        om.read_network(tmp_path / "net.onnx")
    one_line(told)


class Convolutional(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(2, 150, 3), nn.ReLU(), nn.Conv2d(150, 150, 3), nn.ReLU(),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(150, 3))  # fmt: skip


class Tied(nn.Module):
    """One layer of large weights that is used twice, and one of a transposed part of a large buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.last = nn.Linear(520, 520), nn.Linear(520, 3)
        self.register_buffer("mixing", torch.randn(540, 520)[20:].T / 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.layer(torch.relu(self.layer(x))))
        return self.last(torch.relu(nn.functional.linear(x, self.mixing)))


def test_large_weights_of_a_pt2_are_those_of_its_module(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Tied().eval()
    torch.export.save(torch.export.export(module, (torch.zeros(2, 520),)), tmp_path / "net.pt2")
    assert (tmp_path / "net.pt2").stat().st_size > 2 * 2**20
    from_file, network = om.read_network(tmp_path / "net.pt2"), om.read_network(module, (520,))
    assert from_file.fingerprint == network.fingerprint
    assert from_file.size == network.size


@pytest.mark.parametrize(("form", "times"), [("dense", 1.3), ("by input", 1.3), ("convolutional", 3)])
def test_reading_holds_little_more_than_the_file(form: str, times: float, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    if form == "convolutional":
        torch.onnx.export(Convolutional().eval(), (torch.zeros(2, 2, 8, 8),), path, dynamo=False)
    else:
        nodes, at = [], "x"
        operator, attributes = {"dense": ("Gemm", {"transB": 1}), "by input": ("MatMul", {})}[form]
        for k in range(5):
            nodes.append(helper.make_node(operator, [at, f"w{k}"], [f"a{k}"], **attributes))
            nodes.append(helper.make_node("Relu", [f"a{k}"], ["y" if k == 4 else f"r{k}"]))
            at = f"r{k}"
        wide = [(RANDOM.normal(size=(1030, 1030)) / 20).astype(np.float32) for _ in range(5)]
        path.write_bytes(model_of(nodes, wide).SerializeToString())
    om.read_network(path)
    tracemalloc.start()
    om.read_network(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # Beside the weights there are messages and small arrays, a megabyte of them or two.
    assert most < times * path.stat().st_size + 2e6
