"""Small networks of every kind, by name, with random weights and batch norm statistics."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable

import pytest
import torch
from small_modules import FixedView, NormAfterAddition, Residual
from torch import Tensor, nn
from torch.nn import functional

from oamip_model import read_network
from oamip_model.network.types import Network

torch.set_num_threads(1)


def conv(*args: int, **options: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(*args, **options), nn.BatchNorm2d(args[1]), nn.ReLU())


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(5, 6)), nn.Parameter(torch.randn(5))
        self.w2 = nn.Parameter(torch.randn(3, 5))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(functional.relu(functional.linear(x, self.w1, self.b1)), self.w2)


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleDict(
            {"first": nn.Sequential(nn.Linear(6, 5), nn.Dropout(), nn.BatchNorm1d(5, affine=False))}
        )
        self.body["second"] = nn.Sequential(nn.Identity(), nn.Linear(5, 4), nn.ReLU(inplace=True))
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body["second"](torch.relu_(self.body["first"](x))))


class SharedWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.last = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.first(x))
        x = functional.relu(self.shared(x))
        return self.last(functional.relu(self.shared(x)))


class TiedWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(6, 5), nn.Linear(5, 3)
        self.one, self.other = nn.Linear(5, 5), nn.Linear(5, 5, bias=False)
        self.other.weight = self.one.weight

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.one(functional.relu(self.first(x))))
        return self.last(functional.relu(self.other(x)))


def chain(*parts: nn.Module) -> Callable[[], nn.Module]:
    """The parts in a row; initialised again whenever the network is built."""

    def make() -> nn.Module:
        module = nn.Sequential(*copy.deepcopy(parts))
        for part in module.modules():
            if isinstance(part, nn.Linear | nn.Conv2d):
                part.reset_parameters()
        return module

    return make


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (chain(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5, bias=False), nn.ReLU(), nn.Linear(5, 3)), (6,)),
    "mlp-image": (chain(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3)), (1, 4, 4)),
    "mlp-norm": (chain(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), (6,)),
    "conv": (
        chain(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 5, 3, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(45, 6),
            nn.ReLU(),
            nn.Linear(6, 3),
        ),
        (1, 8, 8),
    ),
    "max-pool": (
        chain(conv(1, 4, 3), nn.MaxPool2d(2, ceil_mode=True), conv(4, 5, 2), nn.Flatten(), nn.Linear(20, 3)),
        (1, 7, 7),
    ),
    "pool-first": (
        chain(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)),
        (1, 8, 8),
    ),
    "average-pool": (
        chain(
            conv(1, 4, 3), nn.AvgPool2d(3, 2, 1), conv(4, 5, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 3)
        ),
        (1, 8, 8),
    ),
    "residual": (lambda: Residual(project=False), (1, 6, 6)),
    "projection": (lambda: Residual(project=True), (1, 6, 6)),
    "norm-after-addition": (NormAfterAddition, (6,)),
    "nested": (Nested, (6,)),
    "shared": (SharedWeights, (6,)),
    "tied": (TiedWeights, (6,)),
    "norm-after-flattening": (
        chain(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 3)),
        (1, 6, 6),
    ),
    "fixed-view": (FixedView, (1, 8, 8)),
    "functional": (Functional, (6,)),
    "depthwise": (
        chain(
            conv(1, 6, 3),
            conv(6, 6, 3, groups=6, padding=1),
            conv(6, 5, 1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(5, 3),
        ),
        (1, 6, 6),
    ),
    "grouped": (chain(conv(1, 6, 3), conv(6, 8, 3, groups=2), nn.Flatten(), nn.Linear(32, 3)), (1, 6, 6)),
    "uneven-padding": (
        chain(nn.Conv2d(1, 4, 2, padding="same"), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3)),
        (1, 5, 5),
    ),
}


def build(name: str, seed: int = 0) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(seed)
    make, shape = NETWORKS[name]
    module = make()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(std=0.5)
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias)
    return module.eval(), shape


@pytest.fixture(params=NETWORKS)
def case(request: pytest.FixtureRequest) -> tuple[str, nn.Module, tuple[int, ...]]:
    return (request.param, *build(request.param))


@functools.cache
def _read(name: str) -> Network:
    return read_network(*build(name))


@pytest.fixture(scope="session")
def network_of() -> Callable[[str], Network]:
    """The network of a module by name, read once."""
    return _read


@pytest.fixture(scope="session")
def module_of() -> Callable[[str], tuple[nn.Module, tuple[int, ...]]]:
    return build
