"""The report of a benchmark's run: one HTML page that needs no other file."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from oamip_benchmarks.bench.reporting.facts import facts
from oamip_benchmarks.bench.reporting.ranking import Ranking, embedded, ranked_times
from oamip_benchmarks.bench.reporting.rows import (
    ANSWERS,
    Row,
    Solves,
    gaps_of,
    number_of,
    program_of,
    solve_seconds,
    times_of,
)
from oamip_benchmarks.bench.reporting.solves_table import add_solves, number, shown
from oamip_benchmarks.bench.reporting.statistics import counted, par10, shifted_geometric_mean
from oamip_model.page import Cell, Page, check_matplotlib
from oamip_model.runs.environment import read_environment

ENVIRONMENT = "environment.json"
HOW_COUNTED = (
    "Time is the wall clock of bounds and solve together; building the program, which is the same for every solver, "
    "is not in it. A solve is solved if it was proved optimal (or infeasible) within its limit and its solution passed "
    "the check. Every other one (stopped at the limit, killed, crashed, out of memory, wrong) counts as its time limit "
    "in the shifted geometric means and as ten times its limit in PAR10. None is left out but those that a licence "
    "forbade. Means are over problems "
    "(an instance with a seed) that every variant has a row of. A variant is solver / bounds / relaxation. "
    "The last column is the mean with its shift of 10 s over the least one with its shift, and its 95 % interval: "
    "instances are drawn anew, and the intervals hold for all variants at once. A mean is green only where that of "
    "every other variant lies above 1. The virtual best is as quick on each problem as the quickest variant there."
)
SUMMARY = (
    "variant", "solved", "of", "geometric mean, shift 10 s", "shift 1 s", "PAR10, s", "median s of the solved",
    "unsolved: median gap", "without gap", "peak MiB", "primal-dual integral",
)  # fmt: skip
RATIO = "times the quickest"
_SHIFT = 10.0


def summary_rows(solves: Solves, size: str | None = None) -> list[dict[str, Any]]:
    """The statistics of each variant, by the names in ``SUMMARY``; None where unknown."""
    table = []
    for variant in solves.variants:
        rows = solves.of(variant, size)
        seconds, solved, limits = times_of(rows)
        spent = counted(seconds, solved, limits)
        gaps = gaps_of(rows)[~solved]
        known = gaps[np.isfinite(gaps)]
        integrals = [v for v in (number_of(row, "primal_dual_integral") for row in rows) if not math.isnan(v)]
        peaks = [v for v in (number_of(row, "peak_memory_mib") for row in rows) if not math.isnan(v)]
        values = (
            variant, int(solved.sum()), len(rows), shifted_geometric_mean(spent, 10.0),
            shifted_geometric_mean(spent, 1.0), par10(seconds, solved, limits),
            float(np.median(seconds[solved])) if solved.any() else None,
            float(np.median(known)) if len(known) else None, int((~np.isfinite(gaps)).sum()),
            max(peaks, default=None), float(np.mean(integrals)) if integrals else None,
        )  # fmt: skip
        table.append(dict(zip(SUMMARY, values, strict=True)))
    return table


def make_page(solves: Solves, environment: dict[str, Any], title: str, logs: str = "") -> Page:
    """The page, with its figures; they need matplotlib.

    Parameters
    ----------
    solves : Solves
        The rows.
    environment : dict
        Where they were made.
    title : str
        The page's title.
    logs : str, default ""
        The way from the page's folder to that of the run, where the logs are. None is linked where it
        is empty.
    """
    check_matplotlib()
    started = sorted(str(row["started"]) for row in solves.rows if row.get("started"))
    when = f", begun {started[0][:16].replace('T', ' ')}" if started else ""
    page = Page(title, f"{len(solves.rows)} solves of {len(solves.everyone)} variants{when}")
    _alerts(page, solves)
    _summary(page, solves)
    if solves.problems:
        page.section("Choose and compare")
        page.text(
            "Rankings of the solves that are chosen in the table below, by size, gate, variant and words.", "faint"
        )
        script = resources.files("oamip_benchmarks.bench.reporting") / "ranking.js"
        page.live("ranking", script.read_text(encoding="utf-8"), embedded(solves))
    add_solves(page, solves, logs)
    if solves.problems:
        _pictures(page, solves)
    _endings(page, solves)
    page.section("Environment")
    page.facts(facts(environment, solves))
    return page


def _alerts(page: Page, solves: Solves) -> None:
    pairs = solves.disagreements()
    if pairs:
        page.text("Solves disagree. In each line at least one of the two named is wrong.", "alert")
        programs: dict[str, list[tuple[Row, Row]]] = {}
        for pair in pairs:
            programs.setdefault(program_of(pair[0]), []).append(pair)
        page.points([_contradiction(solves, found) for found in programs.values()], "alert")
    failed = solves.failed_checks()
    if failed:
        page.text(f"Solutions that failed their check: {len(failed)}.", "alert")
        page.points([f"{row['instance']}, {_who(solves, row)}: {_complaint(row)}" for row in failed], "alert")
    if not pairs and not failed:
        page.text("No two solves contradict each other, and no solution failed its check.", "good")
    parallel = sum(bool(row.get("parallel")) for row in solves.rows)
    if parallel:
        page.text(
            f"{parallel} solves ran beside others on the same machine: their times are not to be relied on.", "alert"
        )
    _loads(page, solves)
    _licences(page, solves)
    if solves.unpaired:
        page.text(
            f"{len(solves.unpaired)} rows are in no mean and no picture, because another variant has no row of the "
            "same problem (yet, or for want of a licence).", "alert",
        )  # fmt: skip


def _loads(page: Page, solves: Solves) -> None:
    """Tell what else the machine had to do, as far as the rows say."""
    loads = [load for row in solves.rows if row.get("load") for load in row["load"]]
    if loads:
        quarters = np.quantile(loads, [0, 0.5, 1])
        page.text(
            "Load of the machine (processes that run or wait, mean over a minute, the solve itself included): "
            f"{quarters[0]:.1f} to {quarters[2]:.1f}, median {quarters[1]:.1f}. Each solve has its own in the table.",
            "faint",
        )


def _licences(page: Page, solves: Solves) -> None:
    """Name the solves that a licence forbade, which are neither failures nor in a mean."""
    if not solves.unlicensed:
        return
    page.text("Solves that a licence forbade. They are no failures, and their problems are in no mean.", "alert")
    found: dict[str, list[Row]] = {}
    for row in solves.unlicensed:
        found.setdefault(solves.variant(row), []).append(row)
    page.points(
        [
            f"{variant}: {len(rows)} of {sum(solves.variant(row) == variant for row in solves.rows)} solves "
            f"({', '.join(sorted({row['instance'] for row in rows}))}): {rows[0].get('message') or 'no reason given'}"
            for variant, rows in found.items()
        ],
        "alert",
    )


def _contradiction(solves: Solves, pairs: list[tuple[Row, Row]]) -> str:
    """The widest contradiction of one program, and how many more there are."""
    above = max((a for a, _ in pairs), key=lambda r: math.inf if r["status"] == "infeasible" else r["bound"])
    below = min((b for a, b in pairs if a is above), key=lambda r: r["objective"])
    claim = "no solution at all" if above["status"] == "infeasible" else f"none below {number(above, 'bound', 9)}"
    more = f"; {len(pairs) - 1} more such pairs" if len(pairs) > 1 else ""
    return (
        f"{program_of(below)}: {_who(solves, below)} has a solution of {number(below, 'objective', 9)}, "
        f"{_who(solves, above)} proves that there is {claim}{more}"
    )


def _complaint(row: Row) -> str:
    return (row.get("check") or {}).get("message") or row.get("message") or "wrong"


def _who(solves: Solves, row: Row) -> str:
    return f"{solves.variant(row)} (seed {row['seed']}, {row['status']})"


def _summary(page: Page, solves: Solves) -> None:
    page.section("Summary")
    page.text(HOW_COUNTED, "faint")
    for size in (None, *(solves.sizes if len(solves.sizes) > 1 else ())):
        rows = summary_rows(solves, size) if solves.problems else []
        ranks = (
            {SUMMARY[3 + k]: ranked_times(solves, size, shift) for k, shift in enumerate((_SHIFT, 1.0))} if rows else {}
        )
        cells: list[list[str | Cell]] = [
            [*(_summary_cell(name, row[name], k, ranks.get(name)) for name in SUMMARY), _ratio(ranks[SUMMARY[3]], k)]
            for k, row in enumerate(rows)
        ]
        if len(rows) > 1:
            found = ranks[SUMMARY[3]]
            told = {"variant": "virtual best"} | {name: shown(rank.virtual, 3) for name, rank in ranks.items()}
            told[RATIO] = f"{(found.virtual + _SHIFT) / (float(found.scores.min()) + _SHIFT):.2f}"
            cells.append([Cell(told.get(name, "-"), "faint") for name in (*SUMMARY, RATIO)])
        page.table((*SUMMARY, RATIO), cells, caption="All problems" if size is None else f"Size {size}")


def _ratio(found: Ranking, number: int) -> str:
    """A variant's shifted mean over the least one, with the shift in both, and its interval."""
    ratio = f"{found.ratios[number]:.2f}"
    return ratio if number == found.best else f"{ratio} ({found.low[number]:.2f} to {found.high[number]:.2f})"


def _summary_cell(name: str, value: Any, number: int, found: Ranking | None) -> Cell:
    if isinstance(value, str):
        return Cell(value)
    several = found is not None and len(found.scores) > 1
    return Cell(shown(value, 3), "good" if several and found and found.settled and number == found.best else "")


def _pictures(page: Page, solves: Solves) -> None:
    from oamip_benchmarks.bench.reporting import figures as draw

    page.section("Times")
    page.figures(
        (draw.performance_profile(solves), "How often each variant is within a factor of the quickest; its height at "
         "the right is the share that it solves (Dolan, More 2002)."),
        (draw.cactus(solves), "How many problems each variant solves in so many seconds each; dotted: the limit."),
    )  # fmt: skip
    pairs = draw.pairs_of(solves)
    if pairs:
        page.section("Pairs")
        all_pairs = len(solves.variants) * (len(solves.variants) - 1) // 2
        text = (
            "Seconds on each problem. Hollow: not solved by at least one of the two, and drawn at its limit (dotted)."
        )
        if len(pairs) < all_pairs:
            text += f" {len(pairs)} of {all_pairs} pairs: every variant against the one that solved most."
        page.text(text, "faint")
        page.figures(*((draw.pair_scatter(solves, a, b), f"{a} and {b}") for a, b in pairs))
    page.section("Gaps and bounds")
    pictures = [
        (draw.gap_profile(solves), "Share of problems that ended within a gap; what has no gap is never reached.")
    ]
    traced = draw.bounds_over_time(solves, *_longest_traced(solves))
    if traced is not None:
        pictures.append((traced, "Objective and bound over time on the problem that took longest of those traced."))
    page.figures(*pictures)


def _longest_traced(solves: Solves) -> tuple[str, int]:
    traced = [row for row in solves.rows if len(row.get("trace") or []) > 1]
    row = max(traced or solves.rows, key=solve_seconds)
    return row["instance"], row["seed"]


def _endings(page: Page, solves: Solves) -> None:
    page.section("How solves ended")
    statuses = sorted({row["status"] for row in solves.rows}, key=lambda s: (s not in ANSWERS, s))
    lines = [
        [v, *(str(sum(r["status"] == s and solves.variant(r) == v for r in solves.rows)) for s in statuses)]
        for v in solves.everyone
    ]
    page.table(["variant", *statuses], lines)


def make_report(folder: Path, rows: Sequence[Row], title: str = "", place: Path | None = None) -> tuple[Page, Solves]:
    """The page of a run folder's rows, and the rows as the page counts them.

    Parameters
    ----------
    folder : Path
        The run's folder.
    rows : sequence of dict
        Its rows.
    title : str, optional
        The page's title.
    place : Path, optional
        The folder that the page will lie in, from which logs are linked. It is the run's own by default.

    Raises
    ------
    InputError
        Where there are no rows.
    """
    solves, path = Solves(tuple(rows)), folder / ENVIRONMENT
    environment = read_environment(path, "run") if path.exists() else {}
    logs = Path(os.path.relpath(folder.resolve(), (place or folder).resolve())).as_posix()
    return make_page(solves, environment, title or f"Benchmark {folder.resolve().name}", logs), solves
