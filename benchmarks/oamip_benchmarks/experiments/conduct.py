"""Conducts a study: runs the cells that are missing, and writes table and figure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from oamip_benchmarks.experiments.cells import Cell, Plain
from oamip_benchmarks.experiments.engine import Progress, run_cells, run_folder
from oamip_benchmarks.experiments.reporting.table import Line, write_cells, write_table
from oamip_benchmarks.experiments.scorers import check_images
from oamip_benchmarks.experiments.stored import read_study
from oamip_benchmarks.experiments.study import Asked, Study
from oamip_model.errors import InputError
from oamip_model.files import check_writable, replacing
from oamip_model.page import check_matplotlib
from oamip_model.runs.environment import describe

SUFFIX = ".study.json"


@dataclass(frozen=True)
class Conducted:
    """A study that is done.

    Parameters
    ----------
    lines : tuple of Line
        Its table.
    cells : int
        How many cells it has.
    done : int
        How many of them were done now.
    files : tuple of Path
        The files that were written.
    """

    lines: tuple[Line, ...]
    cells: int
    done: int
    files: tuple[Path, ...]


def conduct(study: Study, asked: Asked, folder: Path, *, jobs: int = 1, progress: Progress | None = None) -> Conducted:
    """The study's table, which is written into ``folder`` with its figure and records.

    The files are NAME.csv, NAME-cells.csv, NAME.png and NAME.study.json. The same study in the same
    folder continues with the missing cells. Other studies may share the folder, its networks and
    scores.

    Parameters
    ----------
    study : Study
        The study.
    asked : Asked
        Its options.
    folder : Path
        The run's folder.
    jobs : int, default 1
        Cells at once.
    progress : callable, optional
        Is called as cells are done.

    Returns
    -------
    Conducted
        The study.

    Raises
    ------
    InputError
        For what cannot be planned or written.
    KeyboardInterrupt
        Where Ctrl-C stopped it; the finished cells are kept.
    """
    check_matplotlib("experiment: its figure needs")
    cells = study.plan(asked)
    check_images(cells, asked.download)
    with run_folder(folder):
        return _conducted(study, asked, cells, folder, jobs, progress)


def _conducted(
    study: Study, asked: Asked, cells: Sequence[Cell], folder: Path, jobs: int, progress: Progress | None
) -> Conducted:
    table, cells_table, picture, record = (
        check_writable(folder / f"{study.name}{ending}", "out") for ending in (".csv", "-cells.csv", ".png", SUFFIX)
    )
    before = read_study(record) if record.exists() else None
    results, done = run_cells(cells, folder, jobs=jobs, download=asked.download, progress=progress)
    found = [(cell.tags, results[cell.key]) for cell in cells]
    lines = study.table(found)
    files = (table, cells_table, picture)
    there = before is not None and all(path.exists() for path in files)
    if done or not there or before is None or before["cells"] != _listed(cells):
        write_table(lines, table)
        write_cells(found, cells_table)
        figure = study.draw(lines)
        with replacing(picture) as temporary:
            figure.savefig(temporary, dpi=110)
        text = {"study": study.name, "asked": asdict(asked), "environment": describe(), "cells": _listed(cells)}
        with replacing(record) as temporary:
            temporary.write_text(json.dumps(text, indent=1) + "\n", encoding="utf-8")
    return Conducted(tuple(lines), len({cell.key for cell in cells}), done, files)


def _listed(cells: Sequence[Cell]) -> list[Plain]:
    return [{"key": cell.key, "work": cell.work, "tags": cell.tags} for cell in cells]


def read_records(folder: Path) -> list[Plain]:
    """The records of the finished studies of a folder, by name.

    Raises
    ------
    InputError
        Where there is none.
    """
    found = [read_study(path) for path in sorted(folder.glob(f"*{SUFFIX}"))]
    if not found:
        raise InputError(f"run: {folder} holds no finished study of `oamip experiment`")
    return found
