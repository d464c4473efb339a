"""The rows of a run as the report sees them: variants, problems, and solved ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_benchmarks.bench.reporting.statistics import Array, contradictions
from oamip_benchmarks.bench.rows import LICENCE
from oamip_model.errors import InputError

Row = dict[str, Any]
SIZES = ("small", "medium", "large")
ANSWERS = ("optimal", "infeasible")
"""Statuses of a solve that gave the answer."""


def solve_seconds(row: Row) -> float:
    """Wall-clock seconds of bounds and solve.

    Building the program takes the same for every solver, and is not counted.
    """
    return float(row.get("bounds_seconds") or 0.0) + float(row.get("wall_seconds") or 0.0)


def is_solved(row: Row) -> bool:
    """Whether the solve gave the answer in time, and passed its check.

    The time limit includes the bounds.
    """
    check = row.get("check") or {}
    return row["status"] in ANSWERS and check.get("passed") is not False and solve_seconds(row) <= row["time_limit"]


def has_run(row: Row) -> bool:
    """Whether the solve ended for another reason than a missing licence."""
    return bool(row["status"] != LICENCE)


def program_of(row: Row) -> str:
    """Name of the program that was solved.

    Rows of one program have one optimum. The name is the instance, unless the row says more.
    """
    return str(row.get("program") or row["instance"])


def number_of(row: Row, name: str) -> float:
    """A number of a row, NaN where it is null or missing."""
    value = row.get(name)
    return math.nan if value is None else float(value)


@dataclass(frozen=True)
class Solves:
    """The rows of a run, and its problems.

    A problem is a pair of an instance and a seed that every variant has a row of. Means are over
    problems, so that no variant is spared an instance that another one had to solve. The rows that are
    left out for that reason are ``unpaired``. A row that ended for want of a licence counts as none: it
    says nothing about the solver.

    Parameters
    ----------
    rows : tuple of Row
        All rows.

    Raises
    ------
    InputError
        Where there is nothing to compare.
    """

    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        if not self.rows:
            raise InputError("run: has no rows yet")
        for row in self.rows:
            missing = {"instance", "size", "solver", "bounds", "relaxation", "seed", "status", "time_limit"} - set(row)
            if missing:
                raise InputError(f"run: a row lacks {', '.join(sorted(missing))}")

    @cached_property
    def _split_versions(self) -> frozenset[str]:
        """Solvers that ran here in more than one version."""
        versions: dict[str, set[str]] = {}
        for row in self.rows:
            versions.setdefault(row["solver"], set()).add(str(row.get("version")))
        return frozenset(name for name, found in versions.items() if len(found) > 1)

    def variant(self, row: Row) -> str:
        """Name of the row's solver, bounds and relaxation.

        The solver's version is added where there are several.
        """
        solver = f"{row['solver']} {row['version']}" if row["solver"] in self._split_versions else row["solver"]
        return f"{solver} / {row['bounds']} / {row['relaxation']}"

    @cached_property
    def cells(self) -> dict[tuple[str, str, int], Row]:
        """The row of each (variant, instance, seed).

        Raises
        ------
        InputError
            Where there are two.
        """
        found: dict[tuple[str, str, int], Row] = {}
        for row in self.rows:
            key = (self.variant(row), row["instance"], row["seed"])
            if key in found:
                raise InputError(
                    f"run: two rows of {key[0]} for {key[1]}, seed {key[2]}, made with different options "
                    "(time limit, threads, tolerance, memory): one report is of one set of options"
                )
            found[key] = row
        return found

    @cached_property
    def everyone(self) -> list[str]:
        """All variants, in the order of their first row."""
        return list(dict.fromkeys(self.variant(row) for row in self.rows))

    @cached_property
    def short(self) -> dict[str, str]:
        """The names of all variants without what they have in common behind the solver."""
        parts = {variant: variant.split(" / ") for variant in self.everyone}
        apart = [k for k in (1, 2) if len({one[k] for one in parts.values()}) > 1]
        return {variant: " / ".join([one[0], *(one[k] for k in apart)]) for variant, one in parts.items()}

    @cached_property
    def variants(self) -> list[str]:
        """The variants that are compared.

        These have a row that did not end for want of a licence.
        """
        ran = {self.variant(row) for row in self.rows if has_run(row)}
        return [variant for variant in self.everyone if variant in ran]

    @cached_property
    def unlicensed(self) -> list[Row]:
        """The rows that ended for want of a licence."""
        return [row for row in self.rows if not has_run(row)]

    @cached_property
    def problems(self) -> list[tuple[str, int]]:
        """(instance, seed), by size and name, of what every variant has a row of."""
        cells = {key: row for key, row in self.cells.items() if has_run(row)}
        known = {key[1:]: row["size"] for key, row in cells.items()}
        complete = [p for p in known if all((v, *p) in cells for v in self.variants)]
        return sorted(complete, key=lambda p: (_rank(known[p]), p))

    @cached_property
    def unpaired(self) -> list[tuple[str, str, int]]:
        """The (variant, instance, seed) of the rows that are in no mean.

        Another variant has no row there.
        """
        inside = set(self.problems)
        return [key for key, row in self.cells.items() if has_run(row) and key[1:] not in inside]

    def of(self, variant: str, size: str | None = None) -> list[Row]:
        """The rows of a variant, in the order of the problems; of one size only if given."""
        rows = [self.cells[variant, *problem] for problem in self.problems]
        return [row for row in rows if size is None or row["size"] == size]

    @cached_property
    def sizes(self) -> list[str]:
        """The sizes of the problems, small ones first."""
        return sorted({self.cells[self.variants[0], *p]["size"] for p in self.problems}, key=_rank)

    def disagreements(self) -> list[tuple[Row, Row]]:
        """Pairs of rows of one program of which one must be wrong.

        The first one's bound is above the second one's objective, or one has a solution where the other
        claims that there is none.
        """
        programs: dict[str, list[Row]] = {}
        for row in self.rows:
            programs.setdefault(program_of(row), []).append(row)
        found = []
        for rows in programs.values():
            values, bounds = ([number_of(row, name) for row in rows] for name in ("objective", "bound"))
            bounds = [math.inf if r["status"] == "infeasible" else b for r, b in zip(rows, bounds, strict=True)]
            found += [(rows[i], rows[j]) for i, j in contradictions(values, bounds)]
        return found

    def failed_checks(self) -> list[Row]:
        """Rows whose solution failed its check, or whose status is "wrong"."""
        return [r for r in self.rows if r["status"] == "wrong" or (r.get("check") or {}).get("passed") is False]


def _rank(size: str) -> int:
    return SIZES.index(size) if size in SIZES else len(SIZES)


def times_of(rows: Sequence[Row]) -> tuple[Array, NDArray[np.bool_], Array]:
    """Seconds, whether solved, and time limits of some rows, (rows,) each."""
    seconds = np.array([solve_seconds(row) for row in rows], dtype=np.float64)
    solved = np.array([is_solved(row) for row in rows], dtype=bool)
    return seconds, solved, np.array([row["time_limit"] for row in rows], dtype=np.float64)


def gaps_of(rows: Sequence[Row]) -> Array:
    """The relative gap of each row at its end, (rows,).

    It is infinite where objective or bound is missing, or the solution is wrong.
    """
    gaps = []
    for row in rows:
        gap = number_of(row, "gap")
        if row["status"] == "infeasible" and is_solved(row):
            gap = 0.0
        wrong = row["status"] == "wrong" or (row.get("check") or {}).get("passed") is False
        gaps.append(math.inf if wrong or math.isnan(gap) else gap)
    return np.array(gaps, dtype=np.float64)
