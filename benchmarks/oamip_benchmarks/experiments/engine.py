"""Runs the missing cells of a study; each is on disk before the next is begun."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from oamip_benchmarks.experiments.cells import Cell, Plain
from oamip_benchmarks.experiments.stored import checked_cell
from oamip_benchmarks.experiments.works import run_cell
from oamip_benchmarks.experiments.workshop import Workshop
from oamip_model.errors import InputError
from oamip_model.files import alone
from oamip_model.runs.folders import make_folder
from oamip_model.runs.store import RunStore
from oamip_model.solving.workers.parallel import Workers

CELLS = "cells.jsonl"
Progress = Callable[[int, int, str], None]


def run_cells(
    cells: Sequence[Cell], folder: Path, *, jobs: int = 1, download: bool = False, progress: Progress | None = None
) -> tuple[dict[str, Plain], int]:
    """The results of the cells by key, and how many of them were done now.

    Parameters
    ----------
    cells : sequence of Cell
        The cells.
    folder : Path
        One that :func:`run_folder` keeps to this process.
    jobs : int, default 1
        Cells at a time, each in a process with one thread.
    download : bool, default False
        Whether to fetch data that are not here.
    progress : callable, optional
        Is called as cells are done.

    Raises
    ------
    InputError
        Where the folder's file is no store of cells.
    KeyboardInterrupt
        Where Ctrl-C stopped it; the finished cells are on disk.
    """
    store = RunStore(folder / CELLS)
    for cell in cells:
        if store.get(cell.key) is not None:
            _record(store, cell.key)
    todo = {cell.key: cell for cell in cells if store.get(cell.key) is None}
    total = len({cell.key for cell in cells})
    done = total - len(todo)

    def tell(line: str) -> None:
        if progress is not None:
            progress(done, total, line)

    with closing(Workers(jobs).run(_run, (folder, download), todo, tell)) as finished:
        for key, result in finished:
            cell = todo[key]
            store.put(key, {"work": cell.work, "options": cell.options, "result": result})
            done += 1
            tell(cell.label)
    return {cell.key: _record(store, cell.key)["result"] for cell in cells}, len(todo)


@contextmanager
def run_folder(folder: Path) -> Iterator[None]:
    """Make the run's folder, and keep it to this process while the block lasts.

    Raises
    ------
    InputError
        Where it cannot be made, where another run uses it, or where something in it that a cell would
        read or write is no file.
    """
    make_folder(folder)
    with alone(folder, "out"):
        Workshop(folder).check()
        yield


def stored_cells(folder: Path) -> dict[str, Plain]:
    """Work, options and result of all cells that a run's folder has, by key.

    Raises
    ------
    InputError
        For a folder without any.
    """
    path = folder / CELLS
    if not path.exists():
        raise InputError(f"run: {folder} is no folder of `oamip experiment`, it has no {CELLS}")
    store = RunStore(path)
    return {key: _record(store, key) for key in store.records}


def _record(store: RunStore, key: str) -> Plain:
    record = store.get(key)
    assert record is not None
    return checked_cell(record, f"run: the cell {key} of {store.path} is not one of a study: it")


def _run(shared: tuple[Path, bool], cell: Cell, tell: Callable[[str], None] | None) -> Plain:
    folder, download = shared
    return run_cell(Workshop(folder, tell, download), cell.work, cell.options)
