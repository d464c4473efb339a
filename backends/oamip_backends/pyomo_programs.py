"""Solvers behind Pyomo that are separate programs: bounded by their time limit, and GLPK's log, which says more.

Pyomo's own runner waits for a program without an end, and kills the program alone where it is told to.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from oamip_backends.shared.common import Outcome, cut_short
from oamip_backends.shared.process import Ended, run_to_end
from oamip_model.scratch import scratch_folder
from oamip_model.solving.protocol import Status

_GRACE = 2.0, 0.1
"""Seconds, or share of its time limit if that is more, that a program may take beyond its limit before it is asked to
stop: solvers look at their clock between steps, and then write what they have."""

_BOUND = re.compile(r"^\+\s*\d+: (?:mip =|>>>>>)\s+(?:\S+|not found yet) [<>]=\s+([-+.\deE]+) ", re.MULTILINE)
_DIGITS = 1e-9
"""GLPK prints its bound with 10 digits, and one below this as 0."""


@dataclass
class Runs:
    """The programs that one interface of Pyomo has run; ``stopped``: one of them was ended before it was done."""

    ended: list[Ended] = field(default_factory=list)

    @property
    def stopped(self) -> bool:
        """Whether the last one was ended at its limit, or by Ctrl-C."""
        return bool(self.ended) and self.ended[-1].stopped

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C asked for the end of the last one."""
        return bool(self.ended) and self.ended[-1].interrupted

    @property
    def log(self) -> str:
        """The output of the last one."""
        return self.ended[-1].log if self.ended else ""

    def out_of_time(self) -> Outcome:
        """What is known of a program that was ended and left nothing that can be read."""
        return Outcome(Status.NO_SOLUTION, timed_out=not self.interrupted, interrupted=self.interrupted)


def bounded(solver: Any, time_limit: float | None) -> Runs:
    """Where the interface runs a separate program: let it run in a process group that ends with its time limit."""
    runs = Runs()

    def execute(command: Any) -> list[Any]:
        limit = None if time_limit is None else time_limit + max(_GRACE[0], _GRACE[1] * time_limit)
        with scratch_folder("pyomo") as folder:
            told = folder / "input.txt"
            told.write_text(command.get("script") or "")
            ended = run_to_end(
                [str(part) for part in command.cmd], folder / "log.txt", limit, told=told,
                environment=command.get("env"), folder=command.get("cwd"),
            )  # fmt: skip
        runs.ended.append(ended)
        return [ended.code, ended.log]

    if hasattr(solver, "_execute_command"):
        solver._execute_command = execute
    return runs


def read_glpk(outcome: Outcome, log: str, is_mip: bool) -> float | None:
    """Correct the outcome by what GLPK's log says, and return the lower bound of the minimisation that it tells.

    Pyomo says "feasible" of an integer program that GLPK has solved within the gap that it was given, and "optimal" or
    "infeasible" of a linear program whose current basis is feasible, or is not, when the time is up.
    """
    if "TIME LIMIT EXCEEDED" in log:
        outcome.timed_out = True
        cut_short(outcome, "GLPK")
    elif is_mip and outcome.status is Status.FEASIBLE and "RELATIVE MIP GAP TOLERANCE REACHED" in log:
        outcome.status = Status.OPTIMAL
    told = _BOUND.findall(log)
    return float(told[-1]) - _DIGITS * max(1.0, abs(float(told[-1]))) if is_mip and told else None
