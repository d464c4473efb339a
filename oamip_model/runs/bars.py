"""A bar that shows how far a run is, in a terminal or a notebook."""

from __future__ import annotations

import html
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from oamip_model.clock import telling

Progress = Callable[[int, int, str], None]
_PAUSE = 0.2
"""Seconds at least between two changes of a bar in a notebook."""
_open = 0


def bars_shown() -> int:
    """How many bars are being shown."""
    return _open


def somebody_looks() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or in_notebook()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    known = sys.modules.get("IPython")
    return known is not None and hasattr(known.get_ipython(), "kernel")


@contextmanager
def moving_bar(unit: str) -> Iterator[Progress | None]:
    """A function that moves a bar, None where nobody looks.

    It takes (done, of how many, a line). The bar is on standard error, or below a notebook's cell. It is gone after
    the block.
    """
    global _open
    if not somebody_looks():
        yield None
        return
    _open += 1
    try:
        with (_below_the_cell if in_notebook() else _on_the_terminal)(unit) as move:
            yield move
    finally:
        _open -= 1


@contextmanager
def _on_the_terminal(unit: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar
    from rich.table import Column

    # The line alone gives way where the terminal is narrow.
    line_column = TextColumn("{task.fields[line]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1))
    fixed = Column(no_wrap=True)
    count_column, time_column = MofNCompleteColumn(table_column=fixed), TimeElapsedColumn(table_column=fixed)
    bar_column = BarColumn(10, table_column=Column(no_wrap=True, min_width=10))
    columns = (count_column, TextColumn(unit, table_column=fixed), bar_column, time_column, line_column)
    with Bar(*columns, console=Console(stderr=True), transient=True, expand=True) as bar:
        task = bar.add_task("", total=None, line="")

        def move(done: int, total: int, line: str) -> None:
            bar.update(task, completed=done, total=total, line=line)

        yield move


@contextmanager
def _below_the_cell(unit: str) -> Iterator[Progress]:
    """A bar of HTML, for which a notebook needs no widgets."""
    from IPython.display import display

    began, last = time.monotonic(), -_PAUSE
    handle = display(_drawn(unit, 0, 0, "", 0.0), raw=True, display_id=True)

    def move(done: int, total: int, line: str) -> None:
        nonlocal last
        now = time.monotonic() - began
        if now - last >= _PAUSE:
            last = now
            handle.update(_drawn(unit, done, total, line, now), raw=True)

    try:
        yield move
    finally:
        handle.update({"text/plain": "", "text/html": ""}, raw=True)


def _drawn(unit: str, done: int, total: int, line: str, seconds: float) -> dict[str, Any]:
    """The bar in the two forms that a notebook may show."""
    minutes, rest = divmod(int(seconds), 60)
    text = f"{done}/{total or '?'} {unit} {minutes // 60}:{minutes % 60:02d}:{rest:02d} {line}"
    value = f' value="{done}" max="{total}"' if total else ""
    return {"text/plain": text, "text/html": f"<progress{value}></progress> <code>{html.escape(text)}</code>"}


@contextmanager
def shown(progress: Progress | None, wanted: bool, unit: str) -> Iterator[Progress | None]:
    """The function that is called with progress, given or that of a bar.

    A bar is made where one is wanted. Under a bar, what is being done is shown between two steps too.
    """
    if not wanted:
        yield progress
        return
    with moving_bar(unit) as move:
        if move is None:
            yield None
            return
        latest = [0, 0]

        def step(done: int, total: int, line: str) -> None:
            latest[:] = done, total
            move(done, total, line)

        with telling(lambda doing: move(latest[0], latest[1], doing)):
            yield step
