"""How an instance was solved, and what is proved."""

from __future__ import annotations

from dataclasses import dataclass

from oamip_model.network.maps import Array
from oamip_model.solving.protocol import ABSOLUTE_GAP, Status


@dataclass(frozen=True)
class InstanceSolution:
    """How an instance was solved, and what is proved. What is not known is None.

    scores: {group: (units,)}; logits: (n, classes) in the program; objective: of the incumbent with its exact loss;
    bound: lower bound of the program's optimum; loss: mean over images, unweighted (None for loss "margin");
    sparsity: the sparsity term; rounds: solves; cuts: rows added, tangents after the first ones and cuts of the
    relaxation "hull"; solver_seconds: inside the solver; first_bound: of the first solve, before any cut;
    certified: the bound follows from duals of linear programs, rounding included, and is no claim of the solver's.
    """

    status: Status
    scores: dict[str, Array] | None
    logits: Array | None
    objective: float | None
    bound: float | None
    loss: float | None
    sparsity: float | None
    rounds: int
    cuts: int
    nodes: int | None
    seconds: float
    solver_seconds: float
    solver: str
    version: str
    message: str = ""
    interrupted: bool = False
    first_bound: float | None = None
    certified: bool = False

    @property
    def gap(self) -> float | None:
        """Relative gap of objective and bound, None where unknown.

        It is |objective - bound| / max(|objective|, 1e-10), and 0 within ABSOLUTE_GAP.
        """
        if self.objective is None or self.bound is None:
            return None
        difference = abs(self.objective - self.bound)
        return 0.0 if difference <= ABSOLUTE_GAP else difference / max(abs(self.objective), 1e-10)
