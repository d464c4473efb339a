"""The solution of an instance, and what it proves."""

from __future__ import annotations

from dataclasses import dataclass

from oamip_model.network.maps import Array
from oamip_model.solving.protocol import ABSOLUTE_GAP, Status


@dataclass(frozen=True)
class InstanceSolution:
    """The solution of an instance, and what it proves. What is not known is None.

    Parameters
    ----------
    status : Status
        How the solve ended.
    scores : dict of str to array, optional
        Scores (units,) of each group.
    logits : array, optional
        Logits (n, classes) in the program.
    objective : float, optional
        The objective of the incumbent, with its exact loss.
    bound : float, optional
        The dual bound, a lower bound of the program's optimum.
    loss : float, optional
        The mean loss of the images without its weight, None for the loss "margin".
    sparsity : float, optional
        The sparsity term of the objective.
    rounds : int
        Solves of the solver.
    cuts : int
        Rows that were added: tangents after the first ones, and cuts of the relaxation "hull".
    nodes : int, optional
        Branch-and-bound nodes.
    seconds : float
        Wall clock of the whole solve.
    solver_seconds : float
        Wall clock inside the solver.
    solver, version : str
        Name and version of the solver.
    message : str, default ""
        Why the solve ended as it did, in a line.
    interrupted : bool, default False
        Whether Ctrl-C stopped it.
    first_bound : float, optional
        The dual bound of the first solve, before any cut.
    certified : bool, default False
        Whether the bound follows from duals of linear programs, rounding included. Otherwise it is
        a claim of the solver.
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
        """Relative gap between objective and bound, None where it is not known.

        It is ``abs(objective - bound) / max(abs(objective), 1e-10)``, and 0 within ABSOLUTE_GAP.
        """
        if self.objective is None or self.bound is None:
            return None
        difference = abs(self.objective - self.bound)
        return 0.0 if difference <= ABSOLUTE_GAP else difference / max(abs(self.objective), 1e-10)
