"""The regression watch: each run is compared with the last one of this machine.

A folder holds the runs, one folder each, named by the time at which it began.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from oamip_benchmarks.bench.compare import Comparison, compare_runs
from oamip_benchmarks.bench.rows import Row, Solve, read_rows
from oamip_benchmarks.bench.runner import ENVIRONMENT, run_plan
from oamip_model.errors import InputError
from oamip_model.files import replacing
from oamip_model.runs.environment import describe, read_environment, same_machine
from oamip_model.runs.folders import make_folder

FINISHED = "finished.json"


@dataclass(frozen=True)
class Watched:
    """A finished run, and what it was compared with.

    Parameters
    ----------
    folder : Path
        Of this run.
    rows : list of Row
        The rows of its solves.
    previous : Path or None
        The folder of the last finished run before it on this machine.
    comparisons : list of Comparison
        One for each variant that both have.
    unlike : str
        Why there is no comparison although there is a previous run.
    """

    folder: Path
    rows: list[Row]
    previous: Path | None
    comparisons: list[Comparison]
    unlike: str = ""


def watch(
    plan: Sequence[Solve], folder: Path, *, grace: float = 10.0, progress: Callable[[int, int, Row], None] | None = None
) -> Watched:
    """Run the plan in a new folder, and compare it with the last finished run.

    Only runs of this machine are compared. An unfinished run of the same revision of the code is
    continued instead.

    Parameters
    ----------
    plan : sequence of Solve
        The solves.
    folder : Path
        The folder of all runs.
    grace : float, default 10
        Seconds beyond the limit before a solve is killed.
    progress : callable, optional
        Is called with the number of solves done, of all solves, and the new row.

    Raises
    ------
    InputError
        Where the folder cannot be made, or :func:`run_plan` raises it.
    """
    here = describe()
    make_folder(folder)
    mine = _unfinished(folder, here) or folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    rows = run_plan(plan, mine, grace=grace, progress=progress)
    previous = max((run for run in runs_of(folder, here) if run != mine), default=None)
    with replacing(mine / FINISHED) as temporary:
        told = {"solves": len(rows), "compared_with": None if previous is None else previous.name}
        temporary.write_text(json.dumps(told) + "\n", encoding="utf-8")
    if previous is None:
        return Watched(mine, rows, None, [])
    try:
        return Watched(mine, rows, previous, compare_runs(read_rows(previous), rows))
    except InputError as error:
        return Watched(mine, rows, previous, [], str(error))


def runs_of(folder: Path, here: dict[str, Any]) -> list[Path]:
    """The finished runs in a folder that were made on a machine, first to last.

    Parameters
    ----------
    folder : Path
        The folder of all runs.
    here : dict
        The machine, as ``describe`` of :mod:`oamip_model.runs.environment` gives it.
    """
    return [run for run in _all_of(folder, here) if (run / FINISHED).exists()]


def _all_of(folder: Path, here: dict[str, Any]) -> list[Path]:
    return sorted(
        path.parent for path in folder.glob(f"*/{ENVIRONMENT}") if same_machine(read_environment(path, "out"), here)
    )


def _unfinished(folder: Path, here: dict[str, Any]) -> Path | None:
    """The last run, if it was cut short and the code is that of then; code with changes of its own may be another."""
    last = max(_all_of(folder, here), default=None)
    if last is None or (last / FINISHED).exists():
        return None
    revision = read_environment(last / ENVIRONMENT, "out").get("revision")
    same = revision is not None and revision == here["revision"] and not revision.endswith("+changes")
    return last if same else None
