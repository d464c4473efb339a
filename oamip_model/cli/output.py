"""What verbs print.

Tables and JSON are on standard output, notes and bars on standard error.
"""

from __future__ import annotations

import json
import os
import sys
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from oamip_model.clock import telling
from oamip_model.runs.bars import Progress, bars_shown

INTERRUPTED = 130
UNPROVED = 3


def print_json(record: dict[str, Any]) -> None:
    """Print one JSON object on standard output."""
    click.echo(json.dumps(record, indent=1, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1, less: Sequence[str] = ()) -> None:
    """Print rows in aligned columns, within the width of the terminal.

    The first ``left`` columns are flush left; the others hold numbers, and are flush right. Where the terminal is too
    narrow, columns of ``less`` are left out, the last of them first, and a note says so.
    """
    from oamip_model.network.table import text_table, without

    width = terminal_width()
    heads = list(columns)
    if width is not None:
        heads, rows = without(columns, rows, less, width)
    left -= sum(head not in heads for head in columns[:left])
    click.echo(text_table(heads, rows, range(left, len(heads)), rule=False, width=width, keys=left))
    if len(heads) < len(columns):
        note(f"not shown, in --json: {', '.join(head for head in columns if head not in heads)}")


def say(text: str) -> None:
    """Print a sentence, broken between words where the terminal ends."""
    click.echo(broken(text, terminal_width()))


def broken(text: str, width: int | None) -> str:
    """The text, broken between words where a line is wider than the terminal.

    What follows is indented as its line is.

    Examples
    --------
    >>> broken("one two three", 7).splitlines(), broken("one two three", None)
    (['one two', 'three'], 'one two three')
    >>> broken("  one two", 6).splitlines()
    ['  one', '  two']
    """
    if width is None:
        return text
    lines = []
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        parts = textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )  # fmt: skip
        lines += parts or [""]
    return "\n".join(lines)


def terminal_width() -> int | None:
    """Columns of the terminal, or those that COLUMNS names.

    It is None where standard output is a file or a pipe.
    """
    asked = os.environ.get("COLUMNS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    # Some pseudo-terminals say that they have 0 columns.
    return (os.get_terminal_size(sys.stdout.fileno()).columns or None) if sys.stdout.isatty() else None


def note(line: str) -> None:
    """Print a line on standard error."""
    if _watch is not None:
        _watch.last = time.monotonic()
    click.echo(broken(line, error_width()), err=True)


def error_width() -> int | None:
    """Columns of the terminal behind standard error.

    They are None where it is a file or a pipe.
    """
    return (os.get_terminal_size(sys.stderr.fileno()).columns or None) if sys.stderr.isatty() else None


_SILENCES = (4.0, 12.0, 15.0, 30.0, 60.0)
"""Seconds without a line, and without a bar, after which a line says what is being done; the last again and again."""
_BEFORE = 10.0
"""The same before anything is known to be done: what is wrong with the input comes first, and in one line."""


class _Watch:
    """What is being done, and whether something of it is to be seen."""

    def __init__(self) -> None:
        self.began = self.last = time.monotonic()
        self.doing, self.lines, self.begun = "reading", 0, False
        self.ended = threading.Event()

    def tell(self, doing: str) -> None:
        if not self.begun:
            self.begun, self.last = True, time.monotonic()
        self.doing = doing

    def run(self) -> None:
        """Write a line after each silence, whatever the main thread is in."""
        while not self.ended.wait(0.2):
            silence = _SILENCES[min(self.lines, len(_SILENCES) - 1)] if self.begun else _BEFORE
            if bars_shown():
                self.last = time.monotonic()
            elif time.monotonic() - self.last >= silence:
                self.lines += 1
                note(f"oamip: [{time.monotonic() - self.began:.0f} s] {self.doing}")


_watch: _Watch | None = None


@contextmanager
def alive() -> Iterator[None]:
    """Print a line on standard error, within this block, for what takes long.

    The line says what is being done.
    """
    global _watch
    _watch = watch = _Watch()
    thread = threading.Thread(target=watch.run, daemon=True, name="signs of life")
    thread.start()
    try:
        with telling(watch.tell):
            yield
    finally:
        _watch = None
        watch.ended.set()
        thread.join()


@contextmanager
def signs_of_life(progress: Progress | None) -> Iterator[None]:
    """Show on the bar, within this block, what takes long.

    It does so where there is a bar.
    """
    if progress is None:
        yield
        return
    with telling(lambda doing: progress(0, 0, doing)):
        yield


def number(value: float | None, digits: int = 6) -> str:
    """A number for a table, or a dash where it is unknown."""
    return "-" if value is None else f"{value:.{digits}g}"


def percent(value: float) -> str:
    """A share as a percentage."""
    return f"{100 * value:.1f} %"
