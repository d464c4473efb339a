"""What tests of pruned modules share: images, logits, and the comparison with the network without the units."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from oamip_model.network.types import Network

REBUILT = {"functional", "fixed-view", "tied"}
"""Modules whose layers cannot be cut in place."""


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def logits(module: nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.tensor(images, dtype=torch.float32)).numpy()


def images_for(shape: tuple[int, ...], seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((20, *shape)).astype(np.float32)


def assert_same_function(module: nn.Module, network: Network, keep: dict[str, np.ndarray]) -> None:
    images = images_for(network.input_shape)
    want = network.replay(images, keep)
    np.testing.assert_allclose(logits(module, images), want, atol=1e-5 * max(1, np.abs(want).max()))
