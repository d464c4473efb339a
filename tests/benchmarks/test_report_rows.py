"""What counts as solved, which problems are in the means, and what is shown as wrong."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from made_rows import row, run_rows
from oamip_benchmarks.bench.reporting.export import flat_table
from oamip_benchmarks.bench.reporting.page import make_page, summary_rows
from oamip_benchmarks.bench.reporting.rows import Solves, gaps_of, is_solved, solve_seconds

from oamip_model.errors import InputError
from oamip_model.runs.tables import columns_of, write_csv, write_parquet


@pytest.mark.parametrize(
    ("made", "solved"),
    [
        (row(), True),
        (row(status="infeasible"), True),
        (row(status="feasible"), False),
        (row(seconds=None, status="timeout"), False),
        (row(status="wrong"), False),
        (row(check={"passed": False}), False),
        (row(seconds=59.0, bounds_seconds=2.0), False),
    ],
)
def test_solved_means_answered_checked_and_in_time(made, solved):
    assert is_solved(made) is solved


def test_means_are_over_what_every_variant_ran():
    rows = [row("a", 3.0), row("b", 30.0), row("a", 7.0, solver="cbc"), row("c", 1.0, solver="cbc")]
    solves = Solves(tuple(rows))
    assert solves.problems == [("a", 0)]
    assert sorted(solves.unpaired) == [("cbc / interval / big-m", "c", 0), ("highs / interval / big-m", "b", 0)]
    assert [s["shift 1 s"] for s in summary_rows(solves)] == pytest.approx([3.0, 7.0])


def with_a_licence_that_ends(spared=("b",)):
    """Rows of two variants, one of which a licence keeps from some instances."""
    rows = [row(name, seconds) for name, seconds in (("a", 3.0), ("b", 30.0))]
    told = "gurobi: the model has 2100 rows"
    for name in "ab":
        more = {"status": "licence", "message": told} if name in spared else {}
        rows.append(row(name, 7.0, solver="gurobi", **more))
    return Solves(tuple(rows))


def test_what_a_licence_forbids_is_no_failure_and_its_problem_is_in_no_mean():
    solves = with_a_licence_that_ends()
    assert solves.problems == [("a", 0)]
    assert [(s["solved"], s["of"], s["shift 1 s"]) for s in summary_rows(solves)] == [
        (1, 1, pytest.approx(3.0)), (1, 1, pytest.approx(7.0)),
    ]  # fmt: skip
    assert [r["instance"] for r in solves.unlicensed] == ["b"]
    assert solves.unpaired == [("highs / interval / big-m", "b", 0)]
    assert solves.disagreements() == solves.failed_checks() == []


def test_a_solver_that_a_licence_keeps_from_everything_takes_nothing_from_the_others():
    solves = with_a_licence_that_ends(spared=("a", "b"))
    assert solves.variants == ["highs / interval / big-m"]
    assert solves.everyone == ["highs / interval / big-m", "gurobi / interval / big-m"]
    assert [(s["variant"], s["of"]) for s in summary_rows(solves)] == [("highs / interval / big-m", 2)]
    alone = Solves(tuple(solves.unlicensed))
    assert (alone.variants, alone.problems) == ([], [])


def test_summary_by_hand():
    rows = [row("a", 5.0, size="small"), row("b", 61.0, "timeout", size="large")]
    (every,) = summary_rows(Solves(tuple(rows)))
    assert (every["solved"], every["of"]) == (1, 2)
    assert every["PAR10, s"] == pytest.approx((5 + 600) / 2)
    assert every["geometric mean, shift 10 s"] == pytest.approx((15 * 70) ** 0.5 - 10)
    assert every["without gap"] == 1
    (large,) = summary_rows(Solves(tuple(rows)), "large")
    assert (large["solved"], large["shift 1 s"]) == (0, pytest.approx(60.0))


def test_gaps_of_wrong_and_missing_are_endless():
    rows = [row(), row(status="feasible", gap=0.2), row(status="wrong"), row(status="crash"), row(status="infeasible")]
    assert gaps_of(rows).tolist() == [0.0, 0.2, float("inf"), float("inf"), 0.0]


def test_disagreements_are_within_one_program():
    low = row(objective=1.0, bound=1.0)
    high = row(solver="cbc", objective=1.5, bound=1.5)
    assert Solves((low, high)).disagreements() == [(high, low)]
    apart = [r | {"program": f"a/{r['solver']}"} for r in (low, high)]
    assert Solves(tuple(apart)).disagreements() == []
    none = row(solver="cbc", status="infeasible")
    assert Solves((low, none)).disagreements() == [(none, low)]


def test_versions_of_one_solver_are_variants():
    solves = Solves((row(), row(version="2"), row(solver="cbc")))
    assert solves.variants == ["highs 1 / interval / big-m", "highs 2 / interval / big-m", "cbc / interval / big-m"]


def test_bad_rows_are_refused():
    with pytest.raises(InputError, match="no rows"):
        Solves(())
    with pytest.raises(InputError, match="lacks status"):
        Solves(({k: v for k, v in row().items() if k != "status"},))
    with pytest.raises(InputError, match="two rows of highs"):
        _ = Solves((row(), row(time_limit=30.0))).cells


def test_page_shows_what_is_wrong_in_red():
    pytest.importorskip("matplotlib")
    # Another seed for each solver: no problem in common, and so no pictures, which take their time.
    rows = [
        row("a"),
        row("a", solver="cbc", seed=1, objective=2.0, bound=2.0),
        row("b"),
        row("b", solver="cbc", seed=1, status="feasible", gap=1.8),
    ]
    text = make_page(Solves(tuple(rows)), {}, "t").html()
    assert "Solves disagree" in text
    # Both solves, in the table of solves and in that of problems.
    assert text.count('<td class="alert"') == 4
    fine = make_page(Solves(tuple(rows[2:])), {}, "t").html()
    assert "No two solves contradict" in fine
    assert "feasible, 180 %" in fine
    assert '<td class="alert"' not in fine


def test_page_of_variants_without_a_common_problem_has_no_pictures():
    pytest.importorskip("matplotlib")
    text = make_page(Solves((row("a"), row("b", solver="cbc"))), {}, "t").html()
    assert "2 rows are in no mean" in text
    assert "data:image" not in text


def test_tables_keep_every_row_and_value(tmp_path):
    solves = Solves(tuple(run_rows(instances=6)))
    table = flat_table(solves)
    write_csv(table, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert [line["key"] for line in lines] == [r["key"] for r in solves.rows]
    assert [line["wall_seconds"] for line in lines] == [str(r["wall_seconds"]) for r in solves.rows]
    assert json.loads(lines[0]["trace"]) == solves.rows[0]["trace"]
    pq = pytest.importorskip("pyarrow.parquet")
    write_parquet(table, tmp_path / "rows.parquet")
    read = pq.read_table(tmp_path / "rows.parquet").to_pydict()
    assert read == {name: [record.get(name) for record in table] for name in columns_of(table)}


def test_the_virtual_best_is_the_quickest_on_each_problem():
    from oamip_benchmarks.bench.reporting.page import RATIO

    solves = Solves(tuple(run_rows(solvers=("highs", "cbc"), instances=6)))
    means = [s["geometric mean, shift 10 s"] for s in summary_rows(solves)]
    times = np.array(
        [[solve_seconds(row) if is_solved(row) else row["time_limit"] for row in solves.of(v)] for v in solves.variants]
    )
    best = np.exp(np.log(times.min(axis=0) + 10).mean()) - 10
    assert f">{best:#.3g}<".replace(".<", "<") in make_page(solves, {}, "t").html()
    text = make_page(solves, {}, "t").html()
    assert RATIO in text
    assert "virtual best" in text
    assert f"<td>{(max(means) + 10) / (min(means) + 10):.2f}" in text.replace('<td class="">', "<td>")
