"""The untrained networks of the library, and the sizes of those that are planted."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

SEED = 2023
PLANTED_SHAPES = {"planted-easy": (6, 4, 3), "planted-middle": (10, 8, 5), "planted-hard": (16, 12, 7)}
"""Inputs, directions, and bends on either side of each."""


class Residual(nn.Module):
    """A stem, a block whose shortcut ties units, and average pooling."""

    def __init__(self, side: int, stride: int, width: int, inner: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, stride, stride=stride)
        self.inner = nn.Conv2d(width, inner, 3, padding=1)
        self.outer = nn.Conv2d(inner, width, 3, padding=1)
        self.head = nn.Linear(width * (side // stride // 2) ** 2, 10)

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        x = functional.relu(self.stem(x))
        x = functional.relu(x + self.outer(functional.relu(self.inner(x))))
        return self.head(functional.avg_pool2d(x, 2).flatten(1))  # type: ignore[no-any-return]


def dense(pool: int, *sizes: int) -> nn.Sequential:
    """Dense layers behind average pooling of the image by ``pool``."""
    layers: list[nn.Module] = [nn.AvgPool2d(pool)] if pool > 1 else []
    layers.append(nn.Flatten())
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 10))


def convolutional(*parts: nn.Module, features: int, hidden: int = 0) -> nn.Sequential:
    """Parts, then a dense classifier with at most one hidden layer."""
    middle = [nn.Linear(features, hidden), nn.ReLU()] if hidden else []
    return nn.Sequential(*parts, nn.Flatten(), *middle, nn.Linear(hidden or features, 10))


def architectures() -> dict[str, tuple[str, nn.Module]]:
    """The data set and the untrained module of each network, by name.

    Weights are torch's own initial ones from the seed.
    """
    torch.manual_seed(SEED)
    conv, pool, most, relu = nn.Conv2d, nn.AvgPool2d, nn.MaxPool2d, nn.ReLU
    return {
        "digits-dense": ("digits", dense(1, 64, 12, 8)),
        "digits-deep": ("digits", dense(1, 64, 8, 8, 8)),
        "digits-wide": ("digits", dense(1, 64, 32, 24)),
        "digits-conv": ("digits", convolutional(conv(1, 4, 3, 2), relu(), conv(4, 6, 2), relu(), features=24)),
        "digits-average": ("digits", convolutional(conv(1, 4, 3), relu(), pool(2), features=36, hidden=12)),
        "digits-max": ("digits", convolutional(conv(1, 4, 3), relu(), most(2), features=36, hidden=10)),
        "digits-residual": ("digits", Residual(8, 2, 4, 3)),
        "fashion-dense": ("fashion", dense(4, 49, 16, 12)),
        "fashion-deep": ("fashion", dense(4, 49, 16, 12, 12)),
        "fashion-wide": ("fashion", dense(4, 49, 64, 48)),
        "fashion-conv": ("fashion", convolutional(conv(1, 4, 4, 4), relu(), conv(4, 6, 3, 2), relu(), features=54)),
        "fashion-average": (
            "fashion", convolutional(conv(1, 4, 5, 2), relu(), pool(2), conv(4, 6, 3), relu(), features=96, hidden=16)
        ),
        "fashion-max": ("fashion", convolutional(conv(1, 4, 4, 4), relu(), most(3, 2), features=36, hidden=16)),
        "fashion-residual": ("fashion", Residual(28, 4, 6, 4)),
    }  # fmt: skip
