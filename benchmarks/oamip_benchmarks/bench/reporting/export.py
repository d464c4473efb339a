"""The rows of a run as one table: CSV, and Parquet where pyarrow is installed."""

from __future__ import annotations

import json

from oamip_benchmarks.bench.reporting.rows import Solves, is_solved, solve_seconds
from oamip_model.runs.tables import Record


def flat_table(solves: Solves) -> list[Record]:
    """One flat record for each row of the run.

    Its fields, those of its check as ``check_...``, lists as JSON text, and before them ``variant``, ``solved`` and
    ``seconds`` as the report counts them.
    """
    lines: list[Record] = []
    for row in solves.rows:
        plain = {name: value for name, value in row.items() if name != "check"}
        check = {f"check_{name}": value for name, value in (row.get("check") or {}).items()}
        told = {"variant": solves.variant(row), "solved": is_solved(row), "seconds": solve_seconds(row)}
        lines.append({n: json.dumps(v) if isinstance(v, list | dict) else v for n, v in (told | plain | check).items()})
    return lines
