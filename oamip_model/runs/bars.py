"""A bar that shows how far a run is, in a terminal or a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oamip_model.clock import telling

Progress = Callable[[int, int, str], None]


def somebody_looks() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


@contextmanager
def moving_bar(unit: str) -> Iterator[Progress | None]:
    """A function that moves a bar on standard error, None where nobody looks.

    It takes (done, of how many, a line). The bar is gone after the block.
    """
    if not somebody_looks():
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
