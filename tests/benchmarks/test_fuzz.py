"""A few files of each of the quick kinds, damaged: every one is refused in one line, or does no harm."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from made_rows import run_rows, write_run
from oamip_benchmarks import mutations as by

from oamip_model.cli import run


@pytest.mark.parametrize("seed", range(40))
def test_damaged_rows_are_refused_in_one_line_or_told(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", run_rows(instances=2, seeds=1))
    pick = random.Random(seed)
    path = folder / pick.choice(["results.jsonl", "results.jsonl", "environment.json"])
    told = pick.choice([by.damage_json, by.damage_json, by.damage_bytes, by.damage_place])(path, pick)
    before = sorted(folder.iterdir())
    code = run(["bench", "compare", str(folder), str(folder), "--draws", "100"])
    found = capsys.readouterr()
    assert code in (0, 2), told
    if code == 2:
        assert found.err.startswith("oamip: error: "), told
        assert (found.err.count("\n"), found.out) == (1, ""), told
    assert sorted(folder.iterdir()) == before
