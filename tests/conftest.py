"""Tiny networks of every kind, with random sizes and weights by seed, and images and labels for them."""

from __future__ import annotations

import copy
import itertools
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from thinned import thin
from torch import Tensor, nn
from torch.nn import functional

import oamip_model as om
from oamip_model.cli import output

torch.set_num_threads(1)
# A shell that starts the tests in the background has Ctrl-C ignored, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Problem:
    """A network with its module, images that straddle its kinks, and labels."""

    kind: str
    module: nn.Module
    network: Any
    images: np.ndarray
    labels: np.ndarray
    sizes: list[int] = field(default_factory=list)

    def split(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        """Scores by group from one vector over all units."""
        parts = np.split(np.asarray(flat, dtype=float), np.cumsum(self.sizes)[:-1])
        return {g.name: p for g, p in zip(self.network.groups, parts, strict=True)}

    @property
    def units(self) -> int:
        return sum(self.sizes)

    def all_binary(self) -> Iterator[np.ndarray]:
        """Every vector of binary scores."""
        for bits in itertools.product([0.0, 1.0], repeat=self.units):
            yield np.array(bits)

    def build(self, **options: Any) -> Any:
        bounds = options.pop("bounds", "interval")
        return om.build_instance(self.network, self.images, self.labels, om.Formulation(**options), bounds=bounds)


class Residual(nn.Module):
    """Two blocks: a shortcut that ties units, and one with a projection."""

    def __init__(self, pick: np.random.Generator) -> None:
        super().__init__()
        width, inner = 2, int(pick.integers(1, 3))
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.a1, self.a2 = nn.Conv2d(width, inner, 3, padding=1), nn.Conv2d(inner, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.b1, self.b2 = nn.Conv2d(width, 2, 3, stride=2, padding=1), nn.Conv2d(2, 2, 1)
        self.project = nn.Conv2d(width, 2, 1, stride=2)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.stem(x))
        x = functional.relu(x + self.norm(self.a2(functional.relu(self.a1(x)))))
        x = functional.relu(self.project(x) + self.b2(functional.relu(self.b1(x))))
        return self.head(x.mean((2, 3)))


class NormOfSum(nn.Module):
    """Batch norm behind an addition, and behind a ReLU: neither folds into one weight."""

    def __init__(self, pick: np.random.Generator) -> None:
        super().__init__()
        width = int(pick.integers(2, 4))
        self.a, self.b = nn.Linear(4, width), nn.Linear(4, width, bias=False)
        self.norm = nn.BatchNorm1d(width)
        self.middle, self.after = nn.Linear(width, 2), nn.BatchNorm1d(2, affine=False)
        self.head = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.norm(self.a(x) + self.b(x)))
        return self.head(self.after(functional.relu(self.middle(x))))


class TiedToImage(nn.Module):
    """A shortcut from the image, so that the ReLU behind it carries no score."""

    def __init__(self, pick: np.random.Generator) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 3), nn.Linear(3, 4)
        self.c, self.head = nn.Linear(4, 2), nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(x + self.b(functional.relu(self.a(x))))
        return self.head(functional.relu(self.c(x)))


def _dense(pick: np.random.Generator) -> nn.Module:
    a, b, bias = int(pick.integers(2, 5)), int(pick.integers(2, 4)), bool(pick.integers(2))
    return nn.Sequential(nn.Linear(4, a), nn.ReLU(), nn.Linear(a, b, bias=bias), nn.ReLU(), nn.Linear(b, 3))


def _deep(pick: np.random.Generator) -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3)
    )


def _conv(pick: np.random.Generator) -> nn.Module:
    a, b, padding = int(pick.integers(1, 4)), int(pick.integers(1, 3)), int(pick.integers(2))
    side = 4 + 2 * padding - 2
    side = (side - 2) // 2 + 1
    return nn.Sequential(
        nn.Conv2d(1, a, 3, padding=padding), nn.BatchNorm2d(a), nn.ReLU(), nn.Conv2d(a, b, 2, stride=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(b * side * side, 2), nn.ReLU(), nn.Linear(2, 3),
    )  # fmt: skip


_WINDOWS = [(2, 2, 0), (3, 2, 1), (2, 1, 0), (3, 1, 0)]
"""Kernel, stride and padding of max pooling: apart, padded, overlapping."""


def _relu_pool(pick: np.random.Generator) -> nn.Module:
    kernel, stride, padding = _WINDOWS[int(pick.integers(4))]
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(kernel, stride, padding), nn.Conv2d(2, 2, 2), nn.ReLU(),
        nn.MaxPool2d(2, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2),
    )  # fmt: skip


def _pool_relu(pick: np.random.Generator) -> nn.Module:
    kernel, stride, padding = _WINDOWS[int(pick.integers(4))]
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(kernel, stride, padding), nn.ReLU(), nn.Conv2d(2, 2, 2),
        nn.MaxPool2d(2, 2, ceil_mode=True), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3),
    )  # fmt: skip


def _average_pool(pick: np.random.Generator) -> nn.Module:
    first = [nn.AvgPool2d(2), nn.AvgPool2d(3, 2, 1), nn.AvgPool2d(2, 1, 1, count_include_pad=False)]
    return nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.ReLU(), first[int(pick.integers(3))], nn.Conv2d(2, 2, 2), nn.AvgPool2d(1, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3),
    )  # fmt: skip


def _depthwise(pick: np.random.Generator) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Conv2d(2, 2, 2, groups=2), nn.ReLU(), nn.Conv2d(2, 3, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3),
    )  # fmt: skip


BUILDERS: dict[str, tuple[Callable[[np.random.Generator], nn.Module], tuple[int, ...]]] = {
    "dense": (_dense, (4,)),
    "deep": (_deep, (4,)),
    "conv": (_conv, (1, 4, 4)),
    "residual": (Residual, (1, 3, 3)),
    "relu-pool": (_relu_pool, (1, 4, 4)),
    "pool-relu": (_pool_relu, (1, 4, 4)),
    "average-pool": (_average_pool, (1, 5, 5)),
    "norm": (NormOfSum, (4,)),
    "depthwise": (_depthwise, (1, 4, 4)),
    "tied-to-image": (TiedToImage, (4,)),
}


@cache
def _made(kind: str, seed: int) -> tuple[nn.Module, Any, np.random.Generator]:
    """A module, its network, and the random numbers that come after it."""
    pick = np.random.default_rng(seed)
    torch.manual_seed(seed)
    make, shape = BUILDERS[kind]
    module = make(pick)
    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            # Wider than torch's own, so that ReLUs of small networks are on and off.
            nn.init.normal_(part.weight, std=1.5 / float(np.sqrt(part.weight[0].numel())))
            if part.bias is not None:
                nn.init.normal_(part.bias, std=0.3)
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.normal_(std=0.3)
            part.running_var.uniform_(0.5, 2)
            if part.affine:
                nn.init.normal_(part.weight)
                nn.init.normal_(part.bias, std=0.3)
    return module.eval(), om.read_network(module.eval(), shape), pick


@cache
def make_problem(kind: str, seed: int = 0, count: int = 2) -> Problem:
    module, network, pick = _made(kind, seed)
    pick = copy.deepcopy(pick)
    images = pick.normal(size=(count, *network.input_shape))
    labels = pick.integers(0, network.classes, count)
    return Problem(kind, module, network, images, labels, [g.size for g in network.groups])


def reweighted(problem: Problem, seed: int) -> Problem:
    """The same architecture with other weights, images and labels, without another export."""
    pick = np.random.default_rng(seed)
    layers = []
    for layer in problem.network.layers:
        terms = []
        for term in layer.terms:
            weight = getattr(term.map, "weight", None)
            if weight is not None:
                fresh = pick.normal(size=weight.shape) * 1.5 / np.sqrt(weight[0].size)
                term = replace(term, map=replace(term.map, weight=fresh))
            terms.append(term)
        bias = np.where(layer.bias != 0, pick.normal(size=layer.bias.shape) * 0.3, 0.0)
        layers.append(replace(layer, terms=tuple(terms), bias=bias))
    network = replace(problem.network, layers=tuple(layers))
    images = pick.normal(size=problem.images.shape)
    labels = pick.integers(0, network.classes, len(images))
    return replace(problem, network=network, images=images, labels=labels)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the instances of thinned tests that need not be run each time."""
    items[:], others = thin(items, config.args)
    config.hook.pytest_deselected(items=others)


@pytest.fixture(autouse=True)
def no_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a command takes here says nothing, so it writes no lines of what it is doing."""
    monkeypatch.setattr(output, "_SILENCES", (1e9,))
    monkeypatch.setattr(output, "_BEFORE", 1e9)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is printed goes to no terminal, also where pytest's own processes are told the width of one."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture(params=BUILDERS, scope="session")
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of network in turn."""
    return str(request.param)


@pytest.fixture(scope="session")
def problem_of() -> Callable[..., Problem]:
    """problem_of(kind, seed, count): a network as trained by torch."""
    return make_problem


@pytest.fixture(scope="session")
def random_problem() -> Callable[[str, int], Problem]:
    """random_problem(kind, seed): the kind's architecture (one of three sizes), the rest by seed."""
    return lambda kind, seed: reweighted(make_problem(kind, seed % 3), seed)
