"""What verbs print: tables and JSON on standard output, notes and bars on standard error."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from oamip_model.clock import telling

INTERRUPTED = 130
UNPROVED = 3

Progress = Callable[[int, int, str], None]


def print_json(record: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(record, indent=1, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print rows in aligned columns; the first ``left`` columns are flush left, the others, numbers, flush right."""
    lines = [columns, *rows]
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    for line in lines:
        cells = [
            cell.ljust(width) if k < left else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        click.echo("  ".join(cells).rstrip())


def note(line: str) -> None:
    """Print a line on standard error."""
    click.echo(line, err=True)


@contextmanager
def progress_bar(unit: str) -> Iterator[Progress | None]:
    """A function that moves a bar on standard error: (done, of how many, a line). None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    console = Console(stderr=True)
    line_column = TextColumn("{task.fields[line]}", table_column=Column(no_wrap=True, overflow="ellipsis"))
    time_column = TimeElapsedColumn(table_column=Column(min_width=7, no_wrap=True))
    columns = (MofNCompleteColumn(), TextColumn(unit), BarColumn(10), time_column, line_column)
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, line="")

        def move(done: int, total: int, line: str) -> None:
            bar.update(task, completed=done, total=total, line=line)

        yield move


_SILENCE = 15.0
"""Seconds without a terminal after which a line says what is being done."""


@contextmanager
def signs_of_life(progress: Progress | None) -> Iterator[None]:
    """Within this block what takes long is told: on the bar, or as a line now and then where there is none."""
    began = last = time.monotonic()

    def tell(doing: str) -> None:
        nonlocal last
        if progress is not None:
            progress(0, 0, doing)
        elif time.monotonic() - last >= _SILENCE:
            last = time.monotonic()
            note(f"oamip: [{last - began:.0f} s] {doing}")

    with telling(tell):
        yield


def number(value: float | None, digits: int = 6) -> str:
    """A number for a table, or a dash where it is unknown."""
    return "-" if value is None else f"{value:.{digits}g}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"
