"""Two processes on one output: the second is told in one line before it does anything, and overwrites nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import oamip_model as om
from oamip_model.files import alone

FILES: list[tuple[str, str, list[str]]] = [
    ("score", "scores.json", ["--strategy", "joint"]),
    ("score", "scores.json", []),
    ("bounds", "bounds.npz", []),
    ("prune", "small.onnx", ["--amount", "0.5"]),
    ("baseline", "scores.json", []),
]
FOLDERS: list[list[str]] = [
    ["demo"],
    ["bench", "run", "--instance", "digits-max-n1-subtractive-continuous-ce"],
    ["bench", "export", "--instance", "digits-max-n1-subtractive-continuous-ce"],
    ["experiment", "pruning", "--network", "dense-4", "--epochs", "1", "--seeds", "1"],
    ["experiment", "refit", "--network", "dense-4", "--epochs", "1", "--seeds", "1"],
    ["experiment", "fine-tuned", "--network", "dense-4", "--epochs", "1", "--seeds", "1"],
]


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a network, training one and scoring one fail the test."""

    def called(*_: Any, **__: Any) -> None:
        raise AssertionError("work began")

    for name in ("read_network", "train", "score", "compute_bounds"):
        monkeypatch.setattr(om, name, called, raising=False)


def _refused(outcome: Any, out: Path, before: list[Path], option: str = "out") -> None:
    assert (outcome.code, outcome.out) == (2, ""), outcome
    assert outcome.err.endswith(f"{option}: another run is writing to {out}\n")
    assert outcome.err.count("\n") == 1
    assert sorted(out.parent.rglob("*")) == before


@pytest.mark.parametrize(("verb", "name", "more"), FILES)
def test_a_file_that_another_process_is_about_to_write(
    verb: str, name: str, more: list[str], files: Any, call: Callable[..., Any], tmp_path: Path, no_work: None
) -> None:
    out = tmp_path / name
    out.write_text("of the first")
    first = ["baseline", "weight-norm"] if verb == "baseline" else [verb]
    scores = ["--scores", files.scores] if verb == "prune" else []
    with alone(out, "--out"):
        before = sorted(tmp_path.rglob("*"))
        _refused(call(*first, files.net, "--data", files.data, *scores, *more, "--out", out), out, before)
    assert out.read_text() == "of the first"


BOX = ["--domain", "0,0.3", "--checker", "none"]
TREE = ["--strategy", "joint", "--search", "tree", "--sparsity", "mean", "--images", "3"]
OPTIONS: list[tuple[list[str], str, str]] = [
    (["compress", *BOX], "--out", "small.onnx"),
    (["compress", *BOX], "--certificate", "certificate.json"),
    (["distance", "{net}", "--radius", "0.1"], "--store", "boxes.jsonl"),
    (["distance", "{net}", "--radius", "0.1"], "--plot", "boxes.png"),
    (["score", *TREE], "--proof", "proof.json"),
    (["score"], "--store", "runs.jsonl"),
    (["prune", "--scores", "{scores}", "--amount", "0.5", "--refit", "outgoing"], "--out", "small.pt2"),
]


@pytest.mark.parametrize(("command", "option", "name"), OPTIONS, ids=[f"{c[0]} {option}" for c, option, _ in OPTIONS])
def test_every_file_that_a_verb_writes_is_its_own(
    command: list[str], option: str, name: str, files: Any, call: Callable[..., Any], tmp_path: Path, no_work: None
) -> None:
    out = tmp_path / name
    out.write_text("of the first")
    verb, *more = [word.format(**vars(files)) for word in command]
    with alone(out, option):
        before = sorted(tmp_path.rglob("*"))
        _refused(call(verb, files.net, *more, option, out), out, before, option)
    assert out.read_text() == "of the first"


@pytest.mark.parametrize("command", FOLDERS, ids=[" ".join(c[:2]) for c in FOLDERS])
def test_a_folder_that_another_process_is_writing_to(
    command: list[str], files: Any, call: Callable[..., Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    if command[:2] == ["bench", "run"]:
        (out / "points").mkdir()
    asked = [*command, "--data", files.data] if command[0] == "experiment" else command
    with alone(out, "out"):
        before = sorted(tmp_path.rglob("*"))
        _refused(call(*asked, "--out", out), out, before)
