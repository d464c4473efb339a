"""The solution that a backend gives back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum

from oamip_model.solving.protocol.arrays import Array


class Status(StrEnum):
    """How a solve ended."""

    OPTIMAL = "optimal"
    FEASIBLE = "feasible"
    """Stopped early with a feasible point."""
    NO_SOLUTION = "no solution"
    """Stopped early without a feasible point."""
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    ERROR = "error"


@dataclass(frozen=True)
class Solution:
    """The answer of a solver. What it did not say is None, never 0.

    Parameters
    ----------
    status : Status
        How the solve ended.
    solver, version : str
        Name and version of the solver.
    x : array, optional
        The incumbent (columns,).
    objective : float, optional
        The incumbent's objective, computed by this package.
    bound : float, optional
        The dual bound, which is a lower bound when minimising.
    nodes : int, optional
        Branch-and-bound nodes.
    seconds : float, default 0.0
        Wall clock of the solve.
    message : str, default ""
        Why the solve ended as it did, in a line.
    interrupted : bool, default False
        Whether Ctrl-C stopped it.
    row_duals : array, optional
        Duals (rows,) of a linear program solved to optimality, where the solver gives them. A dual is
        the derivative of the objective by the active row bound, also when maximising.
    certified : bool, default False
        Whether the bound follows from such duals, rounding included. Otherwise the solver claims it.
    ray : array, optional
        Multipliers (rows,) that show why a linear program is infeasible, where the solver gives them.
    """

    status: Status
    solver: str
    version: str
    x: Array | None = None
    objective: float | None = None
    bound: float | None = None
    nodes: int | None = None
    seconds: float = 0.0
    message: str = ""
    interrupted: bool = False
    row_duals: Array | None = field(default=None, repr=False)
    certified: bool = False
    ray: Array | None = field(default=None, repr=False)

    @property
    def gap(self) -> float | None:
        """Relative gap abs(objective - bound) / max(abs(objective), 1e-10), or None.

        Examples
        --------
        >>> Solution(Status.FEASIBLE, "highs", "1", objective=2.0, bound=1.5).gap
        0.25
        """
        if self.objective is None or self.bound is None or not math.isfinite(self.bound):
            return None
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-10)
