"""Checks a run again from its stored points, and every claim against every other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from oamip_benchmarks.bench.check import check_point
from oamip_benchmarks.bench.programs import build_program
from oamip_benchmarks.bench.recipes import find_recipe
from oamip_benchmarks.bench.reporting.rows import Solves
from oamip_benchmarks.bench.rows import Row
from oamip_model.arrays import open_arrays
from oamip_model.errors import InputError


@dataclass(frozen=True)
class Findings:
    """The findings of a check of a run.

    Parameters
    ----------
    checked : int
        How many solutions were checked.
    failed : tuple
        Rows whose solution does not hold, with the reason.
    disagreements : tuple
        Pairs of rows whose ranges from bound to objective do not meet.
    wrong : tuple of Row
        Rows that the run itself called wrong.
    """

    checked: int
    failed: tuple[tuple[Row, str], ...]
    disagreements: tuple[tuple[Row, Row], ...]
    wrong: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        """Whether there is nothing to object to."""
        return not (self.failed or self.disagreements or self.wrong)


def check_run(folder: Path, rows: Sequence[Row], progress: Callable[[int, int], None] | None = None) -> Findings:
    """The findings of a run folder, from its recipes and stored points.

    Each program is rebuilt from its recipe, and each stored point is checked in it. A row that claims
    an objective without a stored point fails.

    Parameters
    ----------
    folder : Path
        The run's folder.
    rows : sequence of Row
        Its rows.
    progress : callable, optional
        Is called with the number of programs done, and of all programs.

    Returns
    -------
    Findings
        What is wrong.

    Raises
    ------
    InputError
        For an instance that the library does not have.
    """
    failed: list[tuple[Row, str]] = []
    checked = 0
    for number, row in enumerate(rows):
        if row["objective"] is not None and row["check"] is not None:
            found = _check_row(folder, row)
            checked += 1
            if not found["passed"]:
                failed.append((row, found["message"]))
        elif row["status"] == "optimal":
            failed.append((row, "claimed optimal without a solution"))
        if progress is not None:
            progress(number + 1, len(rows))
    pairs = tuple(Solves(tuple(rows)).disagreements()) if rows else ()
    return Findings(checked, tuple(failed), pairs, tuple(row for row in rows if row["status"] == "wrong"))


def _check_row(folder: Path, row: Row) -> dict[str, Any]:
    path = folder / "points" / f"{row['key']}.npz"
    if not path.exists():
        return {"passed": False, "message": "the solution is not stored"}
    program = build_program(find_recipe(row["instance"]), row["bounds"], row["relaxation"])
    with open_arrays(path, f"run: {path}") as file:
        x = file.read("x")
    if x.ndim != 1 or x.dtype.kind not in "fiu":
        raise InputError(f"run: {path} holds an x of shape {x.shape} and type {x.dtype}, accepted is a row of numbers")
    if x.shape != program.arrays.cost.shape:
        return {"passed": False, "message": f"the stored point has {len(x)} columns, not {len(program.arrays.cost)}"}
    return check_point(program, x.astype(np.float64), row["objective"])
