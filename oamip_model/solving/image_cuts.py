"""Cuts from programs of one image each: a Lagrangian relaxation by images, once in a search tree.

The images share the scores and nothing else. Let each have scores of its own, held together by multipliers, and the
program falls apart into one for each image, which is far easier. What each proves is a row of the program of all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.objective import image_cuts
from oamip_model.network.ops import Array
from oamip_model.solving.protocol import ABSOLUTE_GAP
from oamip_model.solving.relaxation import Relaxation
from oamip_model.solving.state import SolveState, pyo_value


@dataclass(frozen=True)
class Alone:
    """The program of one image alone: minimise weight * (loss of the image) + multipliers @ s over all scores s.

    image: its number among the n; multipliers: (units,); start: (units,) scores to begin from; value: the objective
    there; least: the objective at the optimum of the relaxation of all images; gap: that is to be proved, absolute.
    """

    image: int
    multipliers: Array
    start: Array
    value: float
    least: float
    gap: float


ImageProgram: TypeAlias = Callable[[Alone, float | None], float]
"""Called with the program and a time limit: a lower bound of its objective, -inf where there is none. Raises
KeyboardInterrupt on Ctrl-C."""

_WORTH = 200
"""Binaries from which a tree gets cuts, after its first node: in smaller ones branching soon proves more than they."""
_SHARE = 0.6
"""Of the time that is left, that the programs of single images may take."""
_LEAST = 1e-9
"""Multipliers below this are 0: solvers drop coefficients so small, and the row would not be valid any more."""
_GAP = 1e-3
"""Gap of the single programs, relative to the objective of all."""
_SAFE = 1e-7
"""What is taken off a bound, relative to max(1, |bound|), for the solver's tolerances."""


class ImageCuts:
    """Makes the cuts of one search tree, once, from the linear relaxation of its root."""

    def __init__(self, solve: SolveState, relaxation: Relaxation, program: ImageProgram) -> None:
        self.solve, self.relaxation, self.program = solve, relaxation, program
        self.images = len(solve.instance.IMAGE)
        self.weight = pyo_value(solve.instance.weight)
        binaries = int(solve.arrays.integral.sum())
        self.due = self.images > 1 and binaries >= _WORTH and hasattr(solve.instance, "image_cuts")

    def add(self) -> int:
        """Add the cuts to the relaxation, whose bounds are those of the root; returns how many."""
        self.due = False
        solve, m = self.solve, self.solve.instance
        x, _ = self.relaxation.minimise()
        multipliers = None if x is None else self.multipliers()
        if x is None or multipliers is None or solve.best is None or solve.objective is None:
            return 0
        start, losses = solve.best[solve.s], solve.compiled.columns(m.t)
        best = self.weight * solve.best[losses] + multipliers @ start
        now = self.weight * x[losses] + multipliers @ x[solve.s]
        gap = max(_GAP * abs(solve.objective), ABSOLUTE_GAP)
        # The easiest first, so that what they leave of the time goes to the others.
        found: list[tuple[int, float]] = []
        rest = (1.0 - _SHARE) * (solve.left() or 0.0)
        for done, image in enumerate(np.argsort(best - now, kind="stable").tolist()):
            left = solve.left()
            limit = None if left is None else max(left - rest, 1e-3) / (self.images - done)
            alone = Alone(image, multipliers[image], start, float(best[image]), float(now[image]), gap)
            bound = self.program(alone, limit)
            if np.isfinite(bound):
                found.append((image, bound - _SAFE * max(1.0, abs(bound))))
            if solve.progress is not None:
                solve.progress(f"image {done + 1} of {self.images} alone: bound {now[image]:.6g} -> {bound:.6g}")
        if not found:
            return 0
        at = np.array([image for image, _ in found])
        rows = image_cuts(m, at, multipliers[at], np.array([bound for _, bound in found]))
        self.relaxation.add(
            m.image_cuts, rows.names, solve.compiled.rows(rows), rows.lower, rows.upper, lasting=True
        )  # fmt: skip
        return len(found)

    def multipliers(self) -> Array | None:
        """Multipliers P (n, units) at the relaxation's last optimum, None where the solver gives no duals.

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
        return np.asarray(np.where(np.abs(multipliers) < _LEAST, 0.0, multipliers))

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
