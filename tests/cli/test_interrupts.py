"""Ctrl-C while scores are searched for: what was found by then is saved, marked as interrupted, with exit code 130.

The signal is sent by the process to itself at a mark in the search, so that no test depends on how fast a machine is.
"""

from __future__ import annotations

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
