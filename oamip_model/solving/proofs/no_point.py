"""Multipliers that show that a linear program holds no point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from oamip_model.network.maps import Array
from oamip_model.solving.options import Solver
from oamip_model.solving.proofs.certificates import Rows
from oamip_model.solving.protocol import Arrays
from oamip_model.solving.registry import get_backend


def least_violation(blocks: Sequence[Rows], lower: Array, upper: Array, solver: Solver) -> Array | None:
    """The duals of the least total violation of the rows, within the bounds.

    That program always has a point. Where its optimum is above 0, its duals are a ray of the rows (Farkas). Solvers
    give no such ray where their presolve has found a program infeasible.

    Parameters
    ----------
    blocks : sequence of Rows
        The rows.
    lower, upper : array
        The bounds of the columns.
    solver : Solver
        Who solves it, with what limit.

    Returns
    -------
    array or None
        A multiplier for each row, None where the solver gives no duals.

    Examples
    --------
    >>> rows = Rows(sp.csr_array([[1.0]]), np.array([3.0]), np.array([np.inf]))
    >>> least_violation([rows], np.zeros(1), np.ones(1), Solver("highs")).tolist()
    [1.0]
    """
    matrix = sp.vstack([block.matrix for block in blocks], format="csr")
    rows, columns = matrix.shape
    eye = sp.eye_array(rows, format="csr")
    slack = np.zeros(2 * rows)
    arrays = Arrays(
        sp.csr_array(sp.hstack([matrix, eye, -eye])),
        np.concatenate([np.zeros(columns), np.ones(2 * rows)]),
        np.concatenate([lower, slack]),
        np.concatenate([upper, slack + np.inf]),
        np.concatenate([block.low for block in blocks]),
        np.concatenate([block.high for block in blocks]),
        np.zeros(columns + 2 * rows, dtype=bool),
    )
    return get_backend(solver.name).solve(arrays, solver.options(1e-9)).row_duals
