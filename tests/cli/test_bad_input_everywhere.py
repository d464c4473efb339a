"""Bad input in every verb that test_bad_input.py leaves out: exit code 2, one line, and no work before it is told."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oamip_model as om
from oamip_model.pruning.save import save_module
from oamip_model.solving import registry

SHAPE, CLASSES = (1, 3, 3), 3
NET, DATA, SCORES = "{net}", "{data}", "{scores}"
Case = tuple[list[str], str]

NUMBERS = ["nan", "inf", "-inf", "1e999", "abc", "", "0x10", "1,5"]
BOUNDS: list[Case] = [
    *((["--time-limit", value], "--time-limit") for value in (*NUMBERS, "0", "-1")),
    *((["--weight", value, "--cutoff", "1"], "--weight") for value in (*NUMBERS, "-1")),
    *((["--cutoff", value], "--cutoff") for value in NUMBERS),
    *((["--epsilon", value, "--gate", "published"], "--epsilon") for value in ("nan", "-1", "inf")),
    *((["--jobs", value], "--jobs") for value in ("0", "-1", "1.5", "many", "99999999999")),
    *((["--seed", value], "--seed") for value in ("-1", "1.5", "99999999999")),
    *((["--images", value], "--images") for value in ("0", "-1", "1.5", "some", "99999999999")),
    (["--images", "all", "--correct-only"], "--correct-only"),
    (["--epsilon", "0.1"], "--epsilon"),
    (["--solve-limit", "1"], "--solve-limit"),
    (["--weight", "1"], "--weight"),
    (["--cutoff", "1"], "--cutoff"),
    (["--method", "lp", "--gate", "published"], "bounds: lp"),
    (["--method", "lp", "--solver", "nosuch"], "--solver"),
    (["--method", "nosuch"], "--method"),
    (["--gate", "nosuch"], "--gate"),
    (["--out", "bounds.json"], "--out"),
    (["--out", "nowhere/bounds.npz"], "--out"),
    (["--out", "."], "--out"),
    (["--out", NET], "--out"),
    (["--data", "missing.npz"], "missing.npz"),
    (["--data", "."], "--data"),
    (["--data", NET], "--data"),
    (["--input-shape", "9"], "--input-shape"),
    (["--input-shape", "-1,3,3"], "--input-shape"),
]
BASELINE: list[Case] = [
    (["nosuch", NET], "nosuch"),
    (["critical", NET], "--scores"),
    (["random", NET, "--scores", SCORES], "--scores"),
    (["critical", NET, "--scores", "missing.json"], "missing.json"),
    (["critical", NET, "--scores", NET], "net.onnx"),
    (["critical", NET, "--scores", "."], "--scores"),
    (["random", NET, "--seed", "-1"], "--seed"),
    (["snip", NET, "--images", "0"], "--images"),
    (["snip", NET, "--images", "99999"], "--images"),
    (["snip", NET, "--data", "missing.npz"], "missing.npz"),
    (["random", NET, "--out", "scores.txt"], "--out"),
    (["random", NET, "--out", "nowhere/scores.json"], "--out"),
    (["random", "missing.onnx"], "missing.onnx"),
    (["random", DATA], "accepted are .pt2 and .onnx"),
    (["random", "."], "is a folder"),
    (["random"], "NET"),
]
TIGHTNESS: list[Case] = [
    *(([f"--{name}", value], f"--{name}") for name in ("time-limit", "bounds-limit", "heuristic-limit")
      for value in ("nan", "inf", "0", "-1", "soon")),
    *((["--tolerance", value], "--tolerance") for value in ("nan", "inf", "0", "1", "-1", "tight")),
    *(([f"--{name}", value], f"--{name}") for name in ("weight", "margin") for value in ("nan", "inf", "-1")),
    *((["--jobs", value], "--jobs") for value in ("0", "-1", "1.5")),
    *((["--threads", value], "--threads") for value in ("0", "-1", "1.5")),
    (["--images", "0"], "--images"),
    (["--images", "99999"], "--images"),
    (["--gate", "nosuch"], "--gate"),
    (["--bounds", "nosuch"], "--bounds"),
    (["--relaxation", "nosuch"], "--relaxation"),
    (["--solver", "nosuch"], "--solver"),
    (["--store", "rows.csv"], "--store"),
    (["--store", "nowhere/rows.jsonl"], "--store"),
    (["--csv", "rows.txt"], "--csv"),
    (["--plot", "gaps.doc"], "--plot"),
    (["--plot", "nowhere/gaps.png"], "--plot"),
    (["--parquet", "rows.csv"], "--parquet"),
    ([NET], "twice"),
    (["missing.onnx"], "missing.onnx"),
]  # fmt: skip
SCORE_AND_PRUNE: list[Case] = [
    *((["score", NET, f"--{name}", value], f"--{name}")
      for name in ("time-limit", "total-time-limit") for value in ("nan", "inf", "0", "-1")),
    (["score", NET, "--strategy", "joint", "--log-file", "."], "--log-file"),
    (["score", NET, "--bounds", "missing.npz", "--strategy", "joint"], "missing.npz"),
    (["score", NET, "--bounds", DATA, "--strategy", "joint"], "data.npz"),
    (["score", NET, "--store", "runs.json"], "--store"),
    (["score", NET, "--store", NET], "--store"),
    (["score", NET, "--engine", "dask"], "--scheduler"),
    (["score", NET, "--scheduler", "tcp://127.0.0.1:1"], "--scheduler"),
    (["score", NET, "--engine", "dask", "--scheduler", "nowhere", "--strategy", "decoupled"], "--scheduler"),
    (["score", "missing.onnx", "--data", DATA], "missing.onnx"),
    (["score", NET, NET], "unexpected extra argument"),
    (["prune", NET, "--scores", ".", "--amount", "0.5"], "--scores"),
    (["prune", NET, "--scores", DATA, "--amount", "0.5"], "data.npz"),
    (["prune", NET, "--scores", SCORES, "--amount", "inf"], "--amount"),
    (["prune", NET, "--scores", SCORES, "--amount", "nan"], "--amount"),
    (["prune", NET, "--scores", SCORES, "--amount", "0.5", "--split", "half"], "--split"),
    (["prune", NET, "--scores", SCORES, "--amount", "0.5", "--out", SCORES], "--out"),
    (["demo", "extra"], "extra"),
    (["demo", "--out", NET], "--out"),
]  # fmt: skip
EXPERIMENT: list[Case] = [
    *((["pruning", "--share", value], "--share") for value in ("nan", "inf", "0", "1", "-0.5", "half")),
    *((["pruning", f"--{name}", value], f"--{name}")
      for name in ("images", "epochs", "seeds", "jobs", "training-images") for value in ("0", "-1", "1.5", "nan")),
    (["pruning", "--training-images", "99999999"], "--training-images"),
    (["pruning", "--images", "99999999"], "--images"),
    (["images", "--images", "99999999"], "--images"),
    (["images", "--images", "0"], "--images"),
    (["weight", "--weight", "nan"], "--weight"),
    (["weight", "--weight", "0"], "--weight"),
    (["weight", "--weight", "inf"], "--weight"),
    (["pruning", "--tune", "-1"], "--tune"),
    (["pruning", "--device", "tpu"], "--device"),
    (["pruning", "--network", "dense-0"], "--network"),
    (["pruning", "--network", "lenet5"], "--network"),
    (["pruning", "--data", "missing.npz"], "missing.npz"),
    (["pruning", "--data", NET], "--data"),
    (["pruning", "--download"], "--download"),
    (["pruning", "--out", NET], "--out"),
    (["while-training", "--every", "0"], "--every"),
    (["classes", "--per-class", "0"], "--per-class"),
    (["classes", "--per-class", "99999999"], "--per-class"),
    (["snip", "--keep", "nan"], "--keep"),
    (["transfer", "--to", "missing.npz"], "missing.npz"),
]  # fmt: skip
BENCH: list[Case] = [
    *((["run", "--grace", value], "--grace") for value in ("nan", "inf", "-1", "soon")),
    *((["run", "--tolerance", value], "--tolerance") for value in ("nan", "0", "1", "inf")),
    *((["run", "--time-limit", value], "--time-limit") for value in ("nan", "0", "inf", "-1")),
    *((["run", f"--{name}", value], f"--{name}") for name in ("seeds", "memory", "threads", "jobs")
      for value in ("0", "-1", "1.5")),
    (["run", "--solver", "nosuch"], "--solver"),
    (["run", "--bounds", "nosuch"], "--bounds"),
    (["run", "--relaxation", "nosuch"], "--relaxation"),
    (["run", "--size", "huge"], "--size"),
    (["run", "--instance", "nosuch"], "--instance"),
    (["run", "--out", NET], "--out"),
    (["export", "--time-limit", "nan"], "--time-limit"),
    (["export", "--format", "txt"], "--format"),
    (["export", "--instance", "nosuch"], "--instance"),
    (["export", "--out", NET], "--out"),
    (["watch", "--time-limit", "0"], "--time-limit"),
    (["watch", "--instance", "nosuch"], "--instance"),
    (["compare", ".", "."], "run"),
    (["compare", "missing", "."], "missing"),
    (["compare", ".", ".", "--draws", "1"], "--draws"),
    (["report", "missing"], "missing"),
    (["report", "."], "run"),
    (["report", ".", "--csv", "rows.txt"], "--csv"),
    (["report", ".", "--out", "nowhere/page.html"], "--out"),
    (["check", "missing"], "missing"),
    (["check-files", "."], "index.json"),
    (["check-files", ".", "--time-limit", "nan"], "--time-limit"),
]  # fmt: skip
REPORT: list[Case] = [
    (["."], "run"),
    (["missing"], "missing"),
    ([NET], "net.onnx"),
    ([".", "--out", "page.txt"], "--out"),
    ([".", "--out", "nowhere/page.html"], "--out"),
]
CASES = [
    *((["bounds", NET, "--data", DATA, *more], told) for more, told in BOUNDS),
    *((["baseline", *more] + (["--data", DATA] if "--data" not in more else []), told) for more, told in BASELINE),
    *((["tightness", NET, "--data", DATA, *more], told) for more, told in TIGHTNESS),
    *(([*more, *(["--data", DATA] if more[0] != "demo" and "--data" not in more else [])], told)
      for more, told in SCORE_AND_PRUNE),
    *((["experiment", *more, *(["--data", DATA] if "--data" not in more else []),
        *(["--network", "dense-4"] if "--network" not in more else [])], told) for more, told in EXPERIMENT),
    *((["bench", *more], told) for more, told in BENCH),
    *((["report", *more], told) for more, told in REPORT),
]  # fmt: skip


@pytest.fixture
def refused(
    call: Callable[..., Any],
    files: Any,
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
    places: tuple[str, ...] = ("oamip_model.training.loop.train", "oamip_benchmarks.bench.runner.run_one")
    for place in (
        *places,
        "oamip_benchmarks.bench.files.export.build_program",
        "oamip_benchmarks.bench.watch.run_plan",
    ):
        module, _, name = place.rpartition(".")
        guard(importlib.import_module(module), name)

    def check(command: list[str], told: str) -> None:
        given = [word.format(**vars(files)) if word.startswith("{") else word for word in command]
        before = {path: Path(path).read_bytes() for path in vars(files).values()}
        outcome = call(*given)
        assert (outcome.code, outcome.out) == (2, ""), outcome
        assert outcome.err.startswith("oamip: error: ")
        assert outcome.err.count("\n") == 1
        assert told in outcome.err
        assert list(work.iterdir()) == []
        assert before == {path: Path(path).read_bytes() for path in vars(files).values()}

    yield check
    over.append(True)


@pytest.mark.parametrize(("command", "told"), CASES, ids=[" ".join(c).replace("--data {data}", "") for c, _ in CASES])
def test_is_refused(command: list[str], told: str, refused: Callable[[list[str], str], None]) -> None:
    refused(command, told)


ARRAYS: list[tuple[dict[str, Any], str]] = [
    ({"images": np.ones((6, 1, 3, 3), dtype="U3"), "labels": np.arange(6) % 3}, "pixels of type"),
    ({"images": np.ones((6, 1, 3, 3), dtype=complex), "labels": np.arange(6) % 3}, "pixels of type"),
    ({"images": np.full((6, 1, 3, 3), np.inf), "labels": np.arange(6) % 3}, "image 0"),
    ({"images": np.ones((6, 1, 3, 3)), "labels": np.arange(5) % 3}, "labels"),
    ({"images": np.ones((6, 1, 3, 3)), "labels": np.arange(6) / 2}, "label"),
    ({"images": np.ones((6, 1, 3, 3)), "labels": np.full(6, np.nan)}, "label"),
    ({"images": np.ones((6, 1, 3, 3)), "labels": np.ones((6, 2), dtype=int)}, "labels"),
    ({"images": np.float64(3.0), "labels": np.arange(6)}, "images"),
    ({"pixels": np.ones((6, 1, 3, 3)), "labels": np.arange(6)}, "images"),
    ({"images": np.ones((6, 1, 3, 3))}, "labels"),
    ({"images": np.ones((0, 1, 3, 3)), "labels": np.zeros(0, dtype=int)}, "no images"),
    ({"images": np.ones((6, 3, 3, 1, 2)), "labels": np.arange(6) % 3}, "images"),
    ({"images": np.array([{}] * 6, dtype=object), "labels": np.arange(6)}, "bad.npz"),
]


@pytest.mark.parametrize(("arrays", "told"), ARRAYS, ids=[str(number) for number in range(len(ARRAYS))])
@pytest.mark.parametrize("verb", ["score", "bounds", "tightness", "baseline", "prune"])
def test_arrays_are_refused(
    verb: str, arrays: dict[str, Any], told: str, refused: Callable[[list[str], str], None], tmp_path: Path
) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    first = {"baseline": ["baseline", "snip"]}
    first["prune"] = ["prune", "--scores", SCORES, "--amount", "0.5", "--split", "all"]
    refused([*first.get(verb, [verb]), NET, "--data", str(tmp_path / "bad.npz")], told)


@pytest.mark.parametrize("verb", ["score", "bounds", "tightness", "baseline", "prune"])
def test_a_network_of_other_classes_is_refused(
    verb: str, refused: Callable[[list[str], str], None], tmp_path: Path
) -> None:
    if verb in ("bounds", "baseline"):
        pytest.skip("it reads no labels")
    net = save_module(om.make_network("dense-5-4", SHAPE, CLASSES - 1), tmp_path / "two.onnx", SHAPE)
    refused([verb, str(net), "--data", DATA, *(["--scores", SCORES, "--amount", "0.5"] if verb == "prune" else [])],
            "accepted are integers from 0 to 1")  # fmt: skip


@pytest.mark.parametrize("change", [{"by_layer": {"nosuch": [0.5]}}, {"by_layer": []}, {"strategy": 3}])
def test_scores_of_unknown_layers_or_kinds_are_refused(
    change: dict[str, Any], refused: Callable[[list[str], str], None], files: Any, tmp_path: Path
) -> None:
    record = json.loads(Path(files.scores).read_text()) | change
    (tmp_path / "changed.json").write_text(json.dumps(record))
    told = "nosuch" if change.get("by_layer") else "changed.json"
    for verb in (["prune", NET, "--amount", "0.5"], ["baseline", "critical", NET]):
        refused([*verb, "--data", DATA, "--scores", str(tmp_path / "changed.json")], told)


@pytest.mark.parametrize("folder", ["no-permission"])
def test_a_folder_without_permission_is_refused(
    folder: str, refused: Callable[[list[str], str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whoever runs the tests may be allowed everything, so the question is answered here.
    monkeypatch.setattr("oamip_model.files.os.access", lambda path, mode: False)
    (tmp_path / folder).mkdir()
    for verb in (["score", NET], ["baseline", "random", NET], ["bounds", NET]):
        name = "bounds.npz" if verb[0] == "bounds" else "scores.json"
        refused([*verb, "--data", DATA, "--out", str(tmp_path / folder / name)], "permission denied")
    refused(["demo", "--out", str(tmp_path / folder)], "permission denied")
