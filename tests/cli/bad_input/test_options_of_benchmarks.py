"""Options of studies and of the benchmark: exit code 2, one line, and nothing trained, solved or written."""

from __future__ import annotations

from collections.abc import Callable

import pytest

NET, DATA = "{net}", "{data}"
Case = tuple[list[str], str]

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
CASES = [
    *((["experiment", *more, *(["--data", DATA] if "--data" not in more else []),
        *(["--network", "dense-4"] if "--network" not in more else [])], told) for more, told in EXPERIMENT),
    *((["bench", *more], told) for more, told in BENCH),
]  # fmt: skip


@pytest.mark.parametrize(("command", "told"), CASES, ids=[" ".join(c).replace("--data {data}", "") for c, _ in CASES])
def test_is_refused(command: list[str], told: str, refused: Callable[[list[str], str], None]) -> None:
    refused(command, told)
