"""The outcome of a solve as a solver states it, before it is checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oamip_model.solving.protocol import Array, Arrays, Status


@dataclass
class Outcome:
    """The outcome of a solve as a solver states it, before it is checked.

    Parameters
    ----------
    status : Status
        How the solve ended.
    x : array, optional
        The incumbent (columns,).
    bound : float, optional
        The dual bound.
    nodes : int, optional
        Branch-and-bound nodes.
    message : str, default ""
        Why the solve ended as it did, in a line.
    interrupted : bool, default False
        Whether Ctrl-C ended it.
    row_duals : array, optional
        Duals (rows,) of a linear program.
    ray : array, optional
        Multipliers (rows,) that show why a linear program is infeasible.
    unclear : bool, default False
        Whether the solver says only that the program is infeasible or unbounded.
    timed_out : bool, default False
        Whether the time limit ended the solve.
    """

    status: Status
    x: Array | None = None
    bound: float | None = None
    nodes: int | None = None
    message: str = ""
    interrupted: bool = False
    row_duals: Array | None = None
    ray: Array | None = None
    unclear: bool = False
    timed_out: bool = False


def cut_short(outcome: Outcome, solver: str) -> None:
    """Withdraw a proof that a solver claims although its time was up.

    CBC may be stopped inside a subtree that it enumerates. Then it calls the whole search
    completed: the incumbent optimal, or a program without one infeasible (seen with 2.10.3). Pyomo
    reads the basis at which GLPK stopped as if it were the last one.

    Parameters
    ----------
    outcome : Outcome
        The outcome, which is changed in place.
    solver : str
        The solver's name.
    """
    if outcome.status in (Status.OPTIMAL, Status.INFEASIBLE):
        outcome.message = (
            f"{solver} claims {outcome.status}, but its time was up, and its claims have been seen to be wrong then"
        )
        outcome.status = Status.FEASIBLE if outcome.status is Status.OPTIMAL else Status.NO_SOLUTION
        outcome.unclear = False


def may_be_unbounded(arrays: Arrays) -> bool:
    """Whether a cost improves without end towards an infinite bound of its column.

    Parameters
    ----------
    arrays : Arrays
        The program.

    Returns
    -------
    bool
        Whether there is such a column. The rows may still bound the objective.
    """
    worth = arrays.sense * arrays.cost
    return bool((((worth < 0) & (arrays.upper == np.inf)) | ((worth > 0) & (arrays.lower == -np.inf))).any())


def say_why(outcome: Outcome, limit: float | None) -> None:
    """Add to a message what ended the solve, and what it ended before.

    Parameters
    ----------
    outcome : Outcome
        The outcome, which is changed in place.
    limit : float, optional
        The time limit in seconds.
    """
    before = {Status.FEASIBLE: "a proof", Status.NO_SOLUTION: "a feasible point"}.get(outcome.status)
    if before is None or not (outcome.timed_out or outcome.interrupted):
        return
    what = "an interruption" if outcome.interrupted or limit is None else f"the time limit of {limit:g} s"
    outcome.message = "; ".join(part for part in (f"{what} came before {before}", outcome.message) if part)
