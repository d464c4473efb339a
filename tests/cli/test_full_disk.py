"""A disk that is full: every verb that writes ends with exit code 1 and one line, and leaves nothing half-written.

The limit on the size of files stands for the disk: no file of this process can hold a single byte, and the system says
so in the call that writes, in Python as in libraries.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from oamip_benchmarks.bench.rows import Limits
from oamip_benchmarks.bench.runner import make_plan, run_plan

NET, DATA, SCORES, STORE, RUN, STUDY = "{net}", "{data}", "{scores}", "{store}", "{run}", "{study}"
INSTANCE = "digits-dense-n2-switch-binary-hinge"
SMALL = ["--network", "dense-4", "--epochs", "1", "--seeds", "1", "--method", "random", "--tune", "0", "--data", DATA]
TREE = ["--strategy", "joint", "--search", "tree", "--sparsity", "mean", "--images", "3"]
BOX = ["--domain", "0,0.3", "--checker", "none"]
VERBS: list[tuple[list[str], str]] = [
    (["score", NET, "--data", DATA, "--out", "scores.json"], "scores.json"),
    (["score", NET, "--data", DATA, "--strategy", "decoupled", "--store", "runs.jsonl"], "runs.jsonl"),
    (["score", NET, "--data", DATA, "--strategy", "joint", "--out", "scores.json"], "scores.json"),
    (["bounds", NET, "--data", DATA, "--out", "bounds.npz"], "bounds.npz"),
    (["prune", NET, "--data", DATA, "--scores", SCORES, "--amount", "0.5", "--out", "small.onnx"], "small.onnx"),
    (["prune", NET, "--data", DATA, "--scores", SCORES, "--amount", "0.5", "--out", "small.pt2"], "small.pt2"),
    (
        [
            "prune",
            NET,
            "--data",
            DATA,
            "--scores",
            SCORES,
            "--amount",
            "0.5",
            "--refit",
            "outgoing",
            "--out",
            "small.onnx",
        ],
        "small.onnx",
    ),
    (["prune", NET, "--data", DATA, "--scores", SCORES, "--macs", "0.7", "--out", "small.pt2"], "small.pt2"),
    (
        ["score", NET, "--data", DATA, "--strategy", "elimination", "--amount", "0.5", "--out", "scores.json"],
        "scores.json",
    ),
    (["score", NET, "--data", DATA, *TREE, "--proof", "proof.json"], "proof.json"),
    (["compress", NET, *BOX, "--out", "small.onnx", "--certificate", "certificate.json"], "small.onnx"),
    (["compress", NET, *BOX, "--out", "small.pt2"], "small.pt2"),
    (["compress", NET, *BOX, "--certificate", "certificate.json"], "certificate.json"),
    (
        ["distance", NET, NET, "--data", DATA, "--radius", "0.1", "--images", "3", "--store", "boxes.jsonl"],
        "boxes.jsonl",
    ),
    (["distance", NET, NET, "--data", DATA, "--radius", "0.1", "--images", "3", "--plot", "boxes.png"], "boxes.png"),
    (["baseline", "random", NET, "--out", "scores.json"], "scores.json"),
    (["tightness", NET, "--data", DATA], "tightness.jsonl"),
    (["tightness", NET, "--data", DATA, "--store", STORE, "--csv", "rows.csv"], "rows.csv"),
    (["tightness", NET, "--data", DATA, "--store", STORE, "--plot", "gaps.png"], "gaps.png"),
    (["tightness", NET, "--data", DATA, "--store", STORE, "--parquet", "rows.parquet"], "rows.parquet"),
    (["demo", "--out", "run"], "network.onnx"),
    (["bench", "run", "--instance", INSTANCE, "--out", "run"], ""),
    (["bench", "export", "--instance", INSTANCE, "--out", "run"], ""),
    (["bench", "report", RUN, "--out", "page.html"], "page.html"),
    (["bench", "report", RUN, "--out", "page.html", "--csv", "rows.csv"], "page.html"),
    (["experiment", "pruning", *SMALL, "--out", "run"], ""),
    (["experiment", "refit", *SMALL[:-4], "--data", DATA, "--share", "0.5", "--out", "run"], ""),
    (["report", STUDY, "--out", "page.html"], "page.html"),
]


@contextmanager
def full_disk() -> Iterator[None]:
    """In this block no file takes a byte more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(scope="module")
def made(files: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the verbs read: a store, a run of the benchmark and a study, all finished."""
    from oamip_model.cli import run

    folder = tmp_path_factory.mktemp("made")
    run_plan(make_plan(instances=[INSTANCE], limits=Limits(20.0)), folder / "run")
    named = vars(files) | {name: str(folder / name) for name in ("run", "study")}
    named["store"] = str(folder / "store.jsonl")
    assert run(["tightness", files.net, "--data", files.data, "--store", named["store"]]) == 0
    asked = ["experiment", "pruning", *[files.data if word == DATA else word for word in SMALL]]
    assert run([*asked, "--out", named["study"]]) == 0
    return named


@pytest.mark.parametrize(("command", "name"), VERBS, ids=[" ".join(c) for c, _ in VERBS])
def test_ends_in_one_line_and_leaves_nothing_half_written(
    command: list[str], name: str, made: dict[str, str], call: Callable[..., Any], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in Path(made["run"]).parent.rglob("*") if path.is_file()}
    with full_disk():
        outcome = call(*[word.format(**made) if word.startswith("{") else word for word in command])
    errors = [line for line in outcome.err.splitlines() if line.startswith("oamip: error: ")]
    assert outcome.code == 1, outcome
    assert len(errors) == 1
    assert outcome.err.splitlines()[-1] == errors[0]
    assert "Traceback" not in outcome.err
    assert "File too large" in errors[0]
    assert name in errors[0]
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size] == []
    # Locks of what is being made in a folder stay; no file of a result is there.
    assert [path.name for path in tmp_path.rglob("*") if path.is_file() and not path.name.endswith(".lock")] == []
    assert before == {path: path.read_bytes() for path in before}


def test_a_run_that_a_full_disk_ended_goes_on_when_there_is_room(
    made: dict[str, str], call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["score", made["net"], "--data", made["data"], "--strategy", "decoupled", "--out", "scores.json"]
    with full_disk():
        assert call(*command).code == 1
    ended = call(*command, "--json")
    assert ended.code == 0
    shutil.copy("scores.json", "first.json")
    assert ended.json()["layers"] == call(*command, "--json").json()["layers"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.json", "scores.json"]
