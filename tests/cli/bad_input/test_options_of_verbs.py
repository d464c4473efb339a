"""Options of the verbs about scores and bounds: exit code 2, one line, and no work before it is told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

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
    (["random", DATA], "accepted are .pt2, .onnx and .nnet"),
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
    *((["report", *more], told) for more, told in REPORT),
]  # fmt: skip


@pytest.mark.parametrize(("command", "told"), CASES, ids=[" ".join(c).replace("--data {data}", "") for c, _ in CASES])
def test_is_refused(command: list[str], told: str, refused: Callable[[list[str], str], None]) -> None:
    refused(command, told)
