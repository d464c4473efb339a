"""What is damaged in a run's folder is made again where that can be, and named elsewhere; nothing of it is run."""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from oamip_model.cli import run

STUDY = ["experiment", "pruning", "--network", "dense-4", "--epochs", "1", "--method", "random", "--tune", "0",
         "--seeds", "1", "--share", "0.5"]  # fmt: skip


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.marker),))


@pytest.fixture(scope="module")
def good(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "run"
    assert run([*STUDY, "--data", data, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def folder(good: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(good, tmp_path / "run"))


def saved(record: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(record, buffer)
    return buffer.getvalue()


NETWORKS: dict[str, Callable[[Path], bytes]] = {
    "pickled": lambda marker: saved(Payload(marker)), "text": lambda marker: b"no network", "empty": lambda marker: b"",
    "a list": lambda marker: saved([1]), "no state": lambda marker: saved({"seconds": 1.0}),
    "another shape": lambda marker: saved({"state": {"fc1.weight": torch.zeros(2, 2)}, "seconds": 1.0}),
    "no seconds": lambda marker: saved({"state": {}, "seconds": "long"}),
}  # fmt: skip


@pytest.mark.parametrize("kind", NETWORKS)
def test_a_damaged_network_is_trained_again_or_named(
    kind: str, folder: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "marker"
    (path,) = (folder / "networks").glob("*.pt")
    path.write_bytes(NETWORKS[kind](marker))
    (folder / "cells.jsonl").unlink()
    assert run([*STUDY, "--data", data, "--out", str(folder)]) == 0
    assert torch.load(path, weights_only=True)["seconds"] > 0
    assert not marker.exists()


@pytest.mark.parametrize("text", ["", "[1]", '"long"', "NaN", "-1", "1" * 5000])
def test_damaged_seconds_are_measured_again(text: str, folder: Path, data: str) -> None:
    (path,) = (folder / "scores").glob("*.seconds")
    path.write_text(text)
    (folder / "cells.jsonl").unlink()
    assert run([*STUDY, "--data", data, "--out", str(folder)]) == 0
    assert json.loads(path.read_text()) >= 0


def _changed(path: Path, *keys: Any, value: Any) -> None:
    lines = path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]
    record = at = json.loads(lines[0])
    for key in keys[:-1]:
        at = at[key]
    at[keys[-1]] = value
    path.write_text("\n".join([json.dumps(record), *lines[1:]]) + "\n")


CHANGES: list[tuple[str, tuple[Any, ...], Any, str]] = [
    ("cells.jsonl", ("record", "result"), [], "result is a list"),
    ("cells.jsonl", ("record", "result", "accuracy"), 2, "accuracy is 2"),
    ("cells.jsonl", ("record", "result", "confusion"), [["a"]], r"confusion[0][0]"),
    ("cells.jsonl", ("record", "options"), None, "options is null"),
    ("cells.jsonl", ("record", "options", "setting", "seed"), "x", "seed is 'x'"),
    ("cells.jsonl", ("record",), None, "record is null"),
    ("pruning.study.json", ("cells",), 3, "cells is 3"),
    ("pruning.study.json", ("cells", 0, "tags"), [], "tags is a list"),
    ("pruning.study.json", ("asked", "seeds"), "many", "seeds is 'many'"),
    ("pruning.study.json", ("environment", "versions"), None, "versions is null"),
    ("pruning.study.json", ("study",), 5, "study is 5"),
]


@pytest.mark.parametrize(("name", "keys", "value", "told"), CHANGES)
def test_a_record_that_is_none_is_named_by_both_verbs(
    name: str, keys: tuple[Any, ...], value: Any, told: str, folder: Path, data: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _changed(folder / name, *keys, value=value)
    before = {path: path.stat().st_size for path in folder.rglob("*")}
    for command in (["report", str(folder)], [*STUDY, "--data", data, "--out", str(folder)]):
        capsys.readouterr()
        assert run(command) == 2
        found = capsys.readouterr()
        assert (found.err.count("\n"), found.out) == (1, "")
        assert told in found.err
        assert {path: path.stat().st_size for path in folder.rglob("*")} == before


def test_a_link_in_the_place_of_a_lock_is_refused_and_its_goal_kept(
    folder: Path, data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.tex").write_text("whole")
    (folder / ".lock").symlink_to(tmp_path / "thesis.tex")
    assert run([*STUDY, "--data", data, "--out", str(folder)]) == 2
    assert ".lock is a link" in capsys.readouterr().err
    assert (tmp_path / "thesis.tex").read_text() == "whole"


@pytest.mark.parametrize("place", ["pipe", "folder", "link to nothing"])
@pytest.mark.parametrize("part", ["networks/*.pt", "scores/*.seconds", "scores/*.json", "networks/.*.lock"])
def test_what_is_no_file_in_the_place_of_one_is_refused_before_anything_is_told(
    place: str, part: str, folder: Path, data: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = next(folder.glob(part))
    path.unlink()
    if place == "pipe":
        os.mkfifo(path)
    elif place == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    for name in ("cells.jsonl", "pruning.csv"):
        (folder / name).unlink()
    before = {path: path.lstat().st_size for path in folder.rglob("*")}
    capsys.readouterr()
    assert run([*STUDY, "--data", data, "--out", str(folder)]) == 2
    found = capsys.readouterr()
    assert (found.err.count("\n"), found.out) == (1, "")
    assert f"{path.name} is a link, a folder or a device" in found.err
    assert {path: path.lstat().st_size for path in folder.rglob("*")} == before
