"""Solvers that Pyomo runs as separate programs: their time limits and GLPK's log.

Pyomo's own runner waits for a program without a limit. When it is interrupted, it ends that program
alone, and not the programs that this one has started.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from oamip_backends.shared.outcome import Outcome, cut_short
from oamip_backends.shared.process import Ended, run_to_end
from oamip_model.scratch import scratch_folder
from oamip_model.solving.protocol import Status

_GRACE = 2.0, 0.1
"""Seconds, or share of the time limit if that is more, that a program may take beyond its limit before it is
interrupted. Solvers look at their clock between steps only, and then write their incumbent."""

_BOUND = re.compile(r"^\+\s*\d+: (?:mip =|>>>>>)\s+(?:\S+|not found yet) [<>]=\s+([-+.\deE]+) ", re.MULTILINE)
_DIGITS = 1e-9
"""Share by which GLPK's bound is moved outward, since it is printed with 10 digits. A smaller bound is printed as 0."""


@dataclass
class Runs:
    """The programs that one interface of Pyomo has run.

    Parameters
    ----------
    ended : list of Ended
        How each of them ended.
    """

    ended: list[Ended] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """Whether the last one was ended at its limit, or by Ctrl-C."""
        return bool(self.ended) and self.ended[-1].stopped

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the last one."""
        return bool(self.ended) and self.ended[-1].interrupted

    @property
    def log(self) -> str:
        """The output of the last one."""
        return self.ended[-1].log if self.ended else ""

    def out_of_time(self) -> Outcome:
        """The outcome of a program that was ended and left no answer that can be read.

        Returns
        -------
        Outcome
            An outcome without a point.
        """
        return Outcome(Status.NO_SOLUTION, timed_out=not self.interrupted, interrupted=self.interrupted)


def bounded(solver: Any, time_limit: float | None) -> Runs:
    """Let an interface of Pyomo run its program with a time limit.

    The program runs in a process group of its own.

    Parameters
    ----------
    solver : object
        The interface. One that runs no separate program is not changed.
    time_limit : float, optional
        Seconds.

    Returns
    -------
    Runs
        The programs that it runs from now on.
    """
    runs = Runs()

    def execute(command: Any) -> list[Any]:
        limit = None if time_limit is None else time_limit + max(_GRACE[0], _GRACE[1] * time_limit)
        with scratch_folder("pyomo") as folder:
            script = folder / "input.txt"
            script.write_text(command.get("script") or "")
            ended = run_to_end(
                [str(part) for part in command.cmd], folder / "log.txt", limit, standard_input=script,
                environment=command.get("env"), folder=command.get("cwd"),
            )  # fmt: skip
        runs.ended.append(ended)
        return [ended.code, ended.log]

    if hasattr(solver, "_execute_command"):
        solver._execute_command = execute
    return runs


def read_glpk(outcome: Outcome, log: str, is_mip: bool) -> float | None:
    """Correct an outcome by GLPK's log, and read the bound there.

    Pyomo says "feasible" of an integer program that GLPK has solved within its gap. When the time
    is up in a linear program, it says "optimal" or "infeasible" of the basis at that moment.

    Parameters
    ----------
    outcome : Outcome
        The outcome as Pyomo gives it, which is changed in place.
    log : str
        The output of GLPK.
    is_mip : bool
        Whether the program is a mixed-integer one.

    Returns
    -------
    float or None
        The lower bound of the minimisation, None where the log has none.
    """
    if "TIME LIMIT EXCEEDED" in log:
        outcome.timed_out = True
        cut_short(outcome, "GLPK")
    elif is_mip and outcome.status is Status.FEASIBLE and "RELATIVE MIP GAP TOLERANCE REACHED" in log:
        outcome.status = Status.OPTIMAL
    bounds = _BOUND.findall(log)
    return float(bounds[-1]) - _DIGITS * max(1.0, abs(float(bounds[-1]))) if is_mip and bounds else None
