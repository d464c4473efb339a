"""Thirteen small networks by four routes: every import must give the module's own logits."""

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import oamip_model as om


class Residual(nn.Module):
    """Two residual blocks: one adds its input, one a projection of it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.conv1, self.bn1 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv2, self.bn2 = nn.Conv2d(3, 3, 3, padding=1, bias=False), nn.BatchNorm2d(3)
        self.conv3, self.conv4 = nn.Conv2d(3, 4, 3, padding=1, stride=2), nn.Conv2d(4, 4, 3, padding=1)
        self.project, self.bn = nn.Conv2d(3, 4, 1, stride=2, bias=False), nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        x = functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))) + x)
        y = self.conv4(functional.relu(self.conv3(x)))
        y += self.bn(self.project(x))
        return self.fc(functional.relu(y).mean((2, 3)))


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Identity(), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Functional(nn.Module):
    """Modules in modules, weights without a module, dropout, views."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.drop, self.same = Block(), nn.Dropout(0.5), nn.Identity()
        self.weight = nn.Parameter(torch.randn(5, 48) * 0.2)
        self.head = nn.ModuleDict({"out": nn.Linear(5, 4)})

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(functional.max_pool2d(self.block(x), 1))
        x = functional.relu(functional.linear(x.view(x.shape[0], -1), self.weight))
        x = functional.dropout(self.same(x), 0.3, self.training)
        return self.head["out"](x.reshape(x.size(0), -1))


def _convolutional(*layers: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 3))


CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)), (6,)),
    "mlp without bias": (
        lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False)),
        (6,),
    ),
    "mlp with batch norm": (
        lambda: nn.Sequential(
            nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)
        ),
        (6,),
    ),
    "conv": (lambda: _convolutional(nn.Conv2d(2, 3, 3), nn.ReLU(), features=48), (2, 6, 6)),
    "strided, padded, no bias": (
        lambda: _convolutional(nn.Conv2d(2, 3, 3, stride=2, padding=1, bias=False), nn.ReLU(), features=36),
        (2, 7, 5),
    ),
    "dilated, grouped": (
        lambda: _convolutional(
            nn.Conv2d(2, 4, 3, dilation=2), nn.ReLU(),
            nn.Conv2d(4, 6, 2, groups=2, padding="same"), nn.ReLU(), features=96,
        ),
        (2, 8, 8),
    ),
    "conv with batch norm": (
        lambda: _convolutional(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), features=48),
        (2, 6, 6),
    ),
    "max pooling": (
        lambda: _convolutional(
            nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 3, 2), nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1), features=3,
        ),
        (2, 8, 8),
    ),
    "average pooling": (
        lambda: _convolutional(
            nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 3, 2), nn.ReLU(),
            nn.AvgPool2d(3, stride=2, padding=1), features=3,
        ),
        (2, 8, 8),
    ),
    "adaptive average pooling": (
        lambda: _convolutional(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), features=12),
        (2, 8, 8),
    ),
    "mean over space": (
        lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3)),
        (2, 6, 6),
    ),
    "residual": (Residual, (1, 6, 6)),
    "nested, functional": (Functional, (2, 6, 6)),
}  # fmt: skip
ROUTES = ("torch", "legacy", "legacy dynamic", "dynamo")


def trained(case: str) -> tuple[nn.Module, tuple[int, ...]]:
    """The module of a case, with statistics in its batch norms that are not the initial ones."""
    torch.manual_seed(0)
    make, shape = CASES[case]
    module = make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (part.running_mean, part.weight, part.bias):
                nn.init.normal_(values)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval(), shape


def export_onnx(module: nn.Module, shape: tuple[int, ...], path: Path, route: str) -> Path:
    example = torch.randn(1 if route == "legacy" else 2, *shape)
    options: dict[str, object] = {"dynamo": route.startswith("dynamo")}
    if route == "legacy dynamic":
        options["dynamic_axes"] = {"image": {0: "batch"}}
    if route == "dynamo dynamic":
        options["dynamic_shapes"] = ({0: torch.export.Dim.DYNAMIC},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (example,), path, input_names=["image"], verbose=False, **options)
    return path


def test_matrix_has_52_imports() -> None:
    assert len(CASES) * len(ROUTES) == 52


@pytest.mark.thinned(40)
@pytest.mark.parametrize(
    ("case", "route"),
    [(case, route) for case in CASES for route in (*ROUTES, "pt2")]
    + [(case, "dynamo dynamic") for case in ("residual", "nested, functional")],
)
def test_import_gives_the_modules_logits(case: str, route: str, tmp_path: Path) -> None:
    module, shape = trained(case)
    images = torch.randn(4, *shape, dtype=torch.float64)
    if route == "torch":
        network = om.read_network(module, input_shape=shape)
    elif route == "pt2":
        program = torch.export.export(
            module, (torch.randn(2, *shape),), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)
        )
        torch.export.save(program, tmp_path / "net.pt2")
        network = om.read_network(tmp_path / "net.pt2")
    else:
        network = om.read_network(export_onnx(module, shape, tmp_path / "net.onnx", route))
    with torch.no_grad():
        wanted = module.double()(images).numpy()
    assert network.input_shape == shape
    np.testing.assert_allclose(network.replay(images.numpy()), wanted, rtol=1e-5, atol=1e-5)
