"""Borders of zeros, and constants behind a ReLU: folded where that is exact, layers of their own elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from one_line import one_line
from onnx import TensorProto, helper, numpy_helper
from thinned import examples
from torch import Tensor, nn
from torch.nn import functional

import oamip_model as om
from oamip_model.network.maps import AveragePool, Conv2d, Identity, ZeroPad
from oamip_model.torchnet.maps.average_pool import SeparableAverage

SHAPE = (1, 6, 6)
BORDERS = [(1, 0, 2, 1), (0, 1, 0, 1), (2, 2, 2, 2)]


def _trained(*layers: nn.Module, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    module = nn.Sequential(*layers)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (part.running_mean, part.weight, part.bias):
                nn.init.normal_(values)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    body = module.eval()(torch.zeros(1, *SHAPE))
    return nn.Sequential(*module, nn.Flatten(), nn.Linear(body.numel(), 3)).eval()


def _maps(network: om.Network) -> list[type]:
    return [type(term.map) for layer in network.layers for term in layer.terms]


READERS = {
    "convolution": lambda: [nn.Conv2d(2, 3, 2), nn.ReLU()],
    "padded convolution": lambda: [nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.ReLU()],
    "max pooling": lambda: [nn.MaxPool2d(3, 2)],
    "padded max pooling": lambda: [nn.MaxPool2d(2, 1, 1)],
    "average pooling": lambda: [nn.AvgPool2d(2)],
    "batch norm": lambda: [nn.BatchNorm2d(2), nn.Conv2d(2, 2, 2), nn.ReLU()],
    "relu": lambda: [nn.ReLU(), nn.Conv2d(2, 2, 2)],
    "another border": lambda: [nn.ZeroPad2d(1), nn.Conv2d(2, 2, 2)],
    "flattening": list,
}


@settings(deadline=None, derandomize=True, max_examples=examples(15, 40))
@given(st.sampled_from(sorted(READERS)), st.sampled_from(BORDERS), st.booleans(), st.integers(0, 99))
def test_a_border_of_zeros_is_read_exactly(reader: str, border: tuple[int, ...], relu: bool, seed: int) -> None:
    made = [nn.Conv2d(1, 2, 3), *([nn.ReLU()] if relu else []), nn.ZeroPad2d(border), *READERS[reader]()]
    module = _trained(*made, seed=seed)
    network = om.read_network(module, SHAPE)
    images = torch.randn(4, *SHAPE, dtype=torch.float64)
    with torch.no_grad():
        wanted = module.double()(images).numpy()
    np.testing.assert_allclose(network.replay(images.numpy()), wanted, rtol=1e-6, atol=1e-6)


def test_a_border_goes_into_convolutions_and_into_max_pooling_of_relus_alone() -> None:
    pad = nn.ZeroPad2d((1, 0, 1, 0))
    conv = om.read_network(_trained(pad, nn.Conv2d(1, 2, 3, padding=1), nn.ReLU()), SHAPE)
    assert conv.layers[0].terms[0].map.padding == (2, 2, 1, 1)
    pool = om.read_network(_trained(nn.Conv2d(1, 2, 3), nn.ReLU(), pad, nn.MaxPool2d(2)), SHAPE)
    assert _maps(pool)[1:2] == [Identity]
    assert pool.layers[1].pool is not None
    assert pool.layers[1].pool.padding[:2] == (1, 1)
    signed = om.read_network(_trained(nn.Conv2d(1, 2, 3), pad, nn.MaxPool2d(2)), SHAPE)
    assert _maps(signed)[:3] == [Conv2d, ZeroPad, Identity]
    # A window of zeros alone: its maximum is 0, and that of padding would be none.
    wide = om.read_network(_trained(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.ZeroPad2d(3), nn.MaxPool2d(2)), SHAPE)
    assert ZeroPad in _maps(wide)
    mean = om.read_network(_trained(nn.Conv2d(1, 2, 3), nn.ReLU(), pad, nn.AvgPool2d(2)), SHAPE)
    assert _maps(mean)[1:3] == [ZeroPad, AveragePool]
    assert [group.name for group in mean.groups] == ["0"]


def _onnx(path: Path, nodes: list[onnx.NodeProto], opset: int, **weights: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes, "net", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2, 5, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "k"])],
        [numpy_helper.from_array(v.astype(v.dtype if v.dtype == np.int64 else np.float32), k)
         for k, v in weights.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


@pytest.mark.parametrize("opset", [7, 10, 11, 13, 18, 21])
@pytest.mark.parametrize("reader", ["Conv", "MaxPool", "AveragePool"])
def test_pad_of_every_opset_gives_the_logits_of_onnxruntime(opset: int, reader: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pads = np.array([0, 0, 1, 0, 0, 0, 2, 1])
    given = {"attributes": {"pads": pads.tolist(), "mode": "constant"}} if opset < 11 else {"inputs": ["pads"]}
    pad = helper.make_node("Pad", ["r", *given.get("inputs", [])], ["p"], **given.get("attributes", {}))
    nodes = [helper.make_node("Relu", ["x"], ["r"]), pad]
    nodes.append(helper.make_node(reader, ["p", "w"] if reader == "Conv" else ["p"], ["c"], kernel_shape=[2, 2]))
    nodes += [helper.make_node("Flatten", ["c"], ["f"]), helper.make_node("MatMul", ["f", "v"], ["y"])]
    weights = {"v": random.normal(size=(2 * 7 * 5, 3)), "w": random.normal(size=(2, 2, 2, 2))}
    path = _onnx(tmp_path / "net.onnx", nodes, opset, **weights, pads=pads)
    x = random.normal(size=(3, 2, 5, 5)).astype(np.float32)
    wanted = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    np.testing.assert_allclose(om.read_network(path).replay(x), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("pads", "axes", "mode", "value", "message"),
    [
        ([1, 0], [0], "constant", 0.0, "pads the batch"),
        ([1, 0], [1], "constant", -np.inf, "pads with -inf"),
        ([1, 0], [2], "constant", -np.inf, "reads a padding of -inf, which only max pooling may"),
    ],
)
def test_other_paddings_are_refused_by_name(
    pads: list[int], axes: list[int], mode: str, value: float, message: str, tmp_path: Path
) -> None:
    nodes = [
        helper.make_node("Pad", ["x", "pads", "value", "axes"], ["p"], mode=mode),
        helper.make_node("Conv", ["p", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["m"]),
        helper.make_node("Flatten", ["m"], ["y"]),
    ]
    weights = {"w": np.ones((2, 2, 2, 2)), "pads": np.array(pads), "axes": np.array(axes), "value": np.array(value)}
    with pytest.raises(om.InputError, match=message) as error:
        om.read_network(_onnx(tmp_path / "net.onnx", nodes, 18, **weights))
    one_line(error)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_padding_mode_gives_the_modules_logits(mode: str) -> None:
    module = _trained(nn.Conv2d(1, 2, 3, padding=1, padding_mode=mode), nn.ReLU())
    x = torch.randn(3, *SHAPE, dtype=torch.float64)
    np.testing.assert_allclose(
        om.read_network(module, SHAPE).replay(x.numpy()), module.double()(x).detach().numpy(), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize(
    ("layers", "scored"),
    [
        ([nn.Conv2d(2, 3, 2), nn.ReLU()], ["0", "3"]),
        ([nn.Conv2d(2, 3, 2, padding=1), nn.ReLU()], ["3"]),
        ([nn.Conv2d(2, 4, 2, groups=2), nn.ReLU()], ["0", "3"]),
        ([nn.MaxPool2d(2), nn.Conv2d(2, 3, 2), nn.ReLU()], ["4"]),
        ([nn.AvgPool2d(2), nn.Conv2d(2, 3, 2), nn.ReLU()], ["0", "4"]),
        ([nn.AvgPool2d(2, 1, 1), nn.Conv2d(2, 3, 2), nn.ReLU()], ["4"]),
        ([], ["0"]),
    ],
)
def test_batch_norm_behind_a_relu_folds_into_what_reads_it(layers: list[nn.Module], scored: list[str]) -> None:
    """With max pooling only where no scale is negative; at the zeros around a padded reader nothing is shifted."""
    module = _trained(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.BatchNorm2d(2), *layers)
    norm = module[2]
    for sign in (-1.0, 1.0):
        with torch.no_grad():
            norm.weight.copy_(torch.tensor([0.7, 0.4 * sign]))
        network = om.read_network(module, SHAPE)
        pooled = sign > 0 and any(isinstance(layer, nn.MaxPool2d) for layer in layers)
        assert [group.name for group in network.groups] == (["0", *scored] if pooled else scored)
        scores = {group.name: np.arange(group.size) % 2 + 0.0 for group in network.groups}
        hooked = [
            module[int(name) + 1].register_forward_hook(
                lambda _m, _i, out, s=s: out * torch.tensor(s, dtype=out.dtype).reshape(1, -1, 1, 1)
            )
            for name, s in scores.items()
        ]
        images = torch.randn(4, *SHAPE)
        with torch.no_grad():
            wanted = module(images).numpy()
        for hook in hooked:
            hook.remove()
        np.testing.assert_allclose(network.replay(images.numpy(), scores), wanted, rtol=1e-4, atol=1e-4)


class Constant(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 3), nn.Linear(3, 2), nn.Parameter(torch.randn(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(functional.relu(self.a(x)) + self.c)


def test_a_constant_behind_a_relu_goes_into_the_bias_that_reads_it() -> None:
    network = om.read_network(Constant().eval(), (4,))
    assert [layer.name for layer in network.layers] == ["a", "b"]
    assert [group.name for group in network.groups] == ["a"]


@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_averages_that_no_torch_module_takes_are_saved_and_read_again(suffix: str, tmp_path: Path) -> None:
    pool = SeparableAverage(np.array([[0.5, 0.5, 0, 0], [0, 0, 0.25, 0.75]]), np.full((1, 4), 0.25))
    module = _trained(nn.Conv2d(1, 2, 3), nn.ReLU(), pool)
    network = om.read_network(module, SHAPE)
    assert [group.name for group in network.groups] == ["0"]
    assert _maps(network)[1:2] == [AveragePool]
    assert om.read_network(om.save_module(module, tmp_path / f"net{suffix}", SHAPE)).fingerprint == network.fingerprint
