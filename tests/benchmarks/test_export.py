"""Exported files: the same numbers as the program, the same optimum in every solver, and a line for every mistake."""

from __future__ import annotations

import json

import highspy
import numpy as np
import pytest
from click.testing import CliRunner
from oamip_benchmarks.bench.cli import bench
from oamip_benchmarks.bench.files import check as file_check
from oamip_benchmarks.bench.files.export import add_tangents, export, write_file
from oamip_benchmarks.bench.files.solvers import Answer, readers_here
from oamip_benchmarks.bench.programs import arrays_hash, build_program
from oamip_benchmarks.bench.recipes import choose_recipes, find_recipe

import oamip_model as om
from oamip_model.errors import CheckError, InputError

pytestmark = pytest.mark.xdist_group("export")  # what its fixtures make takes long

CURVED = "fashion-dense-n5-subtractive-binary-ce-only-4"
FLAT = "digits-dense-n2-switch-binary-hinge"
NAMES = (CURVED, FLAT)


def run(*arguments):
    return CliRunner().invoke(bench, [str(part) for part in arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder with the files of two instances, and what the command told."""
    folder = tmp_path_factory.mktemp("files") / "new"
    done = run("export", "--instance", CURVED, "--instance", FLAT, "--out", folder, "--json")
    assert done.return_value == 0, done.output
    return folder, {entry["instance"]: entry for entry in json.loads(done.stdout)["instances"]}


def read_by_highs(path):
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    assert solver.readModel(str(path)) == highspy.HighsStatus.kOk
    return solver.getLp()


def entries_of(lines, columns, values, count):
    found = [[] for _ in range(count)]
    for line, column, value in zip(lines, columns, values, strict=True):
        found[line].append((float(value), int(column)))
    return found


@pytest.mark.parametrize("kind", ["mps", "lp"])
@pytest.mark.parametrize("name", NAMES)
def test_files_hold_the_program_to_the_last_bit(exported, name, kind):
    instance = build_program(find_recipe(name)).instance
    add_tangents(instance)
    arrays = om.compile_arrays(instance)
    read = read_by_highs(exported[0] / f"{name}.{kind}.gz")
    assert read.offset_ == arrays.offset
    rows, columns = arrays.matrix.shape
    assert (read.num_row_, read.num_col_) == (rows, columns)
    # Files are free in the order of rows and columns: compare each by all that it holds.
    start = np.asarray(read.a_matrix_.start_)
    at = np.repeat(np.arange(columns), np.diff(start))
    by_column = entries_of(at, read.a_matrix_.index_, read.a_matrix_.value_, columns)
    by_row = entries_of(read.a_matrix_.index_, at, read.a_matrix_.value_, rows)
    whole = np.zeros(columns, dtype=bool) if not read.integrality_ else [
        kind == highspy.HighsVarType.kInteger for kind in read.integrality_
    ]  # fmt: skip
    matrix = arrays.matrix.tocoo()
    mine_column = entries_of(matrix.col, matrix.row, matrix.data, columns)
    mine_row = entries_of(matrix.row, matrix.col, matrix.data, rows)

    def told(lines, *sides):
        return sorted((*parts, tuple(sorted(v for v, _ in line))) for line, *parts in zip(lines, *sides, strict=True))

    assert told(by_column, read.col_cost_, read.col_lower_, read.col_upper_, list(map(bool, whole))) == told(
        mine_column, arrays.cost, arrays.lower, arrays.upper, arrays.integral.tolist()
    )
    assert told(by_row, read.row_lower_, read.row_upper_) == told(mine_row, arrays.row_lower, arrays.row_upper)


def test_every_solver_finds_the_same_optimum_in_every_file(exported):
    folder, index = exported
    done = run("check-files", folder, "--json")
    assert done.return_value == 0, done.output
    told = {entry["instance"]: entry["answers"] for entry in json.loads(done.stdout)["instances"]}
    assert {answer["solver"] for answer in told[CURVED]} == set(readers_here()) >= {"highs"}
    for name in NAMES:
        program = build_program(find_recipe(name))
        solution = om.solve_instance(program.instance, om.Solver("highs", tolerance=1e-6))
        values = [answer["objective"] for answer in told[name] if answer["status"] == "optimal"]
        assert len(values) == 2 * len(readers_here())
        assert max(values) - min(values) <= 1e-6
        if name == FLAT:
            assert index[name]["optimum_is"] == "the instance's"
            assert values[0] == pytest.approx(solution.objective, abs=1e-6)
        else:
            assert "lower bound" in index[name]["optimum_is"]
            assert index[name]["tangents"] > 0
            assert values[0] <= solution.objective + 1e-6


def test_same_bytes_again_and_the_program_as_it_was(exported, tmp_path):
    again = export([find_recipe(FLAT)], tmp_path)
    assert again[0]["files"] == exported[1][FLAT]["files"]
    instance = build_program(find_recipe(FLAT)).instance
    before = arrays_hash(om.compile_arrays(instance))
    assert add_tangents(instance).count == 0
    assert arrays_hash(om.compile_arrays(instance)) == before
    curved = build_program(find_recipe(CURVED)).instance
    integral = om.compile_arrays(curved).integral
    add_tangents(curved)
    np.testing.assert_array_equal(om.compile_arrays(curved).integral, integral)


def test_an_index_keeps_what_was_exported_before(exported, tmp_path):
    for name in NAMES:
        export([find_recipe(name)], tmp_path, ["mps"])
    assert set(file_check.read_index(tmp_path)) == set(NAMES)
    assert sorted(path.name for path in tmp_path.glob("*.gz")) == sorted(f"{name}.mps.gz" for name in NAMES)


def test_a_solver_that_finds_another_optimum_is_told(exported, monkeypatch):
    def ask(solver, path, limit):
        return Answer("optimal", 1.0, 1.0) if solver == "highs" else Answer("limit", 0.5, 0.4)

    monkeypatch.setattr(file_check, "ask", ask)
    monkeypatch.setattr(file_check, "readers_here", lambda: ["highs", "cbc"])
    done = run("check-files", exported[0], "--instance", FLAT)
    assert done.return_value == 5
    line = f"disagree: {FLAT}.mps.gz highs: bound 1.0, but {FLAT}.mps.gz cbc: objective 0.5"
    assert line in done.stderr.splitlines()
    monkeypatch.setattr(file_check, "ask", lambda *_: Answer("limit", 1.0, 0.5))
    assert run("check-files", exported[0], "--instance", FLAT).return_value == 3
    monkeypatch.setattr(file_check, "ask", lambda *_: Answer("licence", message="too large"))
    done = run("check-files", exported[0], "--instance", FLAT)
    assert (done.return_value, "4 too large for a licence" in done.stdout) == (0, True)


def test_bad_input_is_a_line(exported, tmp_path):
    (tmp_path / "file").write_text("")
    for arguments, message in [
        (("export", "--instance", "nothing", "--out", tmp_path / "a"), "instance: got 'nothing'"),
        (("export", "--instance", FLAT, "--out", tmp_path / "file" / "b"), "out: .*cannot be made"),
        (("check-files", tmp_path), "has no index.json"),
        (("check-files", exported[0], "--solver", "glpk"), "solver: got 'glpk', accepted are highs"),
        (("check-files", exported[0], "--instance", "nothing"), "instance: got 'nothing'"),
    ]:
        done = run(*arguments)
        assert isinstance(done.exception, InputError), arguments
        with pytest.raises(InputError, match=message):
            raise done.exception
        assert "\n" not in str(done.exception)
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match=r"ending in \.mps\.gz or \.lp\.gz"):
        write_file(None, tmp_path / "x.mps")


def test_a_changed_file_is_refused(tmp_path):
    export([find_recipe(FLAT)], tmp_path, ["lp"])
    path = tmp_path / f"{FLAT}.lp.gz"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(CheckError, match="not the file that was exported"):
        file_check.check_files(tmp_path, ["highs"])


def test_choosing_by_size():
    assert {recipe.size for recipe in choose_recipes(["large"])} == {"large"}
    assert choose_recipes([], [FLAT]) == [find_recipe(FLAT)]
