"""``oamip tightness``: its table, its files, and that the same command measures nothing twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

FEW = ["--images", "3", "--relaxation", "big-m", "--bounds", "interval", "--bounds", "lp-cutoff"]
FEW += ["--heuristic-limit", "0.3"]


def test_the_same_command_measures_nothing_twice(files: Any, call: Any, tmp_path: Path) -> None:
    store, table = tmp_path / "rows.jsonl", tmp_path / "rows.csv"
    asked = [files.net, "--data", files.data, *FEW, "--time-limit", "20", "--store", store]
    first = call("tightness", *asked, "--json", "--csv", table)
    assert (first.code, first.err) == (0, "")
    told = first.json()
    assert [(row["bounds"], row["status"]) for row in told["rows"]] == [
        ("interval", "optimal"),
        ("lp-cutoff", "optimal"),
    ]
    assert (told["planned"], told["found"], told["csv"]) == (2, 0, str(table))
    assert len(table.read_text().splitlines()) == 3
    lines = store.read_text()
    again = call("tightness", *asked)
    assert again.err == f"oamip: 2 of 2 rows were in {store}\n"
    assert store.read_text() == lines
    assert [line.split()[1:4] for line in again.out.splitlines()[1:3]] == [
        ["subtractive", "big-m", "interval"], ["subtractive", "big-m", "lp-cutoff"],
    ]  # fmt: skip
    assert "best objective known" in again.out


@pytest.mark.parametrize(("arguments", "culprit"), [
    (["--gate", "guess"], "--gate"), (["--bounds", "guess"], "--bounds"), (["--images", "0"], "--images"),
    (["--time-limit", "-1"], "'--time-limit': -1.0 is not in the range"),
    (["--solver", "nobody"], "--solver: got 'nobody'"),
    (["--csv", "rows.txt"], "--csv: rows.txt is not a name ending in .csv"),
    (["--plot", "gaps.csv"], "--plot: gaps.csv is not a name ending in .png or .pdf or .svg"),
    (["--store", "rows.json"], "--store: rows.json is not a name ending in .jsonl"),
    (["--gate", "switch", "--score-type", "continuous"], "gate switch takes binary scores"),
])  # fmt: skip
def test_bad_input_is_one_line(arguments: list[str], culprit: str, files: Any, call: Any, tmp_path: Path) -> None:
    store = [] if "--store" in arguments else ["--store", tmp_path / "rows.jsonl"]
    told = call("tightness", files.net, "--data", files.data, *store, *arguments)
    assert (told.code, told.out) == (2, "")
    assert culprit in told.err
    assert told.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_network_given_twice_is_refused(files: Any, call: Any) -> None:
    told = call("tightness", files.net, files.net, "--data", files.data)
    assert (told.code, told.err) == (2, "oamip: error: NET: a network is given twice\n")
