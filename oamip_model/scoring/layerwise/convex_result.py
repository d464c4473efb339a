"""What the solve of a convex program is asked, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass

from oamip_model.network.maps import Array
from oamip_model.runs.events import Listener
from oamip_model.scoring.layer_options import LevelMethod
from oamip_model.solving.protocol import Backend, Status

_LEVEL = LevelMethod()


@dataclass(frozen=True)
class ConvexResult:
    """The best scores of a convex program, their objective and its lower bound.

    Parameters
    ----------
    scores : array
        Scores (units,).
    loss : float
        Their loss.
    objective : float
        price @ scores + weight * loss.
    bound : float
        The dual bound.
    status : Status
        How the solve ended.
    calls : int
        Calls of the oracle.
    seconds : float
        Wall clock.
    solver, version : str
        Name and version of the solver.
    message : str
        Why the solve ended as it did.
    projections, failed : int
        Projections that were made, and those that did not pass their check. For these the master's
        own point was taken.
    variables, rows : int
        Size of the last master.
    certified : bool
        Whether the bound follows from the duals of a master.
    """

    scores: Array
    loss: float
    objective: float
    bound: float
    status: Status
    calls: int
    seconds: float
    solver: str
    version: str
    message: str = ""
    projections: int = 0
    failed: int = 0
    variables: int = 0
    rows: int = 0
    certified: bool = False

    @property
    def gap(self) -> float:
        """Relative gap |objective - bound| / max(|objective|, 1e-10)."""
        return abs(self.objective - self.bound) / max(abs(self.objective), 1e-10)


@dataclass(frozen=True, kw_only=True)
class ConvexSolve:
    """The options of the solve of a convex program.

    Parameters
    ----------
    solver : str or Backend
        The solver of the master.
    tolerance : float
        The relative gap at which it ends.
    time_limit : float, optional
        Seconds.
    level : LevelMethod
        Options of the level method. They choose the next point, and the calls of the oracle after
        which the method stops with its gap.
    seed : int
        Seed of the solver.
    progress : callable, optional
        Called with an event after each call of the oracle.
    """

    solver: str | Backend = "highs"
    tolerance: float = 1e-3
    time_limit: float | None = None
    level: LevelMethod = _LEVEL
    seed: int = 0
    progress: Listener | None = None
