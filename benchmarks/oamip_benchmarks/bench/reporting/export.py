"""The rows of a run as one table, for spreadsheets and data frames: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from oamip_benchmarks.bench.reporting.rows import Solves, is_solved, solve_seconds
from oamip_model.errors import InputError
from oamip_model.files import replacing, replacing_table


def flat_table(solves: Solves) -> dict[str, list[Any]]:
    """Columns of equal length, one entry for each row of the run.

    Its fields, those of its check as ``check_...``, lists as JSON text, and before them ``variant``, ``solved`` and
    ``seconds`` as the report counts them.
    """
    lines = []
    for row in solves.rows:
        plain = {name: value for name, value in row.items() if name != "check"}
        check = {f"check_{name}": value for name, value in (row.get("check") or {}).items()}
        told = {"variant": solves.variant(row), "solved": is_solved(row), "seconds": solve_seconds(row)}
        lines.append({n: json.dumps(v) if isinstance(v, list | dict) else v for n, v in (told | plain | check).items()})
    names = list(dict.fromkeys(name for line in lines for name in line))
    return {name: [line.get(name) for line in lines] for name in names}


def write_csv(solves: Solves, path: Path) -> None:
    """Write the table as CSV; what is not known is an empty field. Raises InputError where it cannot be written."""
    table = flat_table(solves)
    with replacing_table(path) as file:
        writer = csv.writer(file)
        writer.writerow(table)
        writer.writerows(zip(*table.values(), strict=True))


def check_pyarrow() -> None:
    """Raise InputError, saying what to install, where pyarrow is missing."""
    try:
        import pyarrow  # noqa: F401
    except ImportError:
        raise InputError("parquet: needs pyarrow: pip install 'oamip_model[parquet]'") from None


def write_parquet(solves: Solves, path: Path) -> None:
    """Write the table as Parquet. Raises InputError where pyarrow is missing, or the file cannot be written."""
    check_pyarrow()
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: _column(values) for name, values in flat_table(solves).items()}
    with replacing(path) as temporary:
        pq.write_table(pa.table(columns), temporary)


def _column(values: Sequence[Any]) -> Sequence[Any]:
    """The values in one type: whole numbers beside fractions become fractions."""
    if any(isinstance(value, float) for value in values):
        return [float(value) if isinstance(value, int) else value for value in values]
    return values
