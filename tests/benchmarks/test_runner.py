"""A run survives whatever its solvers do, and being killed."""

from __future__ import annotations

import importlib.util
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import forked
import numpy as np
import psutil
import pytest
from oamip_benchmarks.bench.check import exact_violation
from oamip_benchmarks.bench.programs import build_program
from oamip_benchmarks.bench.recheck import check_run
from oamip_benchmarks.bench.recipes import find_recipe, load_library
from oamip_benchmarks.bench.rows import Limits, ResultStore, read_rows
from oamip_benchmarks.bench.runner import make_plan, run_plan

from oamip_model.errors import InputError

pytestmark = pytest.mark.xdist_group("runner")  # what its fixtures make takes long

EASY = "fashion-dense-n5-subtractive-binary-ce-only-4"
HINGE = "digits-dense-n2-switch-binary-hinge"
MARGIN = "digits-dense-n3-subtractive-binary-margin"


def load_fakes():
    path = Path(__file__).with_name("misbehaving.py")
    spec = importlib.util.spec_from_file_location("misbehaving_source", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def misbehaved(tmp_path_factory):
    """The rows of a run in which every solver but HiGHS misbehaves, by solver, and their folder."""
    fakes = load_fakes()
    offered, folder = tmp_path_factory.mktemp("offered"), tmp_path_factory.mktemp("run")
    fakes.offer(offered)
    sys.path.insert(0, str(offered))
    try:
        limits = Limits(3.0, memory=600)
        names = ["crashes", "lies", "raises", "highs", "unlicensed"]
        plan = make_plan(solvers=["hangs"], instances=[HINGE], limits=Limits(0.5, memory=600))
        plan += make_plan(solvers=names, instances=[HINGE], limits=limits)
        plan += make_plan(solvers=["hoards"], instances=[HINGE], limits=Limits(30.0, memory=400))
        plan += make_plan(solvers=["breaks"], instances=[MARGIN], limits=limits)
        found = run_plan(plan, folder, jobs=2, grace=0.5)
    finally:
        sys.path.remove(str(offered))
    return {row["solver"]: row for row in found}, folder


@pytest.mark.parametrize(
    ("solver", "status", "told"),
    [
        ("crashes", "crash", f"signal {int(signal.SIGSEGV)}"),
        ("hangs", "timeout", "killed"),
        ("hoards", "memory", "killed at"),
        ("raises", "error", "RuntimeError: out of luck"),
        ("unlicensed", "licence", "the licence stops below"),
        ("breaks", "wrong", "is above the solution"),
        ("highs", "optimal", ""),
    ],
)
def test_each_is_a_row_of_its_own(misbehaved, solver, status, told):
    row = misbehaved[0][solver]
    assert row["status"] == status
    assert told in row["message"]
    assert row["parallel"] is True


def test_a_wrong_optimum_is_found_out(misbehaved):
    found, folder = misbehaved
    lie, truth = found["lies"], found["highs"]
    # The point itself is a solution of the program, and the claim that none is better is withdrawn.
    assert lie["check"]["passed"]
    # What the solver left open is settled by this package, to the optimum that the honest solver finds.
    assert lie["bound"] is None or lie["bound"] <= truth["objective"] + 1e-6
    assert lie["status"] == "feasible" or lie["objective"] == pytest.approx(truth["objective"], rel=1e-4)
    claimed = replace_status(lie, "optimal") | {"objective": truth["objective"] + 1, "bound": truth["objective"] + 1}
    again = check_run(folder, [claimed, truth])
    assert [(a["solver"], b["solver"]) for a, b in again.disagreements] == [("lies", "highs")]
    assert not again.passed
    assert check_run(folder, [truth]).passed


def replace_status(row, status):
    return row | {"status": status}


def test_a_changed_point_fails_the_check(misbehaved, tmp_path):
    truth, folder = misbehaved[0]["highs"], misbehaved[1]
    (tmp_path / "points").mkdir()
    with np.load(folder / "points" / f"{truth['key']}.npz") as archive:
        x, logits = archive["x"].copy(), archive["logits"]
    x[0] = 1.0 - x[0]
    np.savez(tmp_path / "points" / f"{truth['key']}.npz", x=x, logits=logits)
    ((row, message),) = check_run(tmp_path, [truth]).failed
    assert row is truth
    assert "the objective is" in message


def test_killed_and_run_again(tmp_path):
    asked = ["--instance", EASY, "--seeds", "2", "--time-limit", "20", "--out", str(tmp_path)]
    process = forked.Forked(forked.OAMIP, "bench", "run", *asked)
    results = tmp_path / "results.jsonl"
    while not (results.exists() and results.read_bytes().count(b"\n")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    psutil.wait_procs(workers, timeout=10)
    assert not [w for w in workers if w.is_running() and w.status() != psutil.STATUS_ZOMBIE]
    before = read_rows(tmp_path)
    with results.open("a") as file:
        file.write('{"key": "cut sh')
    solved = []
    plan = make_plan(instances=[EASY], seeds=2, limits=Limits(20.0))
    found = run_plan(plan, tmp_path, progress=lambda done, total, row: solved.append(row["key"]))
    assert len(before) == 1
    assert set(solved) == {solve.key for solve in plan} - {row["key"] for row in before}
    assert Counter(row["key"] for row in read_rows(tmp_path)) == Counter(solve.key for solve in plan)
    assert found[: len(before)] == before
    assert [row["status"] for row in found] == ["optimal"] * 2


def test_rows_that_are_none_are_refused(tmp_path):
    (tmp_path / "results.jsonl").write_text("nonsense\n{}\n")
    with pytest.raises(InputError, match="line 1 of"):
        ResultStore(tmp_path)


def test_plans(tmp_path):
    with pytest.raises(InputError, match="accepted are the names"):
        make_plan(instances=["nothing"])
    with pytest.raises(InputError, match="bounds"):
        make_plan(bounds=["nothing"])
    plan = make_plan(solvers=["highs", "cbc"], bounds=["interval", "crown"], sizes=["small"], seeds=2)
    assert len({solve.key for solve in plan}) == len(plan)
    assert all(solve.bounds == "interval" for solve in plan if solve.recipe.gate == "published")


def test_the_exact_check_sees_what_rounding_hides():
    program = build_program(find_recipe(EASY))
    arrays = program.arrays
    point = np.clip(np.zeros(len(arrays.cost)), arrays.lower, arrays.upper)
    limit = np.abs(np.concatenate([arrays.row_lower, arrays.row_upper]))
    slack = 1 + limit[np.isfinite(limit)].max()
    assert arrays.violation(point) / slack <= exact_violation(arrays, point)[0] <= arrays.violation(point) + 1e-12
    assert exact_violation(replace(arrays, row_lower=arrays.row_lower * 0 - np.inf), point * np.nan)[0] == np.inf


def test_the_library_is_what_it_was_made_as():
    library = load_library()
    assert len(library) >= 60
    assert {recipe.size for recipe in library.values()} == {"small", "medium", "large"}
    assert {len(recipe.images) for recipe in library.values()} >= {1, 20}
