"""The facts of a run: its machine, versions and limits."""

from __future__ import annotations

from typing import Any

from oamip_benchmarks.bench.reporting.rows import Solves


def facts(environment: dict[str, Any], solves: Solves) -> list[tuple[str, str]]:
    """What is known of a run's machine, versions and limits.

    Parameters
    ----------
    environment : dict
        The record of the run's environment.
    solves : Solves
        The rows of the run.

    Returns
    -------
    list of tuple
        Names and values, as text.
    """
    found = [(name.replace("_", " "), _text(value)) for name, value in environment.items()]
    versions = {f"{row['solver']} {row.get('version')}" for row in solves.rows}
    found.append(("solvers", ", ".join(sorted(versions))))
    revisions = {str(row["revision"]) for row in solves.rows if row.get("revision")}
    if len(revisions) > 1:
        found.append(("revisions of the rows", ", ".join(sorted(revisions))))
    for name in ("time_limit", "threads", "tolerance", "memory"):
        values = sorted({row[name] for row in solves.rows if row.get(name) is not None})
        if values:
            found.append((name.replace("_", " "), ", ".join(f"{value:g}" for value in values)))
    return found


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(part)}" for name, part in value.items())
    return ", ".join(map(_text, value)) if isinstance(value, list) else str(value)
