"""Checks that solvers which read the exported files find the same optimum."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from oamip_benchmarks.bench.files.export import read_index
from oamip_benchmarks.bench.files.solvers import Answer, ask, check_reader, readers_here
from oamip_benchmarks.bench.reporting.statistics import contradictions
from oamip_model.errors import CheckError, InputError
from oamip_model.read import read_bytes

AGREE = 1e-6
"""Largest difference of two optima, relative to their size, or absolute below 1."""


@dataclass(frozen=True)
class FileFindings:
    """The answers of solvers to the files of one instance.

    Parameters
    ----------
    instance : str
        The instance.
    answers : dict
        Answers by file name and solver.
    disagreements : tuple of str
        Lines that name two answers of which one must be wrong.
    """

    instance: str
    answers: dict[tuple[str, str], Answer]
    disagreements: tuple[str, ...]

    @property
    def proved(self) -> bool:
        """Whether every solver that takes this size found an optimum in every file."""
        return all(answer.status in ("optimal", "licence") for answer in self.answers.values())


def check_files(
    folder: Path,
    solvers: Sequence[str] = (),
    *,
    time_limit: float = 60.0,
    instances: Sequence[str] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> list[FileFindings]:
    """The findings for each instance in a folder of ``oamip bench export``.

    Every file is given to every solver. Answers that stopped at the limit count by their bounds.

    Parameters
    ----------
    folder : Path
        The folder of the files and their index.
    solvers : sequence of str, optional
        Names of solvers, all that are installed unless given.
    time_limit : float, default 60
        Seconds for each file and solver.
    instances : sequence of str, optional
        Names of instances, all in the folder unless given.
    progress : callable, optional
        Is called with the number of files done, of all files, and the name of the next.

    Returns
    -------
    list of FileFindings
        One for each instance.

    Raises
    ------
    InputError
        For a folder or a name that is not there.
    SolverMissingError
        For a solver that is not installed.
    CheckError
        For a file that was changed.
    """
    for solver in solvers:
        check_reader(solver)
    index = read_index(folder)
    for name in instances:
        if name not in index:
            raise InputError(f"instance: got {name!r}, accepted are those in {folder}: {', '.join(index)}")
    chosen = list(instances) or list(index)
    asked = list(dict.fromkeys(solvers)) or readers_here()
    found = []
    done, total = 0, sum(len(index[name]["files"]) for name in chosen) * len(asked)
    for name in chosen:
        answers = {}
        for file, digest in index[name]["files"].items():
            path = folder / file
            if not path.exists() or hashlib.sha256(read_bytes(path, f"folder: {path}")).hexdigest() != digest:
                raise CheckError(f"{path} is not the file that was exported")
            for solver in asked:
                answers[file, solver] = answer = ask(solver, path, time_limit)
                done += 1
                if progress is not None:
                    progress(done, total, f"{file} {solver}: {answer.status} {answer.objective}")
        found.append(FileFindings(name, answers, tuple(disagreements(answers))))
    return found


def disagreements(answers: dict[tuple[str, str], Answer]) -> list[str]:
    """Lines that each name two answers of which one must be wrong.

    The bound of one is above the objective of the other, or one has a solution where the other claims
    that there is none.

    Examples
    --------
    >>> one, other = Answer("optimal", 1.0, 1.0), Answer("limit", 0.9)
    >>> disagreements({("a.mps.gz", "highs"): one, ("a.lp.gz", "cbc"): other})
    ['a.mps.gz highs: bound 1.0, but a.lp.gz cbc: objective 0.9']
    """
    values = [_or_nan(answer.objective) for answer in answers.values()]
    bounds = [math.inf if "infeasible" in answer.status else _or_nan(answer.bound) for answer in answers.values()]
    who = [" ".join(key) for key in answers]
    pairs = contradictions(values, bounds, AGREE)
    return [f"{who[i]}: bound {bounds[i]!r}, but {who[j]}: objective {values[j]!r}" for i, j in pairs]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
