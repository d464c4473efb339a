"""What the library takes from a run: only checked rows of the program as it is now, and who found what."""

from __future__ import annotations

import json
import shutil

import pytest
from oamip_benchmarks.bench.recipes import LIBRARY, Best, find_recipe
from oamip_benchmarks.bench.rows import Solve
from oamip_benchmarks.make_instances import take_best

NAME = "digits-dense-n2-switch-binary-hinge"
OTHER = "digits-deep-n2-switch-binary-hinge"


@pytest.fixture
def taken(tmp_path):
    """A function that takes rows into a copy of the library without anything known, and gives back its entries."""
    folder, run = tmp_path / "library", tmp_path / "run"
    folder.mkdir()
    run.mkdir()
    shutil.copy(LIBRARY / "instances.json", folder)
    text = json.loads((folder / "instances.json").read_text())
    for entry in text["instances"]:
        entry |= {"best": vars(Best()), "classified": "", "size": "small"}
    (folder / "instances.json").write_text(json.dumps(text))

    def take(*rows):
        (run / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        take_best(folder, run)
        entries = json.loads((folder / "instances.json").read_text())["instances"]
        return {entry["name"]: entry for entry in entries}

    return take


def made(name, solver, status, objective, bound, seconds=1.0, seed=0, bounds="interval", **more):
    solve = Solve(name, bounds, "big-m", solver, "1.2", seed, 1, 60.0, 1e-4, 4096)
    row = solve.row() | {
        "status": status,
        "objective": objective,
        "bound": bound,
        "wall_seconds": seconds,
        "message": "",
    }
    return row | {"check": None if objective is None else {"passed": True}} | more


def test_the_better_of_each_side_is_kept_with_its_finder(taken):
    found = taken(
        made(NAME, "highs", "optimal", 2.0, 1.9998, 3.0),
        made(NAME, "scip", "feasible", 2.5, 1.9999, 60.0),
        made(OTHER, "highs", "feasible", 7.0, 1.0, 60.0),
        made(OTHER, "cbc", "optimal", 6.0, 5.9999, 40.0),
    )
    best = found[NAME]["best"]
    assert (best["objective"], best["objective_by"]) == (2.0, "highs 1.2, 60 s")
    assert (best["bound"], best["bound_by"]) == (1.9999, "scip 1.2, 60 s")
    assert (found[NAME]["size"], found[NAME]["classified"]) == ("small", "solved by highs 1.2 in 3.0 s")
    assert (found[OTHER]["best"]["objective"], found[OTHER]["best"]["objective_by"]) == (6.0, "cbc 1.2, 60 s")
    assert found[OTHER]["size"] == "medium"
    assert found[OTHER]["classified"] == "not solved by highs 1.2 in 60 s, nor run for an hour"
    # A worse run later takes nothing away.
    again = taken(made(NAME, "highs", "feasible", 3.0, 0.5, 60.0, seed=1))
    assert again[NAME] == found[NAME]


def test_rows_that_prove_nothing_are_left_out(taken):
    recipe = find_recipe(NAME)
    found = taken(
        made(NAME, "highs", "optimal", 1.0, 1.0, check={"passed": False}),
        made(NAME, "highs", "optimal", 1.1, 1.1, seed=1, key="of the program as it was"),
        made(NAME, "highs", "optimal", 1.2, 1.2, seed=2, bounds="lp"),
    )
    assert found[NAME]["best"] == vars(Best())
    assert found[NAME]["sha256"] == recipe.sha256
