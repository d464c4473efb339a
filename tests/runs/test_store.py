"""The append-only store: what scoring and the benchmark write, a kill at any byte, and the same again."""

from __future__ import annotations

import json

import pytest

import oamip_model as om
from oamip_model.runs.store import LineStore, RunStore, key_of


def test_a_store_that_a_kill_cut_short_anywhere_keeps_its_whole_lines_and_goes_on(tmp_path):
    path = tmp_path / "runs.jsonl"
    store = RunStore(path)
    for number in range(3):
        store.put(f"k{number}", {"value": number})
    data = path.read_bytes()
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        again = RunStore(path)
        whole = data[:cut].count(b"\n")
        assert list(again.records) == [f"k{n}" for n in range(whole)]
        assert path.read_bytes() == data[:cut], "whoever only reads leaves the file as it is"
        again.put("new", {"value": 9})
        assert list(RunStore(path).records) == [*(f"k{n}" for n in range(whole)), "new"]


def test_lines_of_another_kind_are_refused_and_left(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("bought milk")
    with pytest.raises(om.InputError, match=r"^run: line 1 of .* has no end"):
        LineStore(path, "run")
    assert path.read_text() == "bought milk"


def test_a_row_of_the_benchmark_is_a_line_of_the_same_store(tmp_path):
    store = LineStore(tmp_path / "results.jsonl", "run")
    store.append(json.dumps({"key": "a", "seed": 0}))
    assert list(LineStore(tmp_path / "results.jsonl", "run").lines.values()) == [{"key": "a", "seed": 0}]


def test_keys_tell_what_a_solve_depends_on():
    assert key_of(a=1, b=[1, 2]) == key_of(b=[1, 2], a=1) != key_of(a=1, b=[2, 1])
