"""Cuts from programs of one image each: a Lagrangian relaxation by images.

They are made in rounds, once in a search tree.

See mathematics:tree-3..5. The images share the scores and nothing else. Let each have scores of its own, held together
by multipliers, and the program falls apart into one for each image, which is far easier. What each proves is a row of
the program of all.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.objective import image_cuts
from oamip_model.network.maps import Array
from oamip_model.runs.events import Event
from oamip_model.solving.options import TreeSearch
from oamip_model.solving.protocol import ABSOLUTE_GAP
from oamip_model.solving.state import SolveState
from oamip_model.solving.treesearch.relaxation import Relaxation


@dataclass(frozen=True)
class Alone:
    """The program of one image alone.

    It minimises weight * (loss of the image) + multipliers @ s over all scores s.

    image: its number among the n; multipliers: (units,); start: (units,) scores to begin from; value: the objective
    there; least: the objective at the optimum of the relaxation of all images; gap: that is to be proved, absolute.
    """

    image: int
    multipliers: Array
    start: Array
    value: float
    least: float
    gap: float


class ImageProgram(Protocol):
    """A solver of the programs of single images.

    Both methods raise KeyboardInterrupt on Ctrl-C.
    """

    def __call__(self, alone: Alone, time_limit: float | None) -> tuple[float, Array]:
        """A lower bound of the program's objective, -inf where there is none, and the best scores found (units,)."""

    def ascend(self, multipliers: Array, start: Array, time_limit: float | None) -> Array:
        """Multipliers (n, units) with the same sum, whose programs promise more.

        start: (units,) known scores.
        """


_ASCENT = 0.1
"""Of the time that is left, that better multipliers may take."""
_LEAST = 1e-9
"""Multipliers below this are 0: solvers drop coefficients so small, and the row would not be valid any more."""
_GAP = 1e-3
"""Gap of the single programs, relative to the objective of all."""
_SAFE = 1e-7
"""What is taken off a bound, relative to max(1, |bound|), for the solver's tolerances."""


class ImageCuts:
    """Makes the cuts of one search tree, once, from the linear relaxation of its root."""

    def __init__(self, solve: SolveState, relaxation: Relaxation, program: ImageProgram, options: TreeSearch) -> None:
        self.options = options
        self.solve, self.relaxation, self.program = solve, relaxation, program
        self.images, self.weight = solve.program.images, solve.program.weight
        binaries = int(solve.arrays.integral.sum())
        self.due = self.images > 1 and binaries >= options.image_cuts_from and solve.program.image_cuts is not None

    def add(self) -> int:
        """Add the cuts to the relaxation, and return how many.

        Its bounds are those of the root.

        After a round each image's multipliers take a step along its scores less the mean of all images' scores, the
        ascent of the sum of the bounds. Rounds go on while they pay, and there is time for one as long as the last.
        """
        self.due = False
        solve = self.solve
        x, _ = self.relaxation.minimise()
        multipliers = None if x is None else self.multipliers()
        if x is None or multipliers is None or solve.best is None or solve.objective is None:
            return 0
        left = solve.left()
        rest = (1.0 - self.options.image_time) * (left or 0.0)
        limit = None if left is None else _ASCENT * left
        multipliers = _cleared(self.program.ascend(multipliers, solve.best[solve.s], limit))
        count, proved = 0, -np.inf
        while True:
            began = time.monotonic()
            bounds, scores = self._round(multipliers, x, solve.best, rest)
            count += self._add_rows(multipliers, bounds)
            gained, proved = bounds.mean() - proved, max(proved, bounds.mean())
            gap, left = solve.objective - proved, solve.left()
            late = left is not None and left - rest < time.monotonic() - began
            apart = scores - scores.mean(axis=0)
            length = float((apart**2).sum()) / self.images
            if late or not np.isfinite(gap) or gained < self.options.image_gain * gap or min(gap, length) <= 0:
                return count
            multipliers = _cleared(multipliers + self.options.image_step * gap / length * apart)

    def _round(self, multipliers: Array, x: Array, point: Array, rest: float) -> tuple[Array, Array]:
        """Bounds (n,) of all images' programs, -inf where there is none, and the best scores found, (n, units).

        x: an optimum of the relaxation; point: the best point known; rest: seconds that are left over in the end.
        """
        solve, losses = self.solve, self.solve.compiled.columns(self.solve.program.losses)
        start = point[solve.s]
        best = self.weight * point[losses] + multipliers @ start
        now = self.weight * x[losses] + multipliers @ x[solve.s]
        gap = max(_GAP * abs(solve.objective or 0.0), ABSOLUTE_GAP)
        bounds, scores = np.full(self.images, -np.inf), np.tile(start, (self.images, 1))
        # The easiest first, so that what they leave of the time goes to the others.
        for done, image in enumerate(np.argsort(best - now, kind="stable").tolist()):
            left = solve.left()
            limit = None if left is None else max(left - rest, 1e-3) / (self.images - done)
            alone = Alone(image, multipliers[image], start, float(best[image]), float(now[image]), gap)
            bounds[image], scores[image] = self.program(alone, limit)
            if solve.progress is not None:
                solve.progress(
                    Event(
                        kind="image", number=done + 1, nodes=self.images, bound=float(bounds[image]),
                        seconds=time.monotonic() - solve.began,
                    )
                )  # fmt: skip
        return bounds, scores

    def _add_rows(self, multipliers: Array, bounds: Array) -> int:
        """Add what the programs of single images proved to the relaxation; returns how many rows that are."""
        at = np.flatnonzero(np.isfinite(bounds))
        if len(at):
            m = self.solve.instance
            safe = bounds[at] - _SAFE * np.maximum(1.0, np.abs(bounds[at]))
            rows = image_cuts(m, at, multipliers[at], safe)
            matrix = self.solve.compiled.rows(rows)
            self.relaxation.add(m.image_cuts, rows.names, matrix, rows.lower, rows.upper, lasting=True)
        return len(at)

    def multipliers(self) -> Array | None:
        """Multipliers P (n, units) at the relaxation's last optimum.

        They are None where the solver gives no duals.

        Each row belongs to the image whose variables it has. With duals y and reduced costs d, P_n = n sum_n y A + d:
        with these the programs of all images together prove at least what the relaxation does.
        """
        duals = self.relaxation.row_duals()
        if duals is None:
            return None
        rows = self.relaxation.rows()
        owner = self._owners(rows)
        scores = sp.csr_array(rows[:, self.solve.s])
        shares = np.stack([scores.T @ np.where(owner == image, duals, 0.0) for image in range(self.images)])
        rest = self.solve.arrays.cost[self.solve.s] - scores.T @ duals
        multipliers = self.images * shares + rest
        return _cleared(multipliers)

    def _owners(self, rows: sp.csr_array) -> NDArray[np.int64]:
        """The image that each row belongs to, -1 where it is none's."""
        m, columns = self.solve.instance, self.solve.compiled.columns
        of_column = np.full(rows.shape[1], -1, dtype=np.int64)
        for name in ("a", "h", "z", "q", "o", "t", "v", "w"):
            variable: Any = getattr(m, name, None)
            if variable is not None:
                of_column[columns(variable)] = [k[0] if isinstance(k, tuple) else k for k in variable.index_set()]
        owner = np.full(rows.shape[0], -1, dtype=np.int64)
        entries = rows.tocoo()
        np.maximum.at(owner, entries.row, of_column[entries.col])
        return owner


def _cleared(multipliers: Array) -> Array:
    return np.asarray(np.where(np.abs(multipliers) < _LEAST, 0.0, multipliers))
