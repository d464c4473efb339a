"""The rows of a run: one JSON line a solve, appended and synced, and what is planned by a key."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from oamip_benchmarks.bench.recipes import Recipe, find_recipe
from oamip_model.errors import InputError
from oamip_model.files import append_line
from oamip_model.scoring.store import key_of

LICENCE = "licence"
STATUSES = (
    "optimal", "feasible", "no solution", "infeasible", "timeout", "crash", "memory", "wrong", "error", LICENCE,
)  # fmt: skip
"""How a solve can end. timeout: killed after its limit and the grace; memory: killed at the cap, or out of memory;
wrong: the solution fails its check, or a better one is known than it claims to be possible; licence: the solver's
licence ends below the size of the program, which says nothing about the solver."""
RESULTS = "results.jsonl"
Row = dict[str, Any]


@dataclass(frozen=True)
class Solve:
    """One solve that is planned: an instance, how it is built, and how it is solved.

    time_limit: seconds for the solver; tolerance: relative gap of "optimal"; memory: cap in MiB.
    """

    instance: str
    bounds: str
    relaxation: str
    solver: str
    version: str
    seed: int
    threads: int
    time_limit: float
    tolerance: float
    memory: int

    @property
    def recipe(self) -> Recipe:
        """The instance's recipe."""
        return find_recipe(self.instance)

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on, the recipe's arrays included."""
        return key_of(**asdict(self), arrays=self.recipe.sha256)

    @property
    def label(self) -> str:
        """The solve in a line."""
        return f"{self.instance} {self.bounds} {self.relaxation} {self.solver} seed {self.seed}"

    def row(self) -> Row:
        """The part of its row that is known before it ran."""
        recipe = self.recipe
        described = {
            "key": self.key, "instance": self.instance, "size": recipe.size, "network": recipe.network,
            "gate": recipe.gate, "relaxation": self.relaxation, "bounds": self.bounds, "scores": recipe.scores,
            "images": len(recipe.images), "loss": recipe.loss,
            "strategy": "joint" if recipe.scored == "all" else "decoupled",
        }  # fmt: skip
        return described | {
            name: getattr(self, name)
            for name in ("solver", "version", "seed", "threads", "time_limit", "tolerance", "memory")
        }


class ResultStore:
    """The rows of a run folder by key, first come first; a last line that a kill cut short is dropped.

    Raises InputError where the file holds a line before the last that is no row.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RESULTS
        if self.path.exists():
            data = self.path.read_bytes()
            whole = data.rfind(b"\n") + 1
            if whole < len(data):
                with self.path.open("r+b") as file:
                    file.truncate(whole)
        self.rows = {row["key"]: row for row in read_rows(folder)}

    def put(self, row: Row) -> None:
        """Append a row; it is on disk when this returns."""
        self.rows[row["key"]] = row
        append_line(self.path, json.dumps(row, allow_nan=False))


def read_rows(folder: Path) -> list[Row]:
    """The rows of a run folder in the order in which they were written, one a key.

    Raises InputError for a folder that is no run's, and for a line that is no row.
    """
    path = folder / RESULTS
    if not path.exists():
        return []
    rows: dict[str, Row] = {}
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    if not text.endswith("\n"):
        lines = lines[:-1]
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            rows.setdefault(row["key"], row)
        except (json.JSONDecodeError, KeyError, TypeError):
            raise InputError(f"run: line {number} of {path} is not a row of a benchmark") from None
    return list(rows.values())
