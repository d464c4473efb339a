"""Rounds of cuts of the relaxation ``hull``, at optima of the linear relaxation.

They end when they no longer raise the bound enough.
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
"""Rounds of cuts at most."""
_WINDOW, _SHARE = 3, 0.02
"""The rounds end when the last three have raised the bound by less than this share of the rise since the first."""
_TIGHT = 1e-6
"""Slack, relative to max(1, limit), up to which a cut is kept after the rounds."""


class HullRounds:
    """The cuts of one solve.

    The instance holds them, as it holds the tangents of the loss.

    Parameters
    ----------
    program : Program
        The program, with the relaxation "hull".
    compiled : Compiled
        Its arrays.
    """

    def __init__(self, program: Program, compiled: Compiled) -> None:
        assert program.hull_cuts is not None
        self.model, self.home, self.compiled = program.model, program.hull_cuts, compiled
        self.hull = HullCuts(program)
        self.bounds: list[float] = []

    def add(self, session: Session, x: Array, bound: float) -> int:
        """Add the cuts that an optimum of the relaxation violates.

        Parameters
        ----------
        session : Session
            The session that gets the cuts as rows.
        x : array
            The optimum (columns,).
        bound : float
            Its objective.

        Returns
        -------
        int
            The number of cuts, 0 once the rounds are over.
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
        """Remove the cuts that a point does not meet with equality from the instance.

        Parameters
        ----------
        x : array
            The point (columns,).

        Returns
        -------
        bool
            Whether there were any.
        """
        rows = self.home.rows
        if not rows.names:
            return False
        slack = rows.upper - self.compiled.rows(rows) @ x
        keep = np.flatnonzero(slack <= _TIGHT * np.maximum(1.0, np.abs(rows.upper)))
        self.home.keep(keep)
        return len(keep) < len(slack)
