"""A tiny network in an .onnx file, and labelled images for it in an .npz file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.cli import run

torch.set_num_threads(1)
SHAPE, CLASSES = (1, 3, 3), 3


@dataclass(frozen=True)
class Files:
    """The files of one tiny problem."""

    net: str
    data: str
    scores: str


@dataclass(frozen=True)
class Outcome:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("cli")
    rng = np.random.default_rng(0)
    parts = {}
    for part, count in (("train", 240), ("test", 30)):
        labels = np.arange(count) % CLASSES
        images = rng.uniform(0, 1, (count, *SHAPE))
        images[np.arange(count), 0, labels] += 1.0
        parts |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez(folder / "data.npz", **parts)
    module = om.make_network("dense-5-4", SHAPE, CLASSES)
    om.train(module, parts["x_train"], parts["y_train"], epochs=30, learning_rate=0.01, threads=1)
    om.save_module(module, folder / "net.onnx", SHAPE)
    found = Files(str(folder / "net.onnx"), str(folder / "data.npz"), str(folder / "scores.json"))
    images = om.choose_images(om.load_dataset(found.data), n=6)
    om.score(found.net, images, method=om.Joint(om.Formulation(scores="binary", sparsity="mean"))).save(found.scores)
    return found


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs ``oamip`` in this process."""

    def outcome(*arguments: str | Path) -> Outcome:
        capsys.readouterr()
        code = run([str(a) for a in arguments])
        return Outcome(code, *capsys.readouterr())

    return outcome
