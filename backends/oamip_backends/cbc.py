"""CBC, run as a separate program on an MPS file.

Its answer is read from its log and from the solution that it saves.

The binary is ``cbc`` on the PATH, which a user has put there on purpose. Without one it is the
release that pulp brings, or else the development build of ``cbcbox``.
"""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from oamip_backends.shared.certificate import dual_bound
from oamip_backends.shared.common import CheckedRun
from oamip_backends.shared.handover import Limits, with_larger_costs
from oamip_backends.shared.mps import write_mps
from oamip_backends.shared.outcome import Outcome, cut_short, may_be_unbounded
from oamip_backends.shared.process import run_to_end
from oamip_model.scratch import scratch_folder
from oamip_model.solving.protocol import (
    ABSOLUTE_GAP,
    DEFAULT_FEASIBILITY,
    DEFAULT_GAP,
    Array,
    Arrays,
    Capability,
    Options,
    Solution,
    SolverMissingError,
    Status,
)

_NUMBER = r"([-+]?[\d.]+(?:[eE][-+]?\d+)?)"
_NO_BOUND = 1e49  # CBC writes 1e+50 where it has no bound
_LIMITS = Limits("cbc", dropped=1e-12, largest=1e15, largest_cost=1e16)
"""Seen with 2.10.3: presolve leaves out coefficients up to 1e-12, and a cost of 1e16 makes a program "infeasible"."""
_PROVED = 1e-6
"""Largest distance between an optimum and the dual bound that proves it, relative, or absolute below 1, unless a larger
gap was asked for."""


class Cbc:
    """CBC (COIN-OR branch and cut, EPL-2.0).

    It solves linear and mixed-integer programs.
    """

    name: ClassVar[str] = "cbc"
    licence: ClassVar[str] = "EPL-2.0"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability) - {
        Capability.CUT_ROUNDS,
        Capability.COST_CHANGE,
        Capability.BOUND_CHANGE,
        Capability.INTERIOR_POINT,
    }

    def check(self) -> None:
        """Raise SolverMissingError where there is no binary of CBC.

        See :meth:`Backend.check`.
        """
        _version(cbc_binary())

    def version(self) -> str:
        """The version of the binary, such as 2.10.3. See :meth:`Backend.version`."""
        return _version(cbc_binary())

    def solve(self, arrays: Arrays, options: Options, start: Array | None = None) -> Solution:
        """Solve one program from scratch. See :meth:`Backend.solve`."""
        return _CbcRun(self, arrays, options).solve(start)


class _CbcRun(CheckedRun):
    """One call of CBC."""

    def __init__(self, backend: Cbc, arrays: Arrays, options: Options) -> None:
        super().__init__(backend, arrays, options)
        self._written, self._unit = with_larger_costs(self.arrays)

    def limits(self) -> Limits:
        """The numbers that CBC takes unchanged.

        It may leave out coefficients of a linear program, whose bound is the one that its duals
        prove in any case.
        """
        return _LIMITS if self.arrays.is_mip else replace(_LIMITS, dropped=0.0)

    def run(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Outcome:
        """Solve, and give CBC's answer."""
        with scratch_folder("cbc") as folder:
            write_mps(self._written, folder / "model.mps")
            command = [cbc_binary(), str(folder / "model.mps"), *self._options(time_limit)]
            if start is not None and self.arrays.is_mip:
                self._write_start(start, folder / "start.txt")
                command += ["-mips", str(folder / "start.txt")]
            # "solution" writes how the solve ended, and values with 8 digits. "saveSolution" writes all digits.
            command += ["-solve", "-solution", str(folder / "head.sol"), "-saveSolution", str(folder / "all.bin")]
            log = self.options.log_file or folder / "log.txt"
            # CBC looks at its clock between steps only, so it is interrupted some time after its own limit.
            ended = run_to_end(
                command, Path(log), None if time_limit is None else time_limit + max(5.0, 0.2 * time_limit)
            )
            late = time_limit is not None and self.arrays.is_mip and ended.seconds >= time_limit
            written = (folder / "head.sol").read_text().splitlines() if (folder / "head.sol").exists() else []
            outcome = self._read(ended.log, written[0] if written else "", folder / "all.bin", late)
        outcome.interrupted = ended.interrupted
        return outcome

    def _options(self, time_limit: float | None) -> list[str]:
        given = self.options
        tolerance = DEFAULT_FEASIBILITY if given.feasibility is None else given.feasibility
        values = {
            "timeMode": "elapsed",
            "ratioGap": DEFAULT_GAP if given.gap is None else given.gap,
            "allowableGap": ABSOLUTE_GAP * self._unit,
            # By default CBC rejects incumbents that are better by less than 1e-5, whatever the gap.
            "increment": ABSOLUTE_GAP * self._unit,
            "primalTolerance": tolerance,
            "integerTolerance": tolerance,
            # With its own scaling, 2.10.3 and 2.10.8 return wrong optima of programs with tiny coefficients: an error
            # of 0.06 in 0.92 on a linear program of 1,400 rows, and of 5e-5 on a mixed-integer program of 66.
            "scaling": "off",
        }
        if time_limit is not None:
            values["seconds"] = time_limit
        if given.threads is not None and given.threads > 1:
            values["threads"] = given.threads
        if given.seed is not None:
            # CBC takes 0 for "the time of day", so 0 is replaced by Clp's own default.
            values |= {"randomSeed": given.seed or 1234567, "randomCbcSeed": given.seed or 1234567}
        return [part for name, value in values.items() for part in (f"-{name}", str(value))]

    def _write_start(self, start: Array, path: Path) -> None:
        lines = [f"{column} c{column} {value!r}" for column, value in enumerate(start.tolist())]
        path.write_text("Start - objective value 0\n" + "\n".join(lines) + "\n")

    def _read(self, log: str, head: str, saved: Path, late: bool) -> Outcome:
        nodes = re.search(r"Enumerated nodes:\s+(\d+)", log)
        outcome = Outcome(Status.ERROR, nodes=int(nodes.group(1)) if nodes and self.arrays.is_mip else None)
        outcome.message = head.split(" - objective")[0]
        if head.startswith("Optimal"):
            outcome.status, outcome.message = Status.OPTIMAL, ""
        elif head.startswith(("Infeasible", "Integer infeasible")) or "infeasibility proved" in log:
            outcome.status = Status.INFEASIBLE
            # CBC calls some programs with an unbounded relaxation infeasible.
            outcome.unclear = may_be_unbounded(self.arrays)
        elif head.startswith("Unbounded"):
            outcome.status = Status.UNBOUNDED
        elif head.startswith("Stopped"):
            outcome.status = Status.FEASIBLE
            outcome.timed_out = "on time" in head
            outcome.message = "" if outcome.timed_out else head.split(" - objective")[0]
        elif not head and "best possible" in log:
            outcome.status, outcome.message = Status.NO_SOLUTION, "CBC was stopped before it wrote a solution"
        else:
            outcome.message = outcome.message or f"CBC ended without an answer: {_last_line(log)}"
        if late:
            outcome.timed_out = True
            cut_short(outcome, "CBC")
        if outcome.status in (Status.OPTIMAL, Status.FEASIBLE) and "no integer solution" not in head:
            self._read_point(outcome, saved)
        self._read_bound(outcome, log)
        outcome.bound = None if outcome.bound is None else outcome.bound / self._unit
        return outcome

    def _read_point(self, outcome: Outcome, saved: Path) -> None:
        # Two 32-bit counts and the objective, then activities and duals of rows, values and reduced costs of columns.
        # The rows are those of the file, which has no rows without bounds.
        data = saved.read_bytes() if saved.exists() else b""
        rows, columns = np.frombuffer(data, np.int32, 2).tolist() if len(data) >= 16 else (0, 0)
        if columns != len(self.arrays.cost) or len(data) < 16 + 8 * (2 * rows + columns):
            outcome.message = f"CBC saved a solution of {rows} rows and {columns} columns"
            outcome.status = Status.ERROR
            return
        outcome.x = np.frombuffer(data, np.float64, columns, offset=16 + 16 * rows).copy()
        if outcome.status is Status.OPTIMAL and not self.arrays.is_mip:
            self._prove(outcome, np.frombuffer(data, np.float64, rows, offset=16 + 8 * rows))

    def _prove(self, outcome: Outcome, duals: Array) -> None:
        """Keep the optimum of a linear program, and its bound, only as far as CBC's own duals prove them."""
        assert outcome.x is not None
        kept = np.isfinite(self.arrays.row_lower) | np.isfinite(self.arrays.row_upper)
        y = np.zeros(len(kept))
        if len(duals) == kept.sum():
            y[kept] = duals
        outcome.row_duals = self.arrays.sense * y / self._unit
        objective, outcome.bound = self._written.objective(outcome.x), dual_bound(self._written, y)
        short = self.arrays.sense * (objective - outcome.bound)
        if not short <= max(_PROVED, self.options.gap or 0.0) * max(1.0, abs(objective)):
            outcome.status = Status.FEASIBLE
            claimed, proved = objective / self._unit, outcome.bound / self._unit
            outcome.message = f"CBC claims an optimum of {claimed!r}, but its duals prove {proved!r} only"

    def _read_bound(self, outcome: Outcome, log: str) -> None:
        sense, offset = self._written.sense, self._written.offset
        if not self.arrays.is_mip:
            return
        if outcome.status is Status.OPTIMAL and outcome.x is not None:
            objective = self._written.objective(outcome.x)
            # CBC prints no bound at the end of a full solve. It has then proved the gap that it was given.
            gap = DEFAULT_GAP if self.options.gap is None else self.options.gap
            outcome.bound = objective - sense * max(gap * abs(objective - offset), ABSOLUTE_GAP * self._unit)
        else:
            least = _lower_bound(log)
            outcome.bound = None if least is None else sense * least + offset


def _lower_bound(log: str) -> float | None:
    # 2.10 prints 8 digits in its messages. Newer builds print 6, and only in the summary. Both are rounded outward.
    printed = re.findall(rf"best possible {_NUMBER}", log)
    digits = 1e-7
    if not printed:
        printed, digits = re.findall(rf"Lower bound:\s+{_NUMBER}", log), 1e-5
    if not printed or abs(float(printed[-1])) >= _NO_BOUND:
        return None
    return float(printed[-1]) - digits * abs(float(printed[-1]))


def _last_line(log: str) -> str:
    lines = [line for line in log.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it printed nothing"


@lru_cache(maxsize=1)
def cbc_binary() -> str:
    """The path of the CBC binary.

    Returns
    -------
    str
        The first that is found: on the PATH, in pulp, in cbcbox.

    Raises
    ------
    SolverMissingError
        Where there is none.
    """
    on_path = shutil.which("cbc")
    if on_path:
        return on_path
    for package in ("pulp", "cbcbox"):
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        path = module.cbc_bin_path() if package == "cbcbox" else getattr(module.PULP_CBC_CMD, "pulp_cbc_path", None)
        if path and shutil.which(path):
            return str(path)
    raise SolverMissingError(
        "cbc: there is no cbc on the PATH, and neither pulp nor cbcbox brings one: pip install pulp"
    )


@lru_cache(maxsize=4)
def _version(binary: str) -> str:
    try:
        banner = subprocess.run([binary, "-quit"], capture_output=True, text=True, timeout=20, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SolverMissingError(f"cbc: {binary} cannot be run ({error}): pip install pulp brings another") from None
    found = re.search(r"Version:\s*(\S+)|CBC (devel(?: \(git:\w+\))?|\d[\w.]*)", banner)
    if "CBC" not in banner or found is None:
        raise SolverMissingError(f"cbc: {binary} is not COIN-OR's CBC: remove it from the PATH, or pip install pulp")
    return found.group(1) or found.group(2)
