"""How operators become layers: names, folding, and sources that are left as they were."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune

import oamip_model as om
from oamip_model.network import Network
from oamip_model.network.maps import AveragePool, Conv2d, Dense, Identity


def _shape_of(network: Network) -> list[tuple[str, str, list[tuple[type, int]]]]:
    return [(y.name, y.activation, [(type(t.map), t.source) for t in y.terms]) for y in network.layers]


def test_importing_the_room_loads_neither_torch_nor_pyomo() -> None:
    code = "import sys, oamip_model.network; sys.exit(bool({'torch', 'onnx', 'pyomo'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_batch_norm_activation_and_reshapes_leave_one_layer_per_weight() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout2d(), nn.Flatten(), nn.ReLU(),
        nn.Identity(), nn.Linear(18, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3),
    ).eval()  # fmt: skip
    network = om.read_network(module, (1, 5, 5))
    assert _shape_of(network) == [
        ("0", "relu", [(Conv2d, -1)]),
        ("6", "relu", [(Dense, 0)]),
        ("9", "none", [(Dense, 1)]),
    ]
    assert network.layers[0].pre_shape == (2, 3, 3)
    assert network.layers[1].terms[0].input_shape == (18,)


def test_pooling_layers_are_layers_of_their_own() -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.ReLU(), nn.AvgPool2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3)
    ).eval()
    assert _shape_of(om.read_network(module, (1, 6, 6))) == [
        ("0", "none", [(Conv2d, -1)]),
        ("1", "max", [(Identity, 0)]),
        ("2", "relu", [(Identity, 1)]),
        ("3", "relu", [(AveragePool, 2)]),
        ("6", "none", [(Dense, 3)]),
    ]


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 3, padding=1)
        self.project, self.fc = nn.Conv2d(2, 2, 1), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.conv1(x))
        y = self.project(x) + self.conv2(x) + x
        return self.fc((functional.relu(y) + y).mean(3).mean(2))


def test_sum_is_one_layer_unless_it_is_read_again() -> None:
    assert _shape_of(om.read_network(Branches().eval(), (2, 4, 4)))[1:4] == [
        ("project", "none", [(Conv2d, 0), (Conv2d, 0), (Identity, 0)]),
        ("relu_1", "relu", [(Identity, 1)]),
        ("add_2", "none", [(Identity, 2), (Identity, 1)]),
    ]


def test_layer_used_twice_has_two_names_and_one_owner() -> None:
    layer = nn.Linear(4, 4)
    network = om.read_network(nn.Sequential(layer, nn.ReLU(), layer, nn.ReLU(), nn.Linear(4, 2)).eval())
    assert [layer.name for layer in network.layers] == ["0", "0_2", "4"]
    assert [layer.terms[0].name for layer in network.layers] == ["0", "0", "4"]


class InPlace(nn.Module):
    """ReLU in place reaches every view of its tensor, whether its result is used or not."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc1, self.fc2 = nn.Conv2d(1, 2, 3), nn.Linear(18, 3), nn.Linear(18, 3)

    def forward(self, x: Tensor) -> Tensor:
        a = self.conv(x)
        flat = a.view(a.shape[0], -1)
        b = functional.relu(a, inplace=True)
        return self.fc1(flat) + self.fc2(b.flatten(1))


def test_operators_in_place_change_what_is_read_later() -> None:
    module = InPlace().double().eval()
    images = torch.randn(3, 1, 5, 5, dtype=torch.float64)
    with torch.no_grad():
        wanted = module(images).numpy()
    np.testing.assert_allclose(om.read_network(module, (1, 5, 5)).replay(images.numpy()), wanted, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_module_is_left_as_it_was(dtype: torch.dtype) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(inplace=True), nn.Linear(3, 2)).to(dtype).eval()
    module.requires_grad_(True)
    before = copy.deepcopy(module.state_dict())
    network = om.read_network(module)
    assert all(torch.equal(values, before[name]) for name, values in module.state_dict().items())
    assert {p.dtype for p in module.parameters()} == {dtype}
    assert all(p.requires_grad and p.grad is None for p in module.parameters())
    assert not module.training
    assert isinstance(network.layers[1].terms[0].map, Dense)
    assert network.layers[1].terms[0].map.weight.tolist() == module[3].weight.tolist()


def test_changing_the_module_later_does_not_change_the_network() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    network = om.read_network(module)
    before = network.replay(np.ones((1, 4)))
    with torch.no_grad():
        module[0].weight.fill_(7.0)
    assert np.array_equal(network.replay(np.ones((1, 4))), before)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("reparametrised", ["masked", "weight norm", "old weight norm"])
def test_weights_that_are_computed_keep_their_module(reparametrised: str) -> None:
    layer: nn.Module = nn.Linear(4, 6)
    if reparametrised == "masked":
        prune.l1_unstructured(layer, "weight", amount=0.5)
    elif reparametrised == "weight norm":
        layer = nn.utils.parametrizations.weight_norm(layer)
    else:
        layer = nn.utils.weight_norm(layer)
    module = nn.Sequential(layer, nn.ReLU(), nn.Linear(6, 2)).eval()
    module(torch.ones(1, 4))  # leaves a weight behind that is no parameter
    network = om.read_network(module)
    assert network.groups[0].producers == ("0",)


def test_precision_that_a_module_fixes_is_respected() -> None:
    class Casts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(x.float())

    assert om.read_network(Casts().eval(), (4,)).classes == 3


@pytest.mark.parametrize("batch", [1, 2, None])
@pytest.mark.parametrize("decomposed", [False, True])
def test_exported_programs_of_any_batch_are_the_module(batch: int | None, decomposed: bool, tmp_path: Path) -> None:
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(2, 3),
    ).eval()  # fmt: skip
    dynamic = None if batch else ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(module, (torch.randn(batch or 2, 1, 8, 8),), dynamic_shapes=dynamic)
    torch.export.save(program.run_decompositions() if decomposed else program, tmp_path / "net.pt2")
    network = om.read_network(tmp_path / "net.pt2")
    assert network.fingerprint == om.read_network(module, (1, 8, 8)).fingerprint


@pytest.mark.filterwarnings("ignore")
def test_layers_of_both_exporters_are_named_after_their_modules(tmp_path: Path) -> None:
    module = nn.Sequential()
    module.add_module("features", nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()))
    module.add_module("classifier", nn.Sequential(nn.Flatten(), nn.Linear(18, 3, bias=False)))
    module.eval()
    for dynamo in (False, True):
        path = tmp_path / "net.onnx"
        torch.onnx.export(module, (torch.randn(2, 1, 5, 5),), path, dynamo=dynamo, verbose=False)
        assert [layer.name for layer in om.read_network(path).layers] == ["features.0", "classifier.1"]


def _save(path: Path, nodes: list[onnx.NodeProto], shape: tuple[int, ...], **weights: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *shape])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "classes"])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def test_gemm_factors_and_a_bias_before_the_product(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    w, b, v = random.normal(size=(4, 3)), random.normal(size=(1, 3)), random.normal(size=(2, 3))
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["g"], alpha=0.5, beta=3.0),
        helper.make_node("Relu", ["g"], ["r"]),
        helper.make_node("Transpose", ["v"], ["vt"], perm=[1, 0]),
        helper.make_node("MatMul", ["r", "vt"], ["m"]),
        helper.make_node("Add", ["c", "m"], ["y"]),
    ]
    network = om.read_network(_save(tmp_path / "net.onnx", nodes, (4,), w=w, b=b, v=v, c=np.float32(2.0)))
    x = random.normal(size=(5, 4))
    wanted = np.maximum(0.5 * x @ w + 3.0 * b, 0.0) @ v.T + 2.0
    np.testing.assert_allclose(network.replay(x), wanted, atol=1e-5)
    assert [layer.name for layer in network.layers] == ["w", "v"]


@pytest.mark.parametrize("operator", ["Conv", "MaxPool", "AveragePool"])
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(operator: str, mode: str, tmp_path: Path) -> None:
    inputs = ["x", "w"] if operator == "Conv" else ["x"]
    nodes = [
        helper.make_node(operator, inputs, ["c"], auto_pad=mode, kernel_shape=[2, 3], strides=[1, 2]),
        helper.make_node("ReduceMean", ["c", "axes"], ["p"], keepdims=0),
        helper.make_node("MatMul", ["p", "v"], ["y"]),
    ]
    nodes.insert(0, helper.make_node("Constant", [], ["axes"], value_ints=[-1, -2]))
    random = np.random.default_rng(0)
    weights = {"w": random.normal(size=(2, 2, 2, 3))} if operator == "Conv" else {}
    path = _save(tmp_path / "net.onnx", nodes, (2, 5, 6), v=random.normal(size=(2, 3)), **weights)
    # The import itself compares with onnxruntime; a wrong padding raises CheckError.
    assert om.read_network(path).layers[0].shape == ((2, 4, 2) if mode == "VALID" else (2, 5, 3))


def test_weights_in_a_file_beside_the_model(tmp_path: Path) -> None:
    w = np.random.default_rng(0).normal(size=(40, 30)).astype(np.float32)
    path = _save(tmp_path / "net.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], (40,), w=w)
    inside = om.read_network(path).fingerprint
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size >= w.nbytes
    assert om.read_network(path).fingerprint == inside
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(om.InputError, match=r"net\.onnx cannot be read"):
        om.read_network(path)
