"""The tables of a report that have a line for each solve, and for each problem."""

from __future__ import annotations

import math

from oamip_benchmarks.bench.reporting.ranking import best_known, integral_of
from oamip_benchmarks.bench.reporting.rows import ANSWERS, Row, Solves, is_solved, number_of, solve_seconds
from oamip_model.page import Cell, Page

COLUMNS = (
    "instance", "size", "gate", "variant", "ended", "seconds", "objective", "bound", "gap", "nodes",
    "primal integral", "seed", "load", "log",
)  # fmt: skip
CHOOSE = ("size", "gate", "variant")


def add_solves(page: Page, solves: Solves, logs: str) -> None:
    """Add the table of solves, and the one of problems by variant.

    logs: the way from the page's folder to the run's.
    """
    accused = {row["key"] for pair in solves.disagreements() for row in pair if "key" in row}
    best = best_known(solves.rows)
    page.section("Solves")
    page.text(
        "A click on a head sorts. Primal integral: mean distance from the best objective of this run over the time "
        "limit, where incumbents over time are known (Gurobi tells whole seconds). Load: before and after. Red: wrong, "
        "or in a disagreement.",
        "faint",
    )
    lines = [_solve(solves, row, best, row.get("key") in accused, logs) for row in solves.rows]
    page.table(COLUMNS, lines, left=4, sortable=True, choose=CHOOSE, name="solves", caption=f"{len(lines)} solves")
    keys = sorted({(row["instance"], row["seed"]) for row in solves.rows})
    sizes = {row["instance"]: row["size"] for row in solves.rows}
    table: list[list[str | Cell]] = []
    for instance, seed in keys:
        line: list[str | Cell] = [instance, sizes[instance], str(seed)]
        found = [solves.cells.get((variant, instance, seed)) for variant in solves.everyone]
        line += [Cell("-", "faint") if row is None else _outcome(row, row.get("key") in accused) for row in found]
        table.append(line)
    page.section("Instances")
    page.text("Seconds where solved; otherwise how it ended and the gap.", "faint")
    columns = ["instance", "size", "seed", *solves.everyone]
    page.table(columns, table, left=2, folded=len(table) > 100, caption=f"{len(table)} problems", sortable=True)


def _solve(solves: Solves, row: Row, best: dict[str, float], accused: bool, logs: str) -> list[str | Cell]:
    integral, gap, load = integral_of(row, best), number_of(row, "gap"), row.get("load")
    wrong = _is_wrong(row, accused)
    return [
        Cell(row["instance"], title=" ".join(row.get("tags") or ())), row["size"], row.get("gate") or "-",
        solves.short[solves.variant(row)],
        Cell(_ending(row, wrong), "alert" if wrong else "" if is_solved(row) else "faint", row.get("message") or ""),
        f"{solve_seconds(row):.2f}", number(row, "objective", 6), number(row, "bound", 6),
        "-" if math.isnan(gap) else _percent(gap), number(row, "nodes"),
        "-" if integral is None else _percent(integral), str(row["seed"]),
        "-" if not load else f"{load[0]:.1f}, {load[1]:.1f}",
        Cell("log", link=f"{logs}/{row['log']}") if row.get("log") and logs else "-",
    ]  # fmt: skip


def _is_wrong(row: Row, accused: bool) -> bool:
    return accused or row["status"] == "wrong" or (row.get("check") or {}).get("passed") is False


def _ending(row: Row, wrong: bool) -> str:
    """How a solve ended: its status, or that its answer came after the limit."""
    return "late" if row["status"] in ANSWERS and not wrong and not is_solved(row) else str(row["status"])


def _outcome(row: Row, accused: bool) -> Cell:
    objective, bound = number(row, "objective", 9), number(row, "bound", 9)
    title = f"objective {objective}, bound {bound}, nodes {number(row, 'nodes')}. {row.get('message') or ''}".strip()
    wrong = _is_wrong(row, accused)
    if is_solved(row) and not wrong:
        return Cell(f"{solve_seconds(row):.2f}", "", title)
    gap, ending = number_of(row, "gap"), _ending(row, wrong)
    text = ending if math.isnan(gap) or row["status"] == "wrong" else f"{ending}, {_percent(gap)}"
    return Cell(text, "alert" if wrong else "faint", title)


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:,.0f} %"


def number(row: Row, name: str, digits: int = 6) -> str:
    """A number of a row as the page shows it, "-" where there is none."""
    return shown(row.get(name), digits)


def shown(value: float | None, digits: int) -> str:
    """A number with so many significant digits, "-" for None.

    From 1,000 on, one of three digits is in full.
    """
    if value is None:
        return "-"
    if isinstance(value, int) or (digits == 3 and abs(value) >= 1000):
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}".rstrip(".") if digits == 3 else f"{value:.{digits}g}"
