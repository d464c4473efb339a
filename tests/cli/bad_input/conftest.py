"""What bad input must not do, for every table of it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oamip_model as om
from oamip_model.cli import run
from oamip_model.solving import registry


@pytest.fixture(scope="session")
def places(files: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files of every kind by name: those of the tiny problem, and what the verbs about certificates make of it."""
    folder = tmp_path_factory.mktemp("made")
    names = {"small": "small.onnx", "certificate": "c.json", "proof": "p.json", "boxes": "b.jsonl", "box": "box.npz"}
    found = vars(files) | {name: str(folder / file) for name, file in names.items()}
    np.savez(found["box"], lower=np.zeros(9), upper=np.full(9, 0.3))
    tree = ["--strategy", "joint", "--search", "tree", "--sparsity", "mean", "--images", "3"]
    made = [
        ["compress", files.net, "--domain", found["box"], "--checker", "none", "--out", found["small"],
         "--certificate", found["certificate"]],
        ["distance", files.net, found["small"], "--data", files.data, "--images", "3", "--radius", "0.01",
         "--store", found["boxes"]],
        ["score", files.net, "--data", files.data, *tree, "--proof", found["proof"]],
    ]  # fmt: skip
    for command in made:
        assert run(command) == 0, command
    return found


@pytest.fixture
def refused(
    call: Callable[..., Any],
    places: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[list[str], str], None]]:
    """Asserts that a command is refused, in an empty folder, before anything that takes long is begun."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    # A module that is first imported in this test keeps what it finds, so what stands in works again afterwards.
    over: list[bool] = []

    def guard(where: Any, name: str) -> None:
        original = getattr(where, name)

        def begun(*given: Any, **options: Any) -> Any:
            assert over, "work began before all that was given was checked"
            return original(*given, **options)

        monkeypatch.setattr(where, name, begun, raising=False)

    for name in ("train", "train_greedy", "save_module"):
        guard(om, name)
    for name in ("open_session", "solve_once"):
        guard(registry, name)
    for place in (
        "oamip_model.training.loop.train",
        "oamip_benchmarks.bench.runner.run_one",
        "oamip_benchmarks.bench.files.export.build_program",
        "oamip_benchmarks.bench.watch.run_plan",
    ):
        module, _, name = place.rpartition(".")
        guard(importlib.import_module(module), name)

    def check(command: list[str], told: str) -> None:
        given = [word.format(**places) if word.startswith("{") else word for word in command]
        before = {path: Path(path).read_bytes() for path in places.values()}
        outcome = call(*given)
        assert (outcome.code, outcome.out) == (2, ""), outcome
        assert outcome.err.startswith("oamip: error: ")
        assert outcome.err.count("\n") == 1
        assert told in outcome.err
        assert list(work.iterdir()) == []
        assert before == {path: Path(path).read_bytes() for path in places.values()}

    yield check
    over.append(True)
