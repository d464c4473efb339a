"""Ctrl-C while scores are searched for: what was found by then is saved, marked as interrupted, with exit code 130.

The signal is sent by the process to itself at a mark in the search, so that no test depends on how fast a machine is.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
from one_line import without_signs_of_life

import oamip_model as om

AT = """
import os, signal, sys
from {module} import {owner}
plain, calls = {owner}.{name}, [0]
def marked(self, *rest):
    calls[0] += 1
    if calls[0] == {at}:
        os.kill(os.getpid(), signal.{number})
    return plain(self, *rest)
{owner}.{name} = marked
from oamip_model.cli import main
main()
"""
HEURISTIC = {"module": "oamip_model.scoring.joint.heuristic", "owner": "Search"}
TREE = {"module": "oamip_model.solving.treesearch.tree", "owner": "Tree"}
MARKS = [
    (HEURISTIC | {"name": "descend", "at": 1}, "SIGINT", 130),
    (HEURISTIC | {"name": "disturbed", "at": 2}, "SIGTERM", 143),
    (TREE | {"name": "_look_at", "at": 1}, "SIGINT", 130),
    (TREE | {"name": "_note", "at": 2}, "SIGTERM", 143),
]


def ended_at(mark: dict[str, Any], number: str, asked: list[str]) -> tuple[int, str]:
    """The exit code and the errors of a command that a signal comes to at a mark."""
    ended = subprocess.run(
        [sys.executable, "-c", AT.format(number=number, **mark), *asked], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return ended.returncode, without_signs_of_life(ended.stderr)


NOTHING = "oamip: error: interrupted, nothing was saved\n"
STABLE = {"module": "oamip_model.certify.stable", "owner": "_Search", "name": "_in_time", "at": 2}
REFIT = {"module": "oamip_model.refit.moments", "owner": "Rows", "name": "add", "at": 1}


@pytest.mark.parametrize(("mark", "number", "code"), [(STABLE, "SIGINT", 130), (STABLE, "SIGTERM", 143),
                                                      (REFIT, "SIGINT", 130), (REFIT, "SIGTERM", 143)])  # fmt: skip
def test_a_result_that_is_not_complete_is_not_saved(
    mark: dict[str, Any], number: str, code: int, files: Any, tmp_path: Path
) -> None:
    out, certificate = str(tmp_path / "small.onnx"), str(tmp_path / "c.json")
    asked = ["compress", files.net, "--domain", "0,1", "--out", out, "--certificate", certificate]
    if mark is REFIT:
        asked = ["prune", files.net, "--scores", files.scores, "--data", files.data, "--amount", "0.5"]
        asked += ["--refit", "outgoing", "--out", out]
    assert ended_at(mark, number, asked) == (code, NOTHING)
    assert list(tmp_path.iterdir()) == []


def test_boxes_that_are_finished_are_kept_and_not_done_again(files: Any, tmp_path: Path) -> None:
    store = tmp_path / "boxes.jsonl"
    asked = ["distance", files.net, files.net, "--data", files.data, "--images", "3", "--radius", "0.1"]
    asked += ["--store", str(store)]
    mark = {"module": "oamip_model.certify.distances", "owner": "_Search", "name": "same_class", "at": 3}
    code, _ = ended_at(mark, "SIGINT", asked)
    first = store.read_text()
    assert (code, first.count("\n")) == (130, 2)
    # Of the three boxes one is left.
    code, _ = ended_at(mark | {"at": 2}, "SIGINT", asked)
    assert code in (0, 3)
    assert store.read_text().startswith(first)
    assert store.read_text().count("\n") == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["boxes.jsonl"]


@pytest.mark.parametrize(("mark", "number", "code"), MARKS, ids=[f"{m['owner']}.{m['name']}" for m, _, _ in MARKS])
def test_the_best_so_far_is_saved(mark: dict[str, Any], number: str, code: int, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    asked = ["score", files.net, "--data", files.data, "--images", "6", "--strategy", "joint", "--heuristic"]
    asked += ["--search", "tree"] if mark["owner"] == "Tree" else []
    ended = forked.run(AT.format(number=number, **mark), *asked, "--out", str(out))
    assert (ended.returncode, without_signs_of_life(ended.stderr)) == (code, "oamip: interrupted\n")
    assert "interrupted" in ended.stdout
    found = om.load_scores(out)
    assert (found.interrupted, found.proved, found.status) == (True, False, "feasible")
    assert found.programs[0].replay is not None
    assert found.programs[0].replay.passed
    # No worse than the trained network, which is the first incumbent.
    images = om.choose_images(om.load_dataset(files.data), n=6)
    network = om.read_network(files.net)
    ones = {group.name: np.ones(group.size) for group in network.groups}
    kept = om.solve_instance(om.build_instance(network, *images), start=ones, interrupted=True)
    assert found.objective is not None
    assert kept.objective is not None
    assert found.objective <= kept.objective + 1e-9
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scores.json"]
