"""Modules that cannot be read: one line that names the cause, and nothing that torch prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from one_line import one_line
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

import oamip_model as om


class Calls(nn.Module):
    """A module whose forward pass is one function of its dense layers and the image."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function, self.a, self.b = function, nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _dense() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))


def _hooked(before: bool) -> nn.Module:
    module = _dense()
    if before:
        module[0].register_forward_pre_hook(lambda part, given: (given[0].exp(),))
    else:
        module[0].register_forward_hook(lambda part, given, output: output.exp())
    return module


@pytest.mark.filterwarnings("ignore")
def _quantised() -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(_dense().eval(), {nn.Linear})


def _branching(module: Calls, x: Tensor) -> Tensor:
    return module.a(x) if x.sum() > 0 else module.b(x)


CAUSES: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "hook": (lambda: _hooked(False), r"layer 0 \(Linear\) has a forward hook that changes"),
    "hook before": (lambda: _hooked(True), r"layer 0 \(Linear\) has a forward hook that changes"),
    "quantised": (_quantised, r"layer 0 \(Linear\) is quantised"),
    "branch": (lambda: Calls(_branching), "depends on the values of its images, by a branch"),
    "number": (lambda: Calls(lambda s, x: s.a(x) * float(x.sum())), "depends on the values of its images"),
    "loop": (
        lambda: Calls(lambda s, x: s.a(x[:, : int(x.sum())])), "depends on the values of its images"
    ),
    "complex weights": (
        lambda: nn.Sequential(nn.Linear(4, 3, dtype=torch.complex64)), "layer 0: its weight holds complex numbers"
    ),
    "complex numbers": (lambda: Calls(lambda s, x: s.a(torch.fft.fft(x).real)), "computes complex numbers"),
    "random numbers": (lambda: Calls(lambda s, x: s.a(x + torch.randn(4))), r"draws random numbers \(randn\)"),
    "random mask of weights": (
        lambda: Calls(lambda s, x: functional.linear(x, s.a.weight * torch.bernoulli(s.b.weight.abs().clamp(max=1.0)))),
        r"draws random numbers \(bernoulli\)",
    ),
    "dropout": (lambda: Calls(lambda s, x: s.a(functional.dropout(x))), "is active; it needs eval mode"),
    "batch statistics": (
        lambda: nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False)),
        r"layer 1 \(BatchNorm1d\) normalises by the statistics of the batch",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", CAUSES)
def test_the_cause_is_named_in_one_line(case: str, capfd: pytest.CaptureFixture[str]) -> None:
    make, message = CAUSES[case]
    module = make().eval()
    with pytest.raises(om.InputError, match=message) as error:
        om.read_network(module, (4,))
    one_line(error)
    assert capfd.readouterr() == ("", "")


def test_a_hook_that_changes_nothing_is_no_matter() -> None:
    module = _dense().eval()
    module[0].register_forward_hook(lambda part, given, output: None)
    assert len(om.read_network(module).groups) == 1


@pytest.mark.parametrize("part", [nn.Dropout(), nn.BatchNorm1d(3)])
def test_a_layer_in_training_mode_is_named(part: nn.Module) -> None:
    module = nn.Sequential(nn.Linear(4, 3), part, nn.ReLU(), nn.Linear(3, 2)).eval()
    part.train()
    with pytest.raises(om.InputError, match=rf"layer 1 \({type(part).__name__}\) is in training mode") as error:
        om.read_network(module)
    one_line(error)


def test_a_layer_that_is_used_twice_is_named_where_it_leaves_no_scores() -> None:
    layer = nn.Linear(4, 4)
    network = om.read_network(nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(4, 2)).eval())
    with pytest.raises(om.InputError, match=r"no layer carries a score.*; here layer 0 is used twice$") as error:
        network.check_scored()
    one_line(error)


def test_a_constant_at_a_padded_convolution_is_named_where_it_leaves_no_scores() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.ReLU(), nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(48, 2)
    ).eval()
    nn.init.ones_(module[2].bias)
    with pytest.raises(om.InputError, match=r"; here layer 2 adds a constant$") as error:
        om.read_network(module, (1, 4, 4)).check_scored()
    one_line(error)


@pytest.mark.parametrize(
    ("operator", "inputs", "message"),
    [
        ("DynamicQuantizeLinear", ["x"], r"\(DynamicQuantizeLinear\) is quantised"),
        ("QuantizeLinear", ["x", "scale", "zero"], r"\(QuantizeLinear\) is quantised"),
    ],
)
def test_a_quantised_file_is_named(operator: str, inputs: list[str], message: str, tmp_path: Path) -> None:
    constants = {"scale": np.float32(0.1), "zero": np.uint8(3)}
    nodes = [helper.make_node(operator, inputs, ["y", "s", "z"] if len(inputs) == 1 else ["y"])]
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, ["n", 4])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items() if k in inputs],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "q.onnx")
    with pytest.raises(om.InputError, match=message) as error:
        om.read_network(tmp_path / "q.onnx")
    one_line(error)
