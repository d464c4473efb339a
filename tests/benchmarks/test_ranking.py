"""Rankings tell a winner only where intervals do, and the page's script ranks as Python does."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from browser import told_by
from click.testing import CliRunner
from made_rows import row, run_rows, write_run
from oamip_benchmarks.bench.reporting.ranking import (
    best_known,
    embedded,
    integral_of,
    rank_integrals,
    rank_times,
    ranked_times,
)
from oamip_benchmarks.bench.reporting.rows import Solves
from oamip_benchmarks.bench.reporting.statistics import shifted_geometric_mean
from oamip_benchmarks.bench.trace import log_trace
from oamip_benchmarks.bench.verbs.report import report

SOLVERS = ("highs", "cbc", "scip", "gurobi")


@pytest.fixture(scope="module")
def solves() -> Solves:
    return Solves(tuple(run_rows(SOLVERS, instances=46, seeds=1)))


def test_ratios_are_those_of_shifted_means_and_lie_in_their_intervals(solves):
    found = ranked_times(solves, None, 10.0)
    assert found.ratios[found.best] == 1.0
    assert (found.low <= found.ratios).all()
    assert (found.ratios <= found.high).all()
    assert found.virtual <= found.scores.min()


def test_no_winner_is_named_within_noise():
    draw = np.random.default_rng(3)
    same = np.exp(draw.normal(size=(30, 1))) * np.exp(draw.normal(scale=0.3, size=(30, 4)))
    names = [str(k) for k in range(30)]
    assert not rank_times(same, names, 1.0).settled
    assert rank_times(same * [1, 2, 2, 2], names, 1.0).settled
    assert not rank_times((same * [1, 9, 9, 9])[:5], names[:5], 1.0).settled
    # One instance, however many seeds, shows nothing.
    assert not rank_times(same * [1, 2, 2, 2], ["a"] * 30, 1.0).settled


def test_intervals_cover_the_true_ratio():
    draw, names = np.random.default_rng(5), [str(k) for k in range(40)]
    inside = 0
    for k in range(100):
        times = np.exp(draw.normal(size=(40, 1)) + draw.normal(scale=0.5, size=(40, 2)))
        found = rank_times(times, names, 0.0, seed=k)
        other = 1 - found.best
        inside += bool(found.low[other] <= 1)
    # The quickest of two equals is chosen after the fact, so that an end of the interval is above 1 in some 5 %.
    assert 88 <= inside <= 99


def test_primal_integral_is_the_distance_from_the_best_of_the_run():
    rows = [
        row("a", 4.0, trace=[[1.0, 2.0, 0.0], [3.0, 1.0, 1.0]], time_limit=10.0),
        row("a", 9.0, solver="cbc", time_limit=10.0),
        row("a", 10.0, "no solution", solver="scip", time_limit=10.0),
    ]
    best = best_known(rows)
    assert best == {"a": 1.0}
    # Nothing for 1 s, then 2 instead of 1, which is half of it, for 2 s.
    assert [integral_of(r, best) for r in rows] == [pytest.approx(0.2), None, 1.0]


def node(program: str, *arguments: str) -> dict:
    if shutil.which("node") is None:
        pytest.skip("no node here")
    script = Path(str(resources.files("oamip_benchmarks.bench.reporting") / "ranking.js"))
    begin = f"const ranking = require({json.dumps(str(script))});"
    done = subprocess.run(["node", "-e", begin + program, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_script_ranks_as_python_does(solves, tmp_path):
    (tmp_path / "data.json").write_text(json.dumps(embedded(solves)))
    read = 'const data = JSON.parse(require("fs").readFileSync(process.argv[1]));'
    tell = """console.log(JSON.stringify({times: ranking.rankTimes(data.rows, 10),
      integrals: ranking.rankIntegrals(data.rows), curves: ranking.curves(data.rows)}));"""
    told = node(read + tell, str(tmp_path / "data.json"))
    times, expected = told["times"], ranked_times(solves, None, 10.0)
    assert times["best"] == expected.best
    assert times["virtual"] == pytest.approx(expected.virtual, rel=1e-5)
    for k, entry in enumerate(times["entries"]):
        assert entry["score"] == pytest.approx(expected.scores[k], rel=1e-5)
        assert entry["ratio"] == pytest.approx(expected.ratios[k], rel=1e-5)
        # Draws differ, so the ends do by the noise of 2,000 draws.
        assert entry["low"] == pytest.approx(expected.low[k], rel=0.1)
        assert entry["high"] == pytest.approx(expected.high[k], rel=0.1)
        assert entry["together"] == expected.together[k]
    best = best_known(solves.rows)
    with_trace = [v for v in solves.variants if not v.startswith("cbc")]
    values = [[integral_of(r, best) for r in solves.of(v)] for v in with_trace]
    whole = [p for p in zip(*values, strict=True) if None not in p]
    integrals = rank_integrals(np.array(whole), [str(k) for k in range(len(whole))])
    assert told["integrals"]["problems"] == len(whole)
    assert [e["score"] for e in told["integrals"]["entries"]] == pytest.approx(list(integrals.scores), abs=1e-6)
    assert told["integrals"]["without"] == [solves.everyone.index(v) for v in solves.variants if v.startswith("cbc")]
    shares = [curve["points"][-1][1] for curve in told["curves"]]
    solved = [sum(r["wall_seconds"] <= 60 and r["status"] == "optimal" for r in solves.of(v)) for v in solves.variants]
    assert shares == pytest.approx([count / 46 for count in solved])


STEPS = """
  const table = document.getElementById("solves"), rows = () => [...table.tBodies[0].rows].filter((r) => !r.hidden);
  const ranked = () => [...document.querySelector("#ranking table").tBodies[0].rows].map((r) => r.cells[1].textContent);
  const click = (value) => document.querySelector(`input[value="${value}"]`).click();
  told.all = [rows().length, ranked()];
  click("medium"); click("large");
  told.small = [rows().length, ranked()];
  click("cbc");
  told.three = [rows().length, ranked()];
  const head = [...table.tHead.rows[0].cells].find((c) => c.textContent === "seconds"), k = head.cellIndex;
  head.firstChild.click();
  told.seconds = rows().map((r) => Number(r.cells[k].textContent));
  const box = document.querySelector("input[type=search]");
  box.value = "switch gurobi"; box.dispatchEvent(new Event("input", {bubbles: true}));
  told.words = [rows().length, ranked()];
  const select = document.querySelector("select"); select.value = "linear";
  select.dispatchEvent(new Event("input", {bubbles: true}));
  told.ticks = [...document.querySelectorAll("#ranking svg text")].map((t) => t.textContent);
  told.log = document.querySelector("#solves a").getAttribute("href");
"""


def test_a_browser_filters_sorts_and_ranks_four_solvers_on_46_instances_in_2_mb(solves, tmp_path):
    pytest.importorskip("matplotlib")
    run = write_run(tmp_path / "run", list(solves.rows))
    out = tmp_path / "pages" / "all.html"
    out.parent.mkdir()
    done = CliRunner().invoke(report, [str(run), "--out", str(out)], standalone_mode=False)
    assert done.return_value == 0, done.output
    text = out.read_text()
    assert len(text.encode()) < 2_000_000
    told, log = told_by(text, STEPS, tmp_path)
    assert "CONSOLE" not in log
    small = Solves(tuple(r for r in solves.rows if r["size"] == "small"))
    counts = len(small.problems)
    assert [told["all"][0], told["small"][0], told["three"][0]] == [184, 4 * counts, 3 * counts]
    # Four variants and the virtual best.
    assert [len(told[name][1]) for name in ("all", "small", "three", "words")] == [5, 5, 4, 2]
    assert all(text.endswith("of 46") for text in told["all"][1][:4])
    assert all(text.endswith(f"of {counts}") for text in told["small"][1][:4])
    assert told["seconds"] == sorted(told["seconds"])
    assert told["words"][0] == sum(r["gate"] == "switch" and r["solver"] == "gurobi" for r in small.rows)
    assert told["ticks"][5:11] == ["0", "12", "24", "36", "48", "60"]
    assert (out.parent / told["log"]).read_text() == "a log\n"


LOGS = {
    "highs": (
        """ J       0       0         0   0.00%   -inf       1.231772374        Large        0      0      0   0   0.0s
 T     350      38       139  48.68%   0.1086037271    1.128296969       90.37%     1194     83   1678 23517    2.0s""",
        [(0.0, 1.231772374, None), (2.0, 1.128296969, 0.1086037271)],
    ),
    "cbc": (
        """Cbc0012I Integer solution of 1.2317724 found by Reduced search after 0 iterations and 0 nodes (0.01 seconds)
Cbc0031I 28 added rows had average density of 47.392857
Cbc0010I After 0 nodes, 1 on tree, 1e+50 best solution, best possible 0.11194893 (0.69 seconds)
Cbc0004I Integer solution of 0.4 found after 27924 iterations and 446 nodes (4.03 seconds)""",
        [(0.01, 1.2317724, None), (0.69, 1.2317724, 0.11194893), (4.03, 0.4, 0.11194893)],
    ),
    "gurobi": (
        """     0     0    0.01038    0   18          -    0.01038      -     -    0s
H    0     0                       0.8663366    0.11529  86.7%     -    0s
* 4920  1605              38       0.4170792    0.22642  45.7%  17.2    4s
  5177  1678     cutoff   27         0.41708    0.22804  45.3%  17.1    5s""",
        [(0.0, None, 0.01038), (0.0, 0.8663366, 0.11529), (4.0, 0.4170792, 0.22642), (5.0, 0.41708, 0.22804)],
    ),
}


@pytest.mark.parametrize("solver", LOGS)
def test_bounds_over_time_are_read_from_logs(solver):
    text, expected = LOGS[solver]
    assert log_trace(solver, text) == expected


def test_shift_is_in_both_sides_of_a_ratio():
    times = np.array([[1.0, 8.0], [4.0, 2.0]])
    found = rank_times(times, ["a", "b"], 10.0)
    means = [shifted_geometric_mean(times[:, k], 10.0) + 10 for k in (0, 1)]
    assert found.ratios.max() == pytest.approx(max(means) / min(means))
