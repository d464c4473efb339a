"""The regression watch: the same solves again and again, each run against the last finished one of this machine.

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

    folder: of this run; rows: of its solves; previous: folder of the last finished run before it on this machine, None
    where there is none; comparisons: one a variant that both have; unlike: why there is none although there is a
    previous run.
    """

    folder: Path
    rows: list[Row]
    previous: Path | None
    comparisons: list[Comparison]
    unlike: str = ""


def watch(
    plan: Sequence[Solve], folder: Path, *, grace: float = 10.0, progress: Callable[[int, int, Row], None] | None = None
) -> Watched:
    """Run the plan in a new folder within ``folder``, and compare it with the last finished run of this machine.

    An unfinished run of the same revision of the code goes on instead. Raises what :func:`run_plan` raises, and
    InputError where the folder cannot be made.
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
    """The finished runs in a folder that were made on the machine ``here``, first to last."""
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
