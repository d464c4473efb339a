"""Thirteen small networks of torch, in the forms that people write."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from oamip_benchmarks.measures.matrix.operators import Shape


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
        """The logits, or the activations."""
        x = functional.relu(self.stem(x))
        x = functional.relu(self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x))))) + x)
        y = self.conv4(functional.relu(self.conv3(x)))
        y += self.bn(self.project(x))
        found: Tensor = self.fc(functional.relu(y).mean((2, 3)))
        return found


class Block(nn.Module):
    """A convolution and a ReLU within a module of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Identity(), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        """The logits, or the activations."""
        found: Tensor = self.body(x)
        return found


class Functional(nn.Module):
    """Modules in modules, weights without a module, dropout, views."""

    def __init__(self) -> None:
        super().__init__()
        self.block, self.drop, self.same = Block(), nn.Dropout(0.5), nn.Identity()
        self.weight = nn.Parameter(torch.randn(5, 48) * 0.2)
        self.head = nn.ModuleDict({"out": nn.Linear(5, 4)})

    def forward(self, x: Tensor) -> Tensor:
        """The logits, or the activations."""
        x = self.drop(functional.max_pool2d(self.block(x), 1))
        x = functional.relu(functional.linear(x.view(x.shape[0], -1), self.weight))
        x = functional.dropout(self.same(x), 0.3, self.training)
        found: Tensor = self.head["out"](x.reshape(x.size(0), -1))
        return found


def _convolutional(*layers: nn.Module, features: int) -> nn.Module:
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 3))


_MAKERS: dict[str, tuple[Callable[[], nn.Module], Shape]] = {
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
NETWORKS: dict[str, Callable[[], tuple[nn.Module, Shape]]] = {
    name: lambda make=make, shape=shape: (make(), shape)  # type: ignore[misc]
    for name, (make, shape) in _MAKERS.items()
}
