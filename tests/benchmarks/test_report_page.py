"""The report as users get it: by the command, and in a browser, where nothing may be missing or fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from browser import told_by
from click.testing import CliRunner
from made_rows import row, run_rows, write_run
from oamip_benchmarks.bench.verbs.report import compare, report

from oamip_model.errors import InputError

PROBE = """
  Object.assign(told, {errors: window.problems,
    pictures: [...document.images].map(i => i.complete && i.naturalWidth > 0),
    fetched: performance.getEntriesByType("resource").map(e => e.name).filter(n => !n.startsWith("data:")),
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth});
"""
LISTEN = """<script>window.problems = [];
for (const kind of ["error", "securitypolicyviolation"])
  window.addEventListener(kind, e => window.problems.push(String(e.message || e.blockedURI || e.target)), true);
</script>"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict]:
    pytest.importorskip("matplotlib")
    folder = write_run(tmp_path_factory.mktemp("run"), run_rows(solvers=("highs", "cbc"), instances=6))
    done = CliRunner().invoke(report, [str(folder), "--csv", str(folder / "rows.csv"), "--json"], standalone_mode=False)
    assert done.return_value == 0, done.output
    return folder, json.loads(done.stdout)


def test_command_writes_the_page_and_tells_the_statistics(made):
    folder, told = made
    assert (folder / "report.html").stat().st_size > 10_000
    assert (folder / "rows.csv").read_text().count("\n") == told["solves"] + 1
    assert [variant["of"] for variant in told["variants"]] == [12, 12]
    assert told["disagreements"] == told["failed_checks"] == 0


@pytest.mark.parametrize("width", [1280, 390])
def test_page_in_a_browser(made, tmp_path, width):
    text = (made[0] / "report.html").read_text()
    pictures = text.count("<img ")
    assert pictures >= 4
    told, log = told_by(text, PROBE, tmp_path, width, LISTEN)
    assert told == {"errors": [], "pictures": [True] * pictures, "fetched": [], "wide": False}
    assert "CONSOLE" not in log


def licence_rows(*without):
    told = "gurobi: the model has 2100 rows and the licence stops at 2000"
    rows = [row(name, 2.0) for name in "ab"]
    return rows + [
        row(name, 1.0, **({"status": "licence", "message": told} if name in without else {}), solver="gurobi")
        for name in "ab"
    ]


@pytest.mark.parametrize("without", ["b", "ab"])
def test_what_a_licence_forbids_is_named_and_counted_as_no_failure(tmp_path, without):
    pytest.importorskip("matplotlib")
    folder = write_run(tmp_path / "run", licence_rows(*without))
    done = CliRunner().invoke(report, [str(folder)], standalone_mode=False)
    assert done.return_value == 0
    assert f"{len(without)} solves were forbidden by a licence" in done.stderr
    page = (folder / "report.html").read_text()
    assert "Solves that a licence forbade" in page
    told = f"gurobi / interval / big-m: {len(without)} of 2 solves ({', '.join(without)}): gurobi: the model has 2100"
    assert told in page
    done = CliRunner().invoke(report, [str(folder), "--json"], standalone_mode=False)
    found = json.loads(done.stdout)
    assert found["licence"] == [["gurobi / interval / big-m", name, 0] for name in without]
    assert [variant["of"] for variant in found["variants"]] == ([1, 1] if without == "b" else [2])
    assert found["failed_checks"] == found["disagreements"] == 0


def test_a_run_that_a_licence_forbade_altogether_has_a_page_without_means(tmp_path):
    pytest.importorskip("matplotlib")
    folder = write_run(tmp_path / "run", [r for r in licence_rows("a", "b") if r["solver"] == "gurobi"])
    done = CliRunner().invoke(report, [str(folder), "--json"], standalone_mode=False)
    assert done.return_value == 0
    assert json.loads(done.stdout)["variants"] == []
    assert "Solves that a licence forbade" in (folder / "report.html").read_text()


def test_a_comparison_leaves_out_what_a_licence_forbade(tmp_path):
    before = write_run(tmp_path / "before", [r for r in licence_rows("b") if r["solver"] == "gurobi"])
    after = write_run(tmp_path / "after", [r for r in licence_rows() if r["solver"] == "gurobi"])
    done = CliRunner().invoke(compare, [str(before), str(after), "--json"], standalone_mode=False)
    (told,) = json.loads(done.stdout)["comparisons"]
    assert told["pairs"] == 1
    assert told["unpaired"] == ["b, seed 0 (after only)"]


def test_contradiction_is_exit_code_5(tmp_path):
    rows = [row(), row(solver="cbc", seed=1, objective=2.0, bound=2.0)]
    done = CliRunner().invoke(report, [str(write_run(tmp_path, rows))], standalone_mode=False)
    assert done.return_value == 5
    assert "1 pairs of solves contradict" in done.stderr


def test_bad_out_writes_nothing(tmp_path):
    folder = write_run(tmp_path / "run", [row()])
    done = CliRunner().invoke(report, [str(folder), "--csv", str(tmp_path / "a.txt")], standalone_mode=False)
    assert isinstance(done.exception, InputError)
    assert "ending in .csv" in str(done.exception)
    assert not (folder / "report.html").exists()


def test_compare_command_names_censored_pairs(tmp_path):
    before = write_run(tmp_path / "a", [row("a", 10.0), row("b", 4.0)])
    after = write_run(tmp_path / "b", [row("a", 5.0), row("b", None, "timeout")])
    arguments = [str(before), str(after), "--draws", "200"]
    text = CliRunner().invoke(compare, arguments, standalone_mode=False)
    assert "censored: b, seed 0: after timeout: the true ratio is higher" in text.stdout
    told = json.loads(CliRunner().invoke(compare, [*arguments, "--json"], standalone_mode=False).stdout)
    assert [c["instance"] for c in told["comparisons"][0]["censored"]] == ["b"]
    assert told["comparisons"][0]["ratios"]["shift 1 s"]["after"] == pytest.approx((6 * 61) ** 0.5 - 1)
