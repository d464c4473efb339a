"""The options of a solve, as a backend gets them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from oamip_model.errors import InputError

# "Optimal" has to mean the same for all solvers, whose own defaults run from 0 to 1e-4.
DEFAULT_GAP = 1e-6
ABSOLUTE_GAP = 1e-9
# With big-M rows a wrong ReLU state can lie within a solver's tolerance, so the default is tighter than the solvers'.
DEFAULT_FEASIBILITY = 1e-7


def check_seconds(name: str, given: float | None) -> None:
    """Raise InputError unless this is a number of seconds above 0, or None.

    Parameters
    ----------
    name : str
        What the message calls the option.
    given : float or None
        The value.

    Raises
    ------
    InputError
        For a number that is not above 0, or not finite.
    """
    if given is not None and not 0 < given < math.inf:
        raise InputError(f"{name}: got {given}, accepted is a number of seconds > 0")


def _is_count(given: object, least: int) -> bool:
    return given is None or (isinstance(given, Integral) and least <= int(given) < 2**31)


@dataclass(frozen=True)
class Options:
    """The options of a solve, as a backend gets them.

    Parameters
    ----------
    time_limit : float, optional
        Seconds; None is no limit.
    gap : float, optional
        Relative gap at which a solve is called optimal, DEFAULT_GAP by default. Except through Pyomo,
        an absolute gap of ABSOLUTE_GAP stops it as well.
    threads : int or None, default 1
        Threads of the solver; None is the solver's own choice.
    seed : int or None, default 0
        Random seed; None is the solver's own.
    log_file : Path, optional
        Where the solver's log is appended.
    feasibility : float, optional
        Tolerance of rows, bounds and integrality, DEFAULT_FEASIBILITY by default.
    interior_point : bool, default False
        Solve linear programs by an interior point method, and without presolve. The answer is then a
        second opinion on the answer of the solver's usual method.

    Raises
    ------
    InputError
        For a value that is out of range.
    """

    time_limit: float | None = None
    gap: float | None = None
    threads: int | None = 1
    seed: int | None = 0
    log_file: Path | None = None
    feasibility: float | None = None
    interior_point: bool = False

    def __post_init__(self) -> None:
        check_seconds("time_limit", self.time_limit)
        checks = (
            ("gap", self.gap, self.gap is None or 0 <= self.gap < math.inf, "a relative gap >= 0"),
            ("threads", self.threads, _is_count(self.threads, 1), "a number of threads >= 1"),
            ("seed", self.seed, _is_count(self.seed, 0), "an integer from 0 to 2**31 - 1"),
            (
                "feasibility", self.feasibility,
                self.feasibility is None or 1e-9 <= self.feasibility <= 1e-3, "a tolerance from 1e-9 to 1e-3",
            ),
        )  # fmt: skip
        for name, given, valid, accepted in checks:
            if not valid:
                raise InputError(f"{name}: got {given}, accepted is {accepted}")
