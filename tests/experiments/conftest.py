"""Tiny data and a tiny study, so that every study can be conducted in a second or two."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oamip_benchmarks.experiments.study import Asked

torch.set_num_threads(1)
SHAPE, CLASSES = (1, 4, 4), 3


def make_data(path: Path, seed: int = 0) -> str:
    """An .npz file of 90 training and 60 test images of three classes, which a small network can tell apart."""
    rng = np.random.default_rng(seed)
    patterns = rng.uniform(0, 1, (CLASSES, *SHAPE))
    parts = {}
    for part, count in (("train", 90), ("test", 60)):
        labels = np.arange(count) % CLASSES
        parts |= {f"x_{part}": patterns[labels] + 0.3 * rng.standard_normal((count, *SHAPE)), f"y_{part}": labels}
    np.savez(path, **parts)
    return str(path)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of the data."""
    return make_data(tmp_path_factory.mktemp("experiments") / "data.npz")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of data of the same shape, other images."""
    return make_data(tmp_path_factory.mktemp("other") / "other.npz", seed=1)


@pytest.fixture(scope="session")
def asked(data: str) -> Asked:
    """What a small `pruning` asks for."""
    return Asked(
        ("dense-6-4",), data, 2, epochs=20, shares=(0.5,), methods=("decoupled", "published", "critical", "random"),
        tune=1, tuned=("decoupled",),
    )  # fmt: skip


@pytest.fixture(scope="session")
def quick(asked: Asked) -> Asked:
    """The same without the methods whose scores take longest."""
    return replace(asked, methods=("published", "random"), tuned=("random",))
