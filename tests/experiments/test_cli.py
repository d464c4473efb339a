"""``oamip experiment``: tables, JSON, and one line for what is wrong."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from oamip_benchmarks.experiments.cli import experiment

from oamip_model.cli import run

PRUNING = ["experiment", "pruning", "--network", "dense-6-4", "--epochs", "3", "--method", "random", "--tune", "0"]


def test_a_table_files_and_a_second_run_that_says_so(
    data: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*PRUNING, "--data", data, "--seeds", "2", "--share", "0.5", "--share", "0.25", "--out", str(tmp_path)]
    assert run(command) == 0
    told = capsys.readouterr()
    lines = told.out.splitlines()
    assert [line.split()[1] for line in lines[1:4]] == ["reference", "random", "random"]
    assert "mean ± deviation over 2 seeds" in lines
    assert told.err.splitlines()[-1] == "6/6 network dense-6-4, method random, share 0.25, scope layer, seed 1"
    assert run(command) == 0
    again = capsys.readouterr()
    assert again.out.splitlines()[:4] == lines[:4]
    assert again.out.splitlines()[-1] == f"all 6 cells were in {tmp_path} already: nothing was computed"
    assert again.err == ""
    with (tmp_path / "pruning-cells.csv").open() as file:
        cells = list(csv.DictReader(file))
    with (tmp_path / "pruning.csv").open() as file:
        means = list(csv.DictReader(file))
    for mean in means:
        found = [float(c["accuracy"]) for c in cells if (c["method"], c["share"]) == (mean["method"], mean["share"])]
        assert len(found) == 2
        assert float(mean["accuracy"]) == pytest.approx(sum(found) / 2)
    assert (tmp_path / "pruning.png").read_bytes().startswith(b"\x89PNG")
    assert run([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["cells"], record["done_now"], len(record["table"])) == (6, 0, 3)


def test_only_transfer_trains_at_a_falling_rate_unless_told() -> None:
    commands = experiment.commands
    rates = {name: next(p.default for p in commands[name].params if p.name == "schedule") for name in commands}
    assert {name: rate for name, rate in rates.items() if rate is not None} == {"transfer": "cosine"}


@pytest.mark.parametrize(("arguments", "told"), [
    (["pruning", "--network", "fc9"], "oamip: error: --network: got 'fc9', accepted are fc3"),
    (["pruning", "--data", "nothing"], "--data: nothing is not a known name"),
    (["pruning", "--share", "1.5"], "'--share'"),
    (["pruning", "--method", "best"], "'--method'"),
    (["transfer", "--method", "random"], "--share: a share is needed, or the method published, which has a threshold"),
    (["transfer", "--to", "nothing"], "--to: nothing is not a known name"),
    (["transfer", "--schedule", "step"], "'--schedule'"),
    (["pruning", "--weight", "3"], "No such option"),
    (["everything"], "No such command"),
])  # fmt: skip
def test_what_is_wrong_is_one_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["experiment", *arguments, *(["--out", str(tmp_path / "run")] if len(arguments) > 1 else [])]) == 2
    found: Any = capsys.readouterr()
    assert told in found.err
    assert (found.err.count("\n"), found.out) == (1, "")
    assert not (tmp_path / "run" / "networks").exists()
