"""An .onnx file that reads outside its folder, or that declares what it does not hold, is refused in one line."""

from __future__ import annotations

import itertools
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from one_line import one_line
from onnx import TensorProto, helper, numpy_helper

import oamip_model as om

LARGE = 10**6


def model(*nodes: onnx.NodeProto, shape: tuple[int, ...] = (4,), **weights: np.ndarray) -> onnx.ModelProto:
    graph = helper.make_graph(
        list(nodes) or [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "c"])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def plain() -> onnx.ModelProto:
    return model(w=np.ones((4, 3), np.float32))


def outside(**told: str) -> onnx.ModelProto:
    """A network whose weights are in another file."""
    found = plain()
    tensor = found.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in told.items():
        tensor.external_data.add(key=key, value=value)
    return found


def declared(*dims: int, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    found = plain()
    found.graph.initializer[0].ClearField("dims")
    found.graph.initializer[0].dims.extend(dims)
    found.graph.initializer[0].data_type = kind
    return found


def in_attribute() -> onnx.ModelProto:
    tensor = TensorProto(name="value", data_type=TensorProto.FLOAT, dims=[LARGE, LARGE])
    return model(helper.make_node("Constant", [], ["w"], value=tensor), helper.make_node("MatMul", ["x", "w"], ["y"]))


def doubled() -> onnx.ModelProto:
    """A constant that is joined with itself until it is large."""
    names = [f"c{k}" for k in range(41)]
    nodes = [helper.make_node("Concat", [a, a], [b], axis=1) for a, b in itertools.pairwise(names)]
    return model(*nodes, helper.make_node("MatMul", ["x", names[-1]], ["y"]), c0=np.ones((4, 1), np.float32))


def computed(operator: str, *inputs: np.ndarray, **attributes: Any) -> onnx.ModelProto:
    names = [f"i{k}" for k in range(len(inputs))]
    nodes = [helper.make_node(operator, names, ["w"], **attributes), helper.make_node("MatMul", ["x", "w"], ["y"])]
    return model(*nodes, **dict(zip(names, inputs, strict=True)))


def calling() -> onnx.ModelProto:
    """Functions each of which calls the one before twice."""
    found = model(helper.make_node("f40", ["x"], ["y"], domain="own"))
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    for k in range(41):
        inner, domain = ("Relu", "") if k == 0 else (f"f{k - 1}", "own")
        nodes = [helper.make_node(inner, [a], [b], domain=domain) for a, b in (("a", "b"), ("b", "c"))]
        found.functions.append(helper.make_function("own", f"f{k}", ["a"], ["c"], nodes, imports))
    found.opset_import.append(imports[1])
    return found


def calling_itself() -> onnx.ModelProto:
    found = calling()
    found.functions[0].node[0].op_type = "f40"
    found.functions[0].node[0].domain = "own"
    return found


def huge_batch() -> onnx.ModelProto:
    found = plain()
    found.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 10**12
    return found


SHAPE = np.array([LARGE, LARGE])
ONE = np.ones((1, 1), np.float32)
CASES: list[tuple[str, Callable[[], onnx.ModelProto], str]] = [
    ("absolute", lambda: outside(location="/etc/passwd"), "/etc/passwd"),
    ("parent", lambda: outside(location="../secret.bin"), "../secret.bin"),
    ("parent inside", lambda: outside(location="a/../../secret.bin"), "secret.bin"),
    ("drive", lambda: outside(location="C:secret.bin"), "C:secret.bin"),
    ("backslash", lambda: outside(location="..\\secret.bin"), "secret.bin"),
    ("nul", lambda: outside(location="in\0side.bin"), "side.bin"),
    ("nowhere", lambda: outside(), "is in the file ''"),
    ("link", lambda: outside(location="link.bin"), "link.bin, a link that leaves"),
    ("link of a folder", lambda: outside(location="out/secret.bin"), "a link that leaves"),
    ("folder", lambda: outside(location="inside"), "is a folder"),
    ("pipe", lambda: outside(location="pipe.bin"), "is a pipe"),
    ("missing", lambda: outside(location="missing.bin"), "there is no such file"),
    ("offset", lambda: outside(location="here.bin", offset="40", length="48"), "which has 48"),
    ("negative offset", lambda: outside(location="here.bin", offset="-8"), "-8"),
    ("no number", lambda: outside(location="here.bin", offset="here"), "no numbered place"),
    ("digits", lambda: outside(location="here.bin", offset="9" * 5000), "no numbered place"),
    ("huge", lambda: declared(LARGE, LARGE), "(1000000, 1000000)"),
    ("overflowing", lambda: declared(2**40, 2**40), "bytes for it"),
    ("negative", lambda: declared(-1, 4), "(-1, 4)"),
    ("too many", lambda: declared(2, 2), "does not fit its numbers"),
    ("too few", lambda: declared(4, 400), "holds"),
    ("huge texts", lambda: declared(LARGE, LARGE, kind=TensorProto.STRING), "holds"),
    ("huge in an attribute", in_attribute, "holds"),
    ("constant of shape", lambda: computed("ConstantOfShape", SHAPE), "works out constants of far more"),
    ("expand", lambda: computed("Expand", ONE, SHAPE), "works out constants of far more"),
    ("tile", lambda: computed("Tile", ONE, SHAPE), "works out constants of far more"),
    ("outer product", lambda: computed("MatMul", np.ones((LARGE, 1), np.float32), np.ones((1, LARGE), np.float32)),
     "works out constants of far more"),
    ("broadcast", lambda: computed("Add", np.ones((LARGE, 1), np.float32), np.ones((1, LARGE), np.float32)),
     "works out constants of far more"),
    ("range", lambda: computed("Range", np.array(0), np.array(10**12), np.array(1)), "works out constants"),
    ("doubled", doubled, "works out constants of far more"),
    ("padded", lambda: model(helper.make_node("Conv", ["x", "w"], ["y"], pads=[LARGE] * 4),
                             shape=(1, 4, 4), w=np.ones((1, 1, 1, 1), np.float32)), "accepted are at most"),
    ("averaged", lambda: model(helper.make_node("AveragePool", ["x"], ["y"], kernel_shape=[1, 1], pads=[10**9] * 4),
                               shape=(1, 4, 4)), "too many to read"),
    ("huge image", lambda: model(shape=(LARGE, LARGE), w=np.ones((4, 3), np.float32)), "pixels"),
    ("huge batch", huge_batch, "batches of 1000000000000 images"),
    ("functions", calling, "operators when its functions are written out"),
    ("functions without end", calling_itself, "without end"),
]  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of networks, beside which there is a secret."""
    (tmp_path / "secret.bin").write_bytes(bytes(48))
    found = tmp_path / "net"
    found.mkdir()
    (found / "inside").mkdir()
    (found / "here.bin").write_bytes(bytes(48))
    (found / "link.bin").symlink_to(tmp_path / "secret.bin")
    (found / "out").symlink_to(tmp_path)
    os.mkfifo(found / "pipe.bin")
    return found


@pytest.mark.parametrize(("make", "culprit"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_leaves_the_folder_or_is_not_there_is_refused(
    make: Callable[[], onnx.ModelProto], culprit: str, folder: Path
) -> None:
    path = folder / "net.onnx"
    path.write_bytes(make().SerializeToString())
    before = sorted(folder.iterdir())
    tracemalloc.start()
    with pytest.raises(om.InputError) as told:
        om.read_network(path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert culprit in one_line(told)
    assert len(str(told.value)) < 500
    assert most < 2**27
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("location", ["here.bin", "./here.bin", "inside/there.bin"])
def test_weights_within_the_folder_are_read(location: str, folder: Path) -> None:
    (folder / "inside" / "there.bin").write_bytes(bytes(48))
    (folder / "net.onnx").write_bytes(outside(location=location, length="48").SerializeToString())
    assert om.read_network(folder / "net.onnx").classes == 3


def test_a_link_to_a_network_is_read(folder: Path, tmp_path: Path) -> None:
    (folder / "net.onnx").write_bytes(plain().SerializeToString())
    (tmp_path / "link.onnx").symlink_to(folder / "net.onnx")
    assert om.read_network(tmp_path / "link.onnx").classes == 3


@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_a_truncated_file_is_refused(part: float, folder: Path) -> None:
    data = plain().SerializeToString()
    (folder / "net.onnx").write_bytes(data[: int(part * len(data))])
    with pytest.raises(om.InputError, match=r"net\.onnx cannot be read as an ONNX model") as told:
        om.read_network(folder / "net.onnx")
    one_line(told)


def test_a_pipe_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "net.onnx")
    with pytest.raises(om.InputError, match="pipe"):
        om.read_network(folder / "net.onnx")
