"""Rounds of the relaxation ``hull``, until they pay no more.

Cuts are added at the optimum of the linear relaxation.
"""

from __future__ import annotations

import numpy as np

from oamip_model.formulation.program import Program
from oamip_model.formulation.relaxations.hull import HullCuts
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled
from oamip_model.solving.protocol import Session

_LEAST = 1e-3
"""Violation, relative to max(1, U), from which a cut is taken."""
_ROUNDS = 40
_WINDOW, _SHARE = 3, 0.02
"""The rounds end when the last three have raised the bound by less than this share of what all of them have."""
_TIGHT = 1e-6
"""Slack up to which a cut is kept after the rounds."""


class HullRounds:
    """The cuts of one solve.

    They are added to the instance, as the tangents of the loss are.
    """

    def __init__(self, program: Program, compiled: Compiled) -> None:
        assert program.hull_cuts is not None
        self.model, self.home, self.compiled = program.model, program.hull_cuts, compiled
        self.hull = HullCuts(program)
        self.bounds: list[float] = []

    def add(self, session: Session, x: Array, bound: float) -> int:
        """Add the cuts that x (columns,) violates, and return how many.

        x is an optimum of the relaxation with this bound.
        """
        self.bounds.append(bound)
        late = len(self.bounds) > _WINDOW
        if late and bound - self.bounds[-1 - _WINDOW] <= _SHARE * (bound - self.bounds[0]):
            return 0
        if len(self.bounds) > _ROUNDS:
            return 0
        m = self.model
        rows = self.hull.violated(np.concatenate([x[self.compiled.columns(v)] for v in (m.s, m.a, m.h)]), _LEAST)
        if rows.names:
            self.home.append(rows)
            session.add_rows(self.compiled.rows(rows), rows.lower, rows.upper)
        return len(rows.names)

    def drop_slack(self, x: Array) -> bool:
        """Take the cuts that x does not meet with equality out of the instance.

        Returns whether there were any.
        """
        rows = self.home.rows
        if not rows.names:
            return False
        slack = rows.upper - self.compiled.rows(rows) @ x
        keep = np.flatnonzero(slack <= _TIGHT * np.maximum(1.0, np.abs(rows.upper)))
        self.home.keep(keep)
        return len(keep) < len(slack)
