"""The rows of a run, one JSON line a solve, and the solves that are planned."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Required, TypedDict, get_args

from oamip_benchmarks.bench.recipes import Recipe, find_recipe
from oamip_model.errors import InputError
from oamip_model.records import OPEN, Count, Matches, Within, checked
from oamip_model.runs.store import LineStore, key_of

Status = Literal[
    "optimal", "feasible", "no solution", "infeasible", "timeout", "crash", "memory", "wrong", "error", "licence",
]  # fmt: skip
"""How a solve can end. timeout: killed after its limit and the grace; memory: killed at the cap, or out of memory;
wrong: the solution fails its check, or a better one is known than it claims to be possible; licence: the solver's
licence ends below the size of the program, which says nothing about the solver."""
LICENCE: Final = "licence"
STATUSES: tuple[str, ...] = get_args(Status)
RESULTS = "results.jsonl"
Row = dict[str, Any]
_Seconds = Annotated[float, Within(0, 1e9)]
_Size = Annotated[float, Within(0, 1e12)]
_Key = Annotated[str, Matches(r"[^/\\\x00-\x1f]{1,200}", "a name without slashes")]


class _Check(TypedDict, total=False):
    """The check of a row's solution, as far as it is read again."""

    passed: Required[bool]
    message: str


class _Row(TypedDict, total=False):
    """A row, as far as it is read again. Others of its fields are kept as they are."""

    key: Required[_Key]
    instance: Required[str]
    size: Required[str]
    solver: Required[str]
    bounds: Required[str]
    relaxation: Required[str]
    seed: Required[Count]
    status: Required[Status]
    time_limit: Required[_Seconds]
    objective: Required[float | None]
    bound: Required[float | None]
    check: Required[Annotated[_Check, OPEN] | None]
    message: Required[str]
    wall_seconds: Required[_Seconds | None]
    gap: Annotated[float, Within(0)] | None
    bounds_seconds: _Seconds | None
    build_seconds: _Seconds | None
    solver_seconds: _Seconds | None
    nodes: Count | None
    rounds: Count | None
    threads: Count
    tolerance: Annotated[float, Within(0)]
    memory: Count
    peak_memory_mib: _Size | None
    primal_dual_integral: _Size | None
    log: Annotated[str, Matches(r"logs/[0-9a-f]{1,64}\.log", "a log of the run")] | None
    load: tuple[_Size, _Size] | None
    trace: list[tuple[_Seconds, float | None, float | None]] | None
    parallel: bool
    started: str
    version: str
    revision: str | None
    program: str
    tags: list[str]
    permuted: bool


@dataclass(frozen=True)
class Limits:
    """How each solve of a run is made: what it may cost, and what its seed does.

    Parameters
    ----------
    time_limit : float, default 60
        Seconds for the solver.
    threads : int, default 1
        Threads of the solver.
    tolerance : float, default 1e-4
        Relative gap of "optimal", the same for every solver.
    memory : int, default 4096
        Limit on the memory in MiB.
    permuted : bool, default False
        The seed draws an order of rows and columns, of which 0 is the program's own, instead of being
        the solver's.
    """

    time_limit: float = 60.0
    threads: int = 1
    tolerance: float = 1e-4
    memory: int = 4096
    permuted: bool = False


@dataclass(frozen=True)
class Solve:
    """One solve that is planned: an instance, how it is built, and how it is solved.

    Parameters
    ----------
    instance, bounds, relaxation : str
        The instance, and what it is built with.
    solver, version : str
        The solver, and its version.
    seed, threads : int
        The solver's.
    time_limit : float
        Seconds for the solver.
    tolerance : float
        Relative gap of "optimal".
    memory : int
        Limit on the memory in MiB.
    permuted : bool
        Whether the seed draws an order of rows and columns.
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
    permuted: bool = False

    @property
    def recipe(self) -> Recipe:
        """The instance's recipe."""
        return find_recipe(self.instance)

    @property
    def key(self) -> str:
        """Hash of everything that the result depends on, the recipe's arrays included."""
        parts = asdict(self)
        # Without it the key is that of rows from before there were orders.
        if not parts["permuted"]:
            del parts["permuted"]
        return key_of(**parts, arrays=self.recipe.sha256)

    @property
    def label(self) -> str:
        """The solve in a line."""
        return f"{self.instance} {self.bounds} {self.relaxation} {self.solver} seed {self.seed}"

    def row(self) -> Row:
        """The part of its row that is known before it ran."""
        recipe = self.recipe
        described = {
            "key": self.key, "instance": self.instance, "size": recipe.size, "network": recipe.network,
            "gate": "none" if recipe.radius is not None else recipe.gate, "relaxation": self.relaxation,
            "bounds": self.bounds, "scores": recipe.scores, "images": len(recipe.images), "loss": recipe.loss,
            "strategy": recipe.family, "tags": list(recipe.tags),
        }  # fmt: skip
        return described | {
            name: getattr(self, name)
            for name in ("solver", "version", "seed", "threads", "time_limit", "tolerance", "memory", "permuted")
        }


class ResultStore:
    """The rows of a run folder by key, in the order of their first lines.

    Raises
    ------
    InputError
        Where the file holds a line that is no row.
    """

    def __init__(self, folder: Path) -> None:
        self._lines = LineStore(folder / RESULTS, "run")
        self.rows: dict[str, Row] = {}
        for where, line in self._lines.lines.items():
            row: Row = checked(Annotated[_Row, OPEN], line, f"{where} is not a row of a benchmark: it")
            self.rows.setdefault(row["key"], line | row)

    def put(self, row: Row) -> None:
        """Append a row; it is on disk when this returns."""
        self.rows[row["key"]] = row
        self._lines.append(json.dumps(row, allow_nan=False))


def read_rows(folder: Path) -> list[Row]:
    """The rows of a run folder in the order in which they were written, one a key.

    Raises
    ------
    InputError
        For a folder that is no run's, and for a line that is no row.
    """
    if not (folder / RESULTS).exists():
        raise InputError(f"run: {folder} is no folder of `oamip bench run`, it has no {RESULTS}")
    return list(ResultStore(folder).rows.values())
