"""Cuts from programs of one image each: a Lagrangian relaxation by images.

They are made in rounds, once in a search tree.

See mathematics:tree-3..5. The images share the scores and nothing else. With scores of its own for
each image, and multipliers that hold these together, the program falls apart into one for each
image. Each of these is far easier. The bound that it proves is a row of the program of all images.
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

    Parameters
    ----------
    image : int
        The number of the image among the n.
    multipliers : array
        Multipliers (units,).
    start : array
        Scores (units,) to start from.
    value : float
        Their objective.
    least : float
        The objective at the optimum of the relaxation of all images.
    gap : float
        The absolute gap that is to be proved.
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
        """A lower bound of the program's objective, -inf without one, and the best scores (units,)."""

    def ascend(self, multipliers: Array, start: Array, time_limit: float | None) -> Array:
        """Multipliers whose programs have better bounds, with the same sum.

        Parameters
        ----------
        multipliers : array
            Multipliers (n, units).
        start : array
            Known scores (units,).
        time_limit : float, optional
            Seconds.

        Returns
        -------
        array
            Multipliers (n, units).
        """


_ASCENT = 0.1
"""Share of the remaining time that the search for better multipliers may take."""
_LEAST = 1e-9
"""Multipliers below this are set to 0. Solvers drop such small coefficients, and the row would not
be valid without them."""
_GAP = 1e-3
"""Gap of the single programs, relative to the objective of all."""
_SAFE = 1e-7
"""Share of max(1, |bound|) that is subtracted from a bound, for the solver's tolerances."""


class ImageCuts:
    """The cuts of one search tree, made once from the linear relaxation of its root.

    Parameters
    ----------
    solve : SolveState
        The instance.
    relaxation : Relaxation
        Its linear relaxation.
    program : callable
        Solves the program of one image, see :class:`ImageProgram`.
    options : TreeSearch
        Options of the search tree.

    Attributes
    ----------
    due : bool
        Whether the cuts are still to be made.
    """

    def __init__(self, solve: SolveState, relaxation: Relaxation, program: ImageProgram, options: TreeSearch) -> None:
        self.options = options
        self.solve, self.relaxation, self.program = solve, relaxation, program
        self.images, self.weights = solve.program.images, solve.program.weights
        binaries = int(solve.arrays.integral.sum())
        self.due = self.images > 1 and binaries >= options.image_cuts_from and solve.program.image_cuts is not None

    def add(self) -> int:
        """Add the cuts to the relaxation, whose bounds are those of the root.

        After a round, each image's multipliers take a step along its scores less the mean of all
        images' scores. This is an ascent of the sum of the bounds. Rounds go on while they raise it
        enough, and while there is time for one as long as the last.

        Returns
        -------
        int
            The number of cuts.
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
        """Bounds (n,) of all images' programs, -inf without one, and the best scores (n, units).

        ``x`` is an optimum of the relaxation, and ``point`` the incumbent. ``rest`` are the seconds
        that are not to be used.
        """
        solve, losses = self.solve, self.solve.compiled.columns(self.solve.program.losses)
        start = point[solve.s]
        best = self.weights * point[losses] + multipliers @ start
        now = self.weights * x[losses] + multipliers @ x[solve.s]
        gap = max(_GAP * abs(solve.objective or 0.0), ABSOLUTE_GAP)
        bounds, scores = np.full(self.images, -np.inf), np.tile(start, (self.images, 1))
        # The easiest come first, so that the others get the time that these do not use.
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
        """Add the bounds of the programs of single images to the relaxation as rows. Returns their number."""
        at = np.flatnonzero(np.isfinite(bounds))
        if len(at):
            m = self.solve.instance
            safe = bounds[at] - _SAFE * np.maximum(1.0, np.abs(bounds[at]))
            rows = image_cuts(m, at, multipliers[at], safe)
            matrix = self.solve.compiled.rows(rows)
            self.relaxation.add(m.image_cuts, rows.names, matrix, rows.lower, rows.upper, lasting=True)
        return len(at)

    def multipliers(self) -> Array | None:
        """Multipliers at the relaxation's last optimum.

        Each row belongs to the image whose variables it has. With duals y and reduced costs d, the
        multipliers of image n are P_n = n sum_n y A + d. With these, the programs of all images
        together prove at least the bound of the relaxation.

        Returns
        -------
        array or None
            Multipliers (n, units), None where the solver gives no duals.
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
        """The image that each row belongs to, -1 for a row that belongs to none."""
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
    """The multipliers without those that are too small for solvers."""
    return np.asarray(np.where(np.abs(multipliers) < _LEAST, 0.0, multipliers))
