"""Shows solves while the benchmark's verbs run, and decides on exit code 5."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from oamip_model.cli.output import note
from oamip_model.errors import CheckError
from oamip_model.runs.bars import Progress

if TYPE_CHECKING:
    from oamip_benchmarks.bench.recheck import Findings

SIZES = click.Choice(["small", "medium", "large"])
size_option = click.option("--size", "sizes", type=SIZES, multiple=True, help="Only these sizes; repeat for several.")

tag_option = click.option(
    "--tag", "tags", multiple=True, help="Only instances with this tag; repeat for all of several."
)


def teller(move: Progress | None) -> Callable[[int, int, dict[str, Any]], None]:
    """A function that reports each finished solve, on the progress bar or as a line."""

    def tell(done: int, total: int, row: dict[str, Any]) -> None:
        line = f"{row['instance']} {row['solver']} seed {row['seed']}: {row['status']} in {row['wall_seconds']:.2f} s"
        if move is not None:
            move(done, total, line)
        else:
            note(f"{done}/{total} {line}")

    return tell


def findings_of(rows: list[dict[str, Any]]) -> Findings:
    """The faults of rows that have just been made.

    Each solution was checked when its row was made.
    """
    from oamip_benchmarks.bench.recheck import Findings
    from oamip_benchmarks.bench.reporting.rows import Solves

    pairs = tuple(Solves(tuple(rows)).disagreements()) if rows else ()
    return Findings(0, (), pairs, tuple(row for row in rows if row["status"] == "wrong"))


def verdict(found: Findings) -> int:
    """The exit code of the findings, which are printed on standard error.

    They are red where that is a terminal.
    """
    for row, message in found.failed:
        click.secho(f"failed: {_who(row)}: {message}", fg="red", err=True)
    for row in found.wrong:
        click.secho(f"wrong: {_who(row)}: {row['message']}", fg="red", err=True)
    for above, below in found.disagreements:
        told = f"bound {above['bound']!r} of {_who(above)} is above objective {below['objective']!r} of {_who(below)}"
        click.secho(f"disagree: {told}", fg="red", err=True)
    return 0 if found.passed else CheckError.exit_code


def _who(row: dict[str, Any]) -> str:
    return f"{row['instance']} {row['bounds']} {row['relaxation']} {row['solver']} seed {row['seed']} ({row['status']})"
