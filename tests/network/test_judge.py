"""Who says whether an import is right, and what happens where nobody can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from one_line import one_line
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import oamip_model as om
from oamip_model.network.readers.judge import ROUNDING, Judge, Source, check_replay
from oamip_model.network.readers.onnx import runs as onnx_runs
from oamip_model.network.readers.torch.source import read_module


def model(
    path: Path, nodes: list[onnx.NodeProto], opset: int, shape: tuple[int | str, ...] = ("n", 4), **weights: np.ndarray
) -> Path:
    stored = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", None])],
        stored,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


W = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
B = np.arange(3, dtype=np.float32)
MATMUL = helper.make_node("MatMul", ["x", "w"], ["h"])


@pytest.fixture(params=["onnxruntime", "reference"])
def judged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each judge of ONNX files in turn."""
    if request.param == "reference":
        monkeypatch.setattr(onnx_runs, "find_spec", lambda name: None)
    else:
        pytest.importorskip("onnxruntime")
    return str(request.param)


def test_operators_before_opset_7_are_read_as_they_were_meant(judged: str, tmp_path: Path) -> None:
    dropout = helper.make_node("Dropout", ["h"], ["d"], is_test=1)
    add = helper.make_node("Add", ["d", "b"], ["y"], broadcast=1, axis=1)
    network = om.read_network(model(tmp_path / "old.onnx", [MATMUL, dropout, add], 6, w=W, b=B))
    x = np.random.default_rng(1).normal(size=(4, 4))
    np.testing.assert_allclose(network.replay(x), x @ W.astype(float) + B, atol=1e-12)


def test_a_constant_added_along_an_axis_before_opset_7(judged: str, tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Add", ["x", "c"], ["a"], broadcast=1, axis=1),
        helper.make_node("Flatten", ["a"], ["h"]),
        helper.make_node("MatMul", ["h", "w"], ["y"]),
    ]
    path = model(tmp_path / "old.onnx", nodes, 6, ("n", 2, 2, 1), c=np.array([1, -1], np.float32), w=W)
    x = np.random.default_rng(1).normal(size=(4, 2, 2, 1))
    shifted = (x + np.array([1, -1]).reshape(1, 2, 1, 1)).reshape(4, 4)
    np.testing.assert_allclose(om.read_network(path).replay(x), shifted @ W.astype(float), atol=1e-12)


@pytest.mark.parametrize(
    ("node", "opset", "message"),
    [
        (helper.make_node("Dropout", ["h"], ["y"]), 6, "is active"),
        (helper.make_node("BatchNormalization", ["h", "b", "b", "b", "one"], ["y"]), 6, "is in training mode"),
        (helper.make_node("BatchNormalization", ["h", "b", "b", "b", "one"], ["y"], spatial=0), 7, "spatial=0"),
    ],
)
def test_what_is_not_one_function_of_one_image_is_refused(
    node: onnx.NodeProto, opset: int, message: str, tmp_path: Path
) -> None:
    weights = {"w": W, "b": B, "one": B + 1, "two": np.ones((2, 3), np.float32)}
    used = {name: values for name, values in weights.items() if name in node.input or name == "w"}
    path = model(tmp_path / "net.onnx", [MATMUL, node], opset, (2, 4), **used)
    with pytest.raises(om.InputError, match=message) as error:
        om.read_network(path)
    one_line(error)


@pytest.mark.parametrize(
    "node", [helper.make_node("Add", ["h", "two"], ["y"]), helper.make_node("Gemm", ["x", "w", "two"], ["y"])]
)
def test_a_constant_for_each_of_the_first_axis_makes_the_whole_input_one_image(
    node: onnx.NodeProto, tmp_path: Path
) -> None:
    weights = {"w": W, "two": np.array([[1, 2, 3], [-4, 5, 6]], np.float32)}
    network = om.read_network(model(tmp_path / "net.onnx", [MATMUL, node], 13, (2, 4), **weights))
    assert network.input_shape == (2, 4)
    assert "its first axis, of 2, is mixed" in network.notes[0]
    x = np.random.default_rng(0).normal(size=(3, 2, 4))
    np.testing.assert_allclose(network.replay(x), (x @ W + weights["two"]).reshape(3, 6), rtol=1e-5)


class Shifts(nn.Module):
    """A module with a constant for each image of a batch of two."""

    def __init__(self) -> None:
        super().__init__()
        self.shift, self.fc = nn.Parameter(torch.ones(2, 12)), nn.Linear(12, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x + self.shift)


def test_a_parameter_with_a_batch_axis_is_refused() -> None:
    with pytest.raises(om.InputError, match=r"\(2, 12\) with \(n, 12\): its first axis is that of the batch") as error:
        om.read_network(Shifts().eval(), (12,))
    one_line(error)


def fails(images: np.ndarray) -> np.ndarray:
    raise RuntimeError("no kernel\nfor this")


def sources(*judges: Judge) -> tuple[Any, Source]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    found = read_module(module, (4,))
    return om.read_network(module), Source(found.graph, judges or found.judges, found.batch)


def test_a_judge_that_fails_leaves_it_to_the_next() -> None:
    network, source = sources()
    check_replay(network, Source(source.graph, [Judge("first", fails), *source.judges], None))


def test_an_import_that_no_judge_can_check_is_not_handed_on() -> None:
    network, source = sources(Judge("first", fails), Judge("second", fails, advice="; try another"))
    with pytest.raises(
        om.CheckError, match=r"could not be checked.*first fails \(RuntimeError: no kernel\); second"
    ) as e:
        check_replay(network, source)
    assert "try another" in one_line(e)
    assert "please report" not in str(e.value)


def test_rounding_in_single_precision_is_left_to_double_precision() -> None:
    network, source = sources()
    right = source.judges[0]
    rounded = Judge("rounded", lambda x: right.run(x) + 1e-4, rounding=ROUNDING)
    overflown = Judge("overflown", lambda x: right.run(x) * np.inf, rounding=ROUNDING)
    wrong = Judge("wrong", lambda x: right.run(x) + 1, rounding=ROUNDING)
    for judge in (rounded, overflown):
        check_replay(network, Source(source.graph, [judge, right], None))
    with pytest.raises(om.CheckError, match="as rounded runs it"):
        check_replay(network, Source(source.graph, [rounded, Judge("second", fails)], None))
    with pytest.raises(om.InputError, match="NaN or infinite"):
        check_replay(network, Source(source.graph, [overflown], None))
    with pytest.raises(om.CheckError, match="as wrong runs it"):
        check_replay(network, Source(source.graph, [wrong, right], None))
