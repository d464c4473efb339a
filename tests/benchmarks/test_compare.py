"""Runs against each other: pairs, censored ones, and what is said of the ratio."""

from __future__ import annotations

import pytest
from made_rows import row
from oamip_benchmarks.bench.compare import censoring, compare_runs, extremes

from oamip_model.errors import InputError


def run(factor: float, count: int = 12, **more):
    return [row(f"i{k}", factor * (k + 1) * (1 + 0.1 * (k % 3)), seed=s, **more) for k in range(count) for s in (0, 1)]


def test_a_quicker_run_is_called_so():
    (found,) = compare_runs(run(1.0), run(0.5), draws=500)
    assert found.verdict() == "quicker"
    assert found.ratios[1.0].ratio == pytest.approx(found.ratios[1.0].after / found.ratios[1.0].before)
    assert found.ratios[1.0].ratio == pytest.approx(0.5, abs=0.03)
    (back,) = compare_runs(run(0.5), run(1.0), draws=500)
    assert back.verdict() == "slower"
    assert back.ratios[1.0].ratio == pytest.approx(1 / found.ratios[1.0].ratio)


def test_the_same_run_shows_no_difference():
    (found,) = compare_runs(run(1.0), run(1.0), draws=200)
    assert found.verdict() == "no difference shown"
    assert [ratio for ratio, _ in extremes(found)] == [1.0] * 10


def test_versions_of_one_solver_are_named():
    (found,) = compare_runs(run(1.0, version="1.11.0"), run(0.5, version="1.15.1"), draws=200)
    assert found.before == "highs 1.11.0 / interval / big-m"
    assert found.after == "highs 1.15.1 / interval / big-m"


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_instances_show_nothing(count):
    (found,) = compare_runs(run(1.0, count), run(0.1, count), draws=200)
    assert found.verdict() == "fewer than 6 instances: nothing is shown"


def test_censored_pairs_are_counted_and_named():
    before = [row("a", 10.0), row("b", None, "timeout"), row("c", None, "crash"), row("d", 1.0), row("f", 70.0)]
    after = [row("a", None, "memory"), row("b", 6.0), row("c", None, "timeout"), row("e", 1.0), row("f", 1.0)]
    (found,) = compare_runs(before, after, draws=200)
    assert [(p[0]["instance"], censoring(p)) for p in found.censored] == [
        ("a", "after memory: the true ratio is higher"),
        ("b", "before timeout: the true ratio is lower"),
        ("c", "before crash, after timeout: no ratio"),
        ("f", "before late or wrong: the true ratio is lower"),
    ]
    assert found.ratios[10.0].before == pytest.approx((20 * 70 * 70 * 70) ** (1 / 4) - 10)
    assert found.ratios[10.0].after == pytest.approx((70 * 16 * 70 * 11) ** (1 / 4) - 10)
    assert found.unpaired == ("d, seed 0 (before only)", "e, seed 0 (after only)")


def test_variants_are_paired_by_name_or_where_there_is_one_each():
    both = run(1.0, 3) + run(2.0, 3, solver="cbc")
    assert [c.before for c in compare_runs(both, both, draws=100)] == [
        "highs / interval / big-m", "cbc / interval / big-m",
    ]  # fmt: skip
    (crossed,) = compare_runs(run(1.0, 3), run(2.0, 3, bounds="lp"), draws=100)
    assert (crossed.before, crossed.after) == ("highs / interval / big-m", "highs / lp / big-m")
    with pytest.raises(InputError, match="no variant is in both"):
        compare_runs(both, run(1.0, 3, bounds="lp") + run(1.0, 3, solver="scip"))


def test_limits_must_be_equal_and_problems_shared():
    with pytest.raises(InputError, match="60 s before and 30 s after"):
        compare_runs(run(0.1, 2), run(0.1, 2, time_limit=30.0))
    with pytest.raises(InputError, match="no instance and seed"):
        compare_runs([row("a")], [row("b")])
