"""The benchmark's verbs as users call them: what they print, and a line and an exit code for every mistake."""

from __future__ import annotations

import json
import shutil
import sys

import numpy as np
import pytest
from made_rows import row, write_run
from oamip_benchmarks.bench.recipes import find_recipe, load_library
from oamip_benchmarks.bench.rows import Limits
from oamip_benchmarks.bench.runner import make_plan, run_plan

from oamip_model.cli import run
from oamip_model.errors import SolverMissingError

pytestmark = pytest.mark.xdist_group("bench verbs")  # what its fixtures make takes long

HINGE = "digits-dense-n2-switch-binary-hinge"


@pytest.fixture
def call(capsys):
    """Calls ``oamip bench``: exit code, standard output, standard error."""

    def called(*arguments):
        code = run(["bench", *map(str, arguments)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return called


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder of a run of one solve."""
    folder = tmp_path_factory.mktemp("run")
    run_plan(make_plan(instances=[HINGE], limits=Limits(20.0)), folder)
    return folder


def test_a_size_that_a_licence_forbids_is_a_row_and_no_failure(call, tmp_path):
    """By Gurobi's licence without charge; where there is a full one, the solve is one like any other."""
    from oamip_model.solving.registry import get_backend

    try:
        get_backend("gurobi")
    except SolverMissingError:
        pytest.skip("gurobi is not here")
    rows = {name: entry.shape[0] for name, entry in load_library().items()}
    large = min((name for name in rows if rows[name] > 2000), key=rows.get)
    asked = ("--solver", "gurobi", "--instance", large, "--time-limit", 2, "--out", tmp_path / "run")
    code, out, _ = call("run", *asked, "--json")
    assert code == 0
    ((solver, status, count),) = json.loads(out)["statuses"]
    assert (solver, count) == ("gurobi", 1)
    assert status in ("licence", "optimal", "feasible", "no solution", "timeout")
    if status == "licence":
        (line,) = (tmp_path / "run" / "results.jsonl").read_text().splitlines()
        assert "the licence bundled with gurobipy stops at 2000" in json.loads(line)["message"]
        code, _, err = call("report", tmp_path / "run")
        assert code == 0
        assert "1 solves were forbidden by a licence" in err


def test_list(call):
    code, out, _ = call("list", "--size", "large", "--json")
    told = json.loads(out)["instances"]
    assert (code, {entry["size"] for entry in told}) == (0, {"large"})
    assert all(len(entry["sha256"]) == 64 for entry in told)
    code, out, _ = call("list")
    assert code == 0
    assert len(out.splitlines()) == len(load_library()) + 1


def test_dry_run_lists_the_solves_and_makes_nothing(call, tmp_path):
    asked = ["run", "--instance", HINGE, "--seeds", 2, "--bounds", "interval", "--bounds", "lp", "--dry-run"]
    code, out, err = call(*asked, "--time-limit", 7, "--out", tmp_path / "new")
    assert code == 0
    assert out.splitlines() == [f"{HINGE} {b} big-m highs seed {s}" for s in (0, 1) for b in ("interval", "lp")]
    assert err == "4 solves, at most 28 s in the solvers\n"
    assert not (tmp_path / "new").exists()
    assert len(json.loads(call(*asked, "--json")[1])["solves"]) == 4


def test_a_run_again_solves_nothing_and_tells_the_same(call, finished):
    before = (finished / "results.jsonl").read_bytes()
    code, out, _ = call("run", "--instance", HINGE, "--time-limit", 20, "--out", finished, "--json")
    assert (code, json.loads(out)["statuses"]) == (0, [["highs", "optimal", 1]])
    assert (finished / "results.jsonl").read_bytes() == before
    (made,) = [json.loads(line) for line in before.decode().splitlines()]
    environment = json.loads((finished / "environment.json").read_text())
    assert made["revision"] == environment["revision"]
    assert made["parallel"] is False
    assert made["as_recorded"] is True
    assert made["peak_memory_mib"] > 50
    assert {"machine", "cpu", "versions", "date"} <= set(environment)


def test_check_again_and_a_point_that_was_changed(call, finished, tmp_path):
    code, out, _ = call("check", finished)
    assert (code, out) == (0, "1 solutions checked\n")
    shutil.copytree(finished, tmp_path / "run")
    (point,) = (tmp_path / "run" / "points").iterdir()
    with np.load(point) as archive:
        x, logits = archive["x"].copy(), archive["logits"]
    x[0] = 1.0 - x[0]
    np.savez(point, x=x, logits=logits)
    code, _, err = call("check", tmp_path / "run")
    assert code == 5
    assert err.startswith(f"failed: {HINGE} interval big-m highs seed 0 (optimal): ")


def test_solves_that_contradict_each_other_are_exit_code_5(call, tmp_path):
    low = find_recipe(HINGE).name
    rows = [row(low, objective=2.0, bound=2.0, check=None, status="feasible"), row(low, solver="cbc", check=None)]
    code, _, err = call("check", write_run(tmp_path, rows))
    assert code == 5
    assert f"disagree: bound 2.0 of {low} interval big-m highs seed 0 (feasible) is above objective 1.0 of" in err


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["run", "--instance", "nothing"], 2, "--instance: got 'nothing'"),
        (["run", "--solver", "nothing"], 2, "nothing"),
        (["run", "--bounds", "nothing"], 2, "--bounds: got 'nothing', accepted are"),
        (["run", "--relaxation", "nothing"], 2, "--relaxation: got 'nothing', accepted are"),
        (["run", "--time-limit", "0"], 2, "--time-limit"),
        (["run", "--seeds", "0"], 2, "--seeds"),
        (["run", "--size", "huge"], 2, "--size"),
        (["check", "not-there"], 2, "not-there"),
        (["check", "."], 2, "is no folder of `oamip bench run`"),
        (["report", "not-there"], 2, "not-there"),
        (["compare", "not-there", "neither"], 2, "not-there"),
    ],
)
def test_bad_input_is_a_line(call, tmp_path, monkeypatch, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    found, out, err = call(*arguments)
    assert (found, out) == (code, "")
    assert told in err
    assert len(err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be_runs(call, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = call("run", "--instance", HINGE, "--out", tmp_path / "file" / "run")
    assert (code, len(err.splitlines())) == (2, 1)
    assert "--out: " in err
    (tmp_path / "empty").mkdir()
    code, _, err = call("report", tmp_path / "empty")
    empty = tmp_path / "empty"
    told = f"run: {empty} is no folder of `oamip bench run`, it has no results.jsonl"
    assert (code, err) == (2, f"oamip: error: {told}\n")
    other = tmp_path / "other"
    other.mkdir()
    (other / "environment.json").write_text('{"machine": "another", "cpu": "x", "cpus": 1}')
    code, _, err = call("run", "--instance", HINGE, "--out", other)
    assert code == 2
    assert "holds rows of another machine" in err


@pytest.mark.skipif(sys.platform != "linux", reason="needs files that nobody may write")
def test_a_folder_in_which_nothing_can_be_made(call):
    code, _, err = call("run", "--instance", HINGE, "--out", "/proc/run")
    assert (code, len(err.splitlines())) == (2, 1)
