"""Solvers that misbehave, each in its own way, offered by entry points to the processes that a run starts."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from oamip_model.errors import LicenceError
from oamip_model.solving.protocol import Arrays, Options, Solution, Status


class Misbehaving:
    licence = "none"
    capabilities = frozenset()
    name = ""

    def check(self) -> None:
        """Always there."""

    def version(self) -> str:
        return "1"

    def solve(self, arrays: Arrays, options: Options, start: np.ndarray | None = None) -> Solution:
        raise NotImplementedError


class Crashes(Misbehaving):
    name = "crashes"

    def solve(self, arrays, options, start=None):
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(60)


class Hangs(Misbehaving):
    name = "hangs"

    def solve(self, arrays, options, start=None):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)


class Hoards(Misbehaving):
    name = "hoards"

    def solve(self, arrays, options, start=None):
        kept = []
        while True:
            kept.append(np.ones(2**22))


class Lies(Misbehaving):
    """Calls the best solution with as many integral columns at 1 as there can be the optimum."""

    name = "lies"

    def solve(self, arrays, options, start=None):
        from oamip_backends.highs import Highs

        most = Highs().solve(replace(arrays, cost=np.where(arrays.integral, -1.0, 0.0)), options)
        fixed = np.round(most.x)
        lower, upper = (np.where(arrays.integral, fixed, side) for side in (arrays.lower, arrays.upper))
        found = Highs().solve(replace(arrays, lower=lower, upper=upper), options)
        return Solution(Status.OPTIMAL, self.name, "1", found.x, found.objective, found.objective, 1, 0.1)


class Breaks(Misbehaving):
    """Gives a point that breaks rows."""

    name = "breaks"

    def solve(self, arrays, options, start=None):
        x = np.clip(np.zeros(len(arrays.cost)), arrays.lower, arrays.upper)
        value = arrays.objective(x)
        return Solution(Status.OPTIMAL, self.name, "1", x, value, value, 1, 0.1)


class Raises(Misbehaving):
    name = "raises"

    def solve(self, arrays, options, start=None):
        raise RuntimeError("out of\nluck")


class Unlicensed(Misbehaving):
    """Refuses every program for its size, as Gurobi's licence without charge does."""

    name = "unlicensed"

    def solve(self, arrays, options, start=None):
        raise LicenceError("unlicensed: the licence stops\nbelow so many columns")


ALL = (Crashes, Hangs, Hoards, Lies, Breaks, Raises, Unlicensed)


def offer(folder: Path) -> None:
    """Make the folder one from which, on the path, these solvers are offered like an installed package's."""
    info = folder / "misbehaving-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: misbehaving\nVersion: 1\n")
    lines = [f"{fake.name} = misbehaving:{fake.__name__}" for fake in ALL]
    (info / "entry_points.txt").write_text("[oamip_model.backends]\n" + "\n".join(lines) + "\n")
    (folder / "misbehaving.py").write_text(Path(__file__).read_text())
