"""The answer of HiGHS: its status, its point and its duals.

The duals may prove an optimum, or not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from oamip_backends.shared.certificate import dual_bound
from oamip_backends.shared.handover import Limits
from oamip_backends.shared.outcome import Outcome
from oamip_model.solving.protocol import Array, Arrays, Status, append_rows

LIMITS = Limits("highs", dropped=1e-12, largest=1e15, largest_cost=1e20)
"""1e-12 is the least value of its option small_matrix_value. Seen with 1.15.1: it leaves out what is not above it."""

PROVED = 1e-6
"""Largest distance between an optimum and the bound that duals prove, relative, or absolute below 1."""


def read(library: Any, highs: Any, run_status: Any, is_mip: bool) -> Outcome:
    """The answer of HiGHS to a solve.

    Parameters
    ----------
    library : module
        highspy.
    highs : highspy.Highs
        The model.
    run_status : highspy.HighsStatus
        The status of its run.
    is_mip : bool
        Whether the program was a mixed-integer one.

    Returns
    -------
    Outcome
        Status, point, bound and duals, not yet checked.
    """
    model, info, kinds = highs.getModelStatus(), highs.getInfo(), library.HighsModelStatus
    nodes = int(info.mip_node_count) if is_mip and info.valid and info.mip_node_count >= 0 else None
    outcome = Outcome(Status.ERROR, nodes=nodes)
    if run_status == library.HighsStatus.kError:
        outcome.message = f"HiGHS failed with model status {highs.modelStatusToString(model)}"
        return outcome
    # highspy 1.11 does not have all of them.
    names = ("kTimeLimit", "kInterrupt", "kHighsInterrupt", "kIterationLimit", "kSolutionLimit")
    early = [getattr(kinds, name) for name in names if hasattr(kinds, name)]
    if model in (kinds.kOptimal, kinds.kModelEmpty):
        outcome.status = Status.OPTIMAL
    elif model in early:
        outcome.status = Status.FEASIBLE
        outcome.timed_out = bool(model == kinds.kTimeLimit)
    elif model == kinds.kInfeasible:
        outcome.status = Status.INFEASIBLE
        outcome.ray = None if is_mip else _ray(library, highs)
    elif model == kinds.kUnbounded:
        outcome.status = Status.UNBOUNDED
    elif model == kinds.kUnboundedOrInfeasible:
        outcome.unclear = True
    else:
        outcome.message = f"HiGHS ended with model status {highs.modelStatusToString(model)}"
    if outcome.status in (Status.OPTIMAL, Status.FEASIBLE):
        _read_point(library, highs, outcome, is_mip)
    return outcome


def _ray(library: Any, highs: Any) -> Array | None:
    """The multipliers that show why a linear program is infeasible, None where HiGHS gives none."""
    status, there, values = highs.getDualRay()
    fits = status == library.HighsStatus.kOk and there
    return np.array(values, dtype=np.float64) if fits else None


def _read_point(library: Any, highs: Any, outcome: Outcome, is_mip: bool) -> None:
    solution, info = highs.getSolution(), highs.getInfo()
    if info.primal_solution_status == int(library.SolutionStatus.kSolutionStatusFeasible):
        outcome.x = np.array(solution.col_value)
    if is_mip:
        outcome.bound = float(info.mip_dual_bound)
    elif outcome.status is Status.OPTIMAL:
        outcome.bound = float(info.objective_function_value)
        outcome.row_duals = np.array(solution.row_dual) if solution.dual_valid else None


def prove(outcome: Outcome, program: Arrays, cuts: Sequence[Arrays]) -> None:
    """Test the optimum of a linear program of which HiGHS left something out.

    The optimum is kept only as far as the duals prove it for the whole program.

    Parameters
    ----------
    outcome : Outcome
        The answer, which is changed in place.
    program : Arrays
        The program.
    cuts : sequence of Arrays
        Programs with the same columns, whose rows were added.
    """
    if outcome.status is not Status.OPTIMAL or outcome.x is None:
        return
    if not any(_left_out(part) for part in (program, *cuts)):
        return
    for cut in cuts:
        program = append_rows(program, cut.matrix, cut.row_lower, cut.row_upper)
    duals = np.zeros(program.matrix.shape[0]) if outcome.row_duals is None else outcome.row_duals
    objective = program.objective(outcome.x)
    outcome.bound = dual_bound(program, program.sense * duals)
    if not program.sense * (objective - outcome.bound) <= PROVED * max(1.0, abs(objective)):
        outcome.status = Status.FEASIBLE
        outcome.message = f"HiGHS claims an optimum of {objective!r}, but its duals prove {outcome.bound!r} only"


def _left_out(arrays: Arrays) -> bool:
    """Whether HiGHS leaves out some coefficients."""
    size = np.abs(arrays.matrix.data)
    return bool(((size <= LIMITS.dropped) & (size > 0)).any())
