"""What has no place in the model is refused, by name, on every route that gets as far as a file."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

import oamip_model as om


class Calls(nn.Module):
    """A module whose forward pass is one function of its parts and the image."""

    def __init__(self, function: Callable[..., Tensor], **parts: nn.Module | nn.Parameter) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self, x)


def _two(function: Callable[..., Tensor]) -> nn.Module:
    return Calls(function, a=nn.Linear(4, 3), b=nn.Linear(4, 3))


def _dense(middle: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), middle, nn.Linear(3, 2))


def _image(layer: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(features, 3))


IMAGE = (2, 6, 6)
# (module, shape of one image, what the torch route says, what the ONNX routes say)
UNSUPPORTED: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], str, str]] = {
    "sigmoid": (lambda: _dense(nn.Sigmoid()), (4,), r"layer 1 \(Sigmoid\)", r"\(Sigmoid\)"),
    "softmax": (lambda: _dense(nn.Softmax(1)), (4,), r"layer 1 \(Softmax\)", r"\(Softmax\)"),
    "quotient": (lambda: _two(lambda s, x: s.a(x) / s.b(x)), (4,), "divides by activations", "divides by activations"),
    "gelu": (lambda: _dense(nn.GELU()), (4,), r"layer 1 \(GELU\)", r"\(Gelu\)"),
    "places that depend on the image": (
        lambda: Calls(lambda s, x: s.fc(x.sort(1)[0]), fc=nn.Linear(4, 3)), (4,), r"sort", r"\(TopK\)"
    ),
    "product": (lambda: _two(lambda s, x: s.a(x) * s.b(x)), (4,), r"\(operator mul\)", r"\(Mul\)"),
    "group norm": (
        lambda: _image(nn.GroupNorm(1, 2), 72), IMAGE, r"layer 0 \(GroupNorm\)", r"\(InstanceNormalization\)"
    ),
    "two images in one": (
        lambda: Calls(lambda s, x: s.fc(x.view(1, -1)), fc=nn.Linear(8, 3)), (4,),
        "mixes the images", "mixes its images",
    ),
    "two outputs": (lambda: _two(lambda s, x: (s.a(x), s.b(x))), (4,), "2", "2 outputs"),
    "constant output": (lambda: _two(lambda s, x: s.a.weight), (4,), "does not depend on its input", "input"),
    "no layer": (lambda: nn.Sequential(nn.Flatten()), IMAGE, "image itself", "image itself"),
}  # fmt: skip


def _is_one_line(error: pytest.ExceptionInfo[om.InputError]) -> bool:
    return "\n" not in str(error.value) and error.value.exit_code == 2


@pytest.mark.parametrize("case", UNSUPPORTED)
def test_module_is_refused(case: str) -> None:
    make, shape, message, _ = UNSUPPORTED[case]
    with pytest.raises(om.InputError, match=message) as error:
        om.read_network(make().eval(), shape)
    assert _is_one_line(error)
    assert "accepted" in str(error.value) or case == "no layer" or "does not depend" in str(error.value)


@pytest.mark.parametrize(
    ("case", "dynamo"),
    [(case, False) for case in UNSUPPORTED if case != "two images in one"]
    # This exporter is slow, and refuses nothing by another path.
    + [("sigmoid", True)],
)
def test_onnx_file_is_refused(case: str, dynamo: bool, tmp_path: Path) -> None:
    make, shape, _, message = UNSUPPORTED[case]
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(make().eval(), (torch.randn(2, *shape),), path, dynamo=dynamo, verbose=False)
    with pytest.raises(om.InputError, match=message) as error:
        om.read_network(path)
    assert _is_one_line(error)


def test_a_file_of_two_images_in_one_takes_both_as_one_image_and_says_so(tmp_path: Path) -> None:
    module = UNSUPPORTED["two images in one"][0]().eval()
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.randn(2, 4),), path, dynamo=False, verbose=False)
    network = om.read_network(path)
    assert network.input_shape == (2, 4)
    assert "the whole input of shape (2, 4) is one image" in network.notes[0]


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (_dense(nn.ReLU()), "module Sequential is in training mode; call .eval"),
        (_two(lambda s, x: functional.dropout(s.a(x))).eval(), "is active"),
        (_dense(nn.BatchNorm1d(3, track_running_stats=False)).eval(), r"layer 1 \(BatchNorm1d\) normalises by"),
        (_two(lambda s, x: {"one": s.a(x), "two": s.b(x)}).eval(), r"gives 2 outputs \(one, two\)"),
        (
            _two(lambda s, x: functional.relu_(s.a(x)[:, :2]) + s.b(x)[:, 1:]).eval(),
            "changes in place a tensor of which",
        ),
        (_two(lambda s, x: s.a(x) if x.sum() > 0 else s.b(x)).eval(), "depends on the values of its images"),
        (_two(lambda s, x: functional.linear(s.a(x), s.a.weight.t())).eval(), "weights of a in another form"),
        (nn.Sequential(nn.LazyLinear(3)).eval(), "holds no values"),
    ],
)
def test_other_modules_are_refused(module: nn.Module, message: str) -> None:
    with pytest.raises(om.InputError, match=message) as error:
        om.read_network(module, (4,))
    assert _is_one_line(error)


def test_one_part_in_training_mode_is_named() -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(), nn.Linear(3, 2)).eval()
    module[1].train()
    with pytest.raises(om.InputError, match=r"layer 1 \(Dropout\) is in training mode"):
        om.read_network(module)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["weight", "bias"])
def test_weights_that_are_not_finite_are_named(part: str, value: float) -> None:
    module = _dense(nn.ReLU()).eval()
    with torch.no_grad():
        getattr(module[2], part).view(-1)[0] = value
    with pytest.raises(om.InputError, match=f"layer 2: its {part} has a value that is NaN or infinite"):
        om.read_network(module)


@pytest.mark.parametrize("name", ["missing.onnx", "missing.pt2", "folder", "net.h5", "corrupt.onnx", "corrupt.pt2"])
def test_file_that_cannot_be_read_is_named(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif not name.startswith("missing"):
        path.write_bytes(b"neither of the two" * 20)
    with pytest.raises(om.InputError, match=name) as error:
        om.read_network(path)
    assert _is_one_line(error)


@pytest.mark.parametrize("source", [None, 3, {"0.weight": torch.ones(2, 2)}])
def test_source_of_another_type_is_refused(source: object) -> None:
    with pytest.raises(om.InputError, match=r"network: got a \w+; accepted are"):
        om.read_network(source)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(), (0,), (-4,), (4.0,), (True,), 4, "4", (5,)])
def test_wrong_input_shape_is_refused(shape: object) -> None:
    with pytest.raises(om.InputError, match=r"input_shape|images of shape \(5,\)") as error:
        om.read_network(_dense(nn.ReLU()).eval(), shape)  # type: ignore[arg-type]
    assert _is_one_line(error)


def test_input_shape_is_asked_for_where_it_cannot_be_known() -> None:
    with pytest.raises(om.InputError, match=r"input_shape: got none.*\(1, 28, 28\)"):
        om.read_network(nn.Sequential(nn.Conv2d(1, 2, 3)).eval())


def _write(path: Path, nodes: list[onnx.NodeProto], sizes: list[int | str], **weights: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", "classes"])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), path)
    return path


def test_file_and_input_shape_must_agree(tmp_path: Path) -> None:
    matmul = helper.make_node("MatMul", ["x", "w"], ["y"])
    path = _write(tmp_path / "net.onnx", [matmul], ["n", 4], w=np.ones((4, 3)))
    assert om.read_network(path, (4,)).input_shape == (4,)
    with pytest.raises(om.InputError, match=r"input_shape: got \(5,\), but .*net.onnx takes images of shape \(4,\)"):
        om.read_network(path, (5,))
    program = torch.export.export(_dense(nn.ReLU()).eval(), (torch.zeros(2, 4),))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(om.InputError, match=r"input_shape: got \(5,\), but .*net.pt2 takes images of shape \(4,\)"):
        om.read_network(tmp_path / "net.pt2", (5,))


def test_open_image_size_needs_input_shape(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("GlobalAveragePool", ["c"], ["p"]),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    path = _write(tmp_path / "net.onnx", nodes, ["n", 2, "h", "w"], w=np.ones((3, 2, 3, 3)))
    with pytest.raises(om.InputError, match="pass input_shape"):
        om.read_network(path)
    assert om.read_network(path, (2, 7, 5)).input_shape == (2, 7, 5)


def test_batch_size_that_is_baked_in_is_found_by_the_replay(tmp_path: Path) -> None:
    """A file may compute with its batch size; what was read for a batch of two must then not be handed on."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"], end=1),
        helper.make_node("Cast", ["s"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "f"], ["y"]),
    ]
    path = _write(tmp_path / "net.onnx", nodes, ["n", 4], w=np.ones((4, 3)))
    with pytest.raises(om.CheckError, match="differs from it"):
        om.read_network(path)
