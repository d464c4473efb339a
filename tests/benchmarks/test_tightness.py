"""The tightness study: what its rows say, that nothing is measured twice, and its files."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace

import pytest
from oamip_benchmarks.tightness import run as study_run
from oamip_benchmarks.tightness.cells import cells_of

import oamip_model as om
from oamip_model.checks import by_class

QUICK = {"heuristic_limit": 0.3}


def study(networks, images, labels, **options):
    """The study of options by name, of whichever object has them."""
    parts = (om.study.Grid, om.study.Objective, om.Solver, om.Run)
    values, left = by_class(parts, options)
    assert not left
    grid, objective, solver, run = (part(**values[part]) for part in parts)
    return om.study.tightness(networks, images, labels, grid, objective=objective, solver=solver, run=run)


@pytest.fixture
def tiny(problem_of):
    p = problem_of("deep", 1)
    return {"deep": p.network}, p.images, p.labels


@pytest.fixture
def measured(monkeypatch):
    """The cells that were measured, in order; cells named in ``stop`` end in Ctrl-C instead."""
    seen, real = [], study_run.measure
    seen_stop: list = []

    def measure(cell, *rest):
        if cell.bounds in seen_stop:
            raise KeyboardInterrupt
        seen.append(cell)
        return real(cell, *rest)

    monkeypatch.setattr(study_run, "measure", measure)
    return seen, seen_stop


def test_rows_are_ordered_by_tightness_and_agree_on_the_optimum(tiny):
    bounds = ["interval", "mip", "lp-cutoff"]
    found = study(*tiny, gates=["subtractive", "switch"], bounds=bounds, time_limit=60.0, **QUICK)
    assert len(found.rows) == found.planned == 18
    assert (found.found, found.interrupted) == (0, False)
    by = {(r.gate, r.bounds, r.relaxation): r for r in found.rows}
    for row in found.rows:
        best = found.best[row.network, row.gate]
        assert row.status == "optimal"
        assert row.objective == pytest.approx(best, rel=2e-4)
        assert row.root_bound <= row.cut_bound + 1e-9 <= best + 1e-6
        assert found.gap(row, row.cut_bound) <= found.gap(row, row.root_bound) + 1e-9
        assert row.off + row.on + row.unstable == 2 * 7
        assert row.preprocessing == row.bounds_seconds + row.build_seconds + row.root_seconds
        loose = by[row.gate, "interval", row.relaxation]
        assert row.unstable <= loose.unstable
        assert row.binaries <= loose.binaries
        assert by[row.gate, row.bounds, "hull"].cut_bound >= by[row.gate, row.bounds, "big-m"].cut_bound - 1e-4
    assert by["switch", "interval", "big-m"].scores == "binary"


def test_a_row_describes_the_program_that_is_built(tiny):
    networks, images, labels = tiny
    row = study(*tiny, relaxations=["partition-2"], bounds=["crown"], weight=2.0, **QUICK).rows[0]
    program = om.Formulation(relaxation="partition-2", sparsity="mean", weight=2.0)
    instance = om.build_instance(networks["deep"], images, labels, program, bounds="crown")
    arrays = om.compile_arrays(instance)
    assert (row.rows, row.columns, row.nonzeros) == (*arrays.matrix.shape, arrays.matrix.nnz)
    assert row.binaries == int(arrays.integral.sum())
    assert (row.status, row.objective, row.solve_seconds) == (None, None, None)
    relaxed = om.build_instance(networks["deep"], images, labels, replace(program, relaxed=True), bounds="crown")
    assert row.cut_bound == pytest.approx(om.solve_instance(relaxed).bound, abs=1e-6)
    gated = instance.layout.value.gated
    numbers = [*gated.upper[gated.state >= 0], *(gated.scale - gated.lower)[gated.state >= 0]]
    assert row.big_m == pytest.approx(sum(numbers) / len(numbers))


def test_a_study_goes_on_where_ctrl_c_or_a_kill_stopped_it(tiny, measured, tmp_path):
    seen, stop = measured
    store = tmp_path / "rows.jsonl"
    options = {"relaxations": ["big-m"], "bounds": ["interval", "crown", "lp"], "store": store, **QUICK}
    stop.append("crown")
    stopped = study(*tiny, **options)
    assert (stopped.interrupted, len(stopped.rows), stopped.planned) == (True, 1, 3)
    stop.clear()
    with store.open("a") as file:
        file.write('{"key": "a row that a kill cut sh')
    seen.clear()
    whole = study(*tiny, **options)
    assert [cell.bounds for cell in seen] == ["crown", "lp"]
    assert (whole.interrupted, len(whole.rows), whole.found) == (False, 3, 1)
    assert whole.rows[0] == stopped.rows[0]
    seen.clear()
    again = study(*tiny, **options)
    assert (seen, again.found) == ([], 3)
    assert again.rows == whole.rows
    other = study(*tiny, **(options | {"weight": 1.0}))
    assert other.found == 0


def test_rows_come_back_from_csv_and_parquet(tiny, tmp_path):
    found = study(*tiny, relaxations=["big-m"], bounds=["interval", "crown"], **QUICK)
    found.save_csv(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["bounds"] for row in rows] == ["interval", "crown"]
    assert [float(row["cut_gap"]) for row in rows] == [record["cut_gap"] for record in found.records()]
    assert rows[0]["status"] == ""
    parquet = pytest.importorskip("pyarrow.parquet")
    found.save_parquet(tmp_path / "rows.parquet")
    assert parquet.read_table(tmp_path / "rows.parquet").to_pylist() == found.records()


def test_a_picture_needs_rows_and_matplotlib(tiny, tmp_path):
    pytest.importorskip("matplotlib")
    found = study(*tiny, relaxations=["big-m"], bounds=["interval"], time_limit=30.0, **QUICK)
    found.plot(tmp_path / "gaps.png")
    assert (tmp_path / "gaps.png").read_bytes().startswith(b"\x89PNG")
    empty = om.study.Tightness((), {}, 1, 0, "none")
    for save in (empty.plot, empty.save_csv, empty.save_parquet):
        with pytest.raises(om.InputError, match=r"^study: no row is finished[^\n]*$"):
            save(tmp_path / "nothing")
    assert [path.name for path in tmp_path.iterdir()] == ["gaps.png"]


def test_parquet_says_what_it_needs(monkeypatch):
    from oamip_model.runs.tables import check_pyarrow

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(om.InputError, match=r"^parquet: needs pyarrow"):
        check_pyarrow()


def test_the_published_gate_has_one_cell(tiny):
    cells = cells_of(
        ["a"],
        om.study.Grid(gates=["published", "switch"], relaxations=["big-m", "hull"], bounds=["interval", "lp"]),
    )
    assert [(c.relaxation, c.bounds) for c in cells if c.gate == "published"] == [("big-m", "interval")]
    assert len(cells) == 5
    row = study(*tiny, gates=["published"], relaxations=["big-m"], bounds=["interval"], **QUICK).rows[0]
    assert (row.gate, row.heuristic_seconds) == ("published", None)


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"gates": ["guess"]}, r"gates: got \['guess'\]"),
        ({"gates": "switch"}, "gates: got 'switch', accepted are different ones"),
        ({"relaxations": ["hull", "hull"]}, "relaxations: got"),
        ({"bounds": []}, "bounds: got"),
        ({"gates": ["published"], "bounds": ["lp"]}, "gates: the gate published goes with"),
        ({"gates": ["switch"], "scores": "continuous"}, "scores: gate switch takes binary scores"),
        ({"time_limit": 0.0}, "time_limit: got 0.0"),
        ({"bounds_limit": -1.0}, "bounds_limit: got -1.0"),
        ({"tolerance": 2.0}, "tolerance: got 2.0"),
        ({"weight": -1.0}, "weight: got -1.0"),
        ({"solver": "hihgs"}, "solver: got 'hihgs'"),
        ({"networks": {}}, "networks: accepted is a dictionary"),
        ({"store": "nowhere/rows.jsonl"}, "store: nowhere/rows.jsonl cannot be written"),
        ({"jobs": 0}, "jobs: got 0"),
    ],
)
def test_bad_options_are_named(tiny, options, culprit):
    networks, images, labels = tiny
    asked = dict(options)
    with pytest.raises(om.InputError, match=f"^{culprit}[^\n]*$"):
        study(asked.pop("networks", networks), images, labels, **asked, **QUICK)
