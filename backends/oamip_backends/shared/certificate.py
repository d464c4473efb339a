"""A test whether duals prove the optimum that a solver claims.

It uses the tolerances of solvers.

It judges a claim, and is no proof. A free column without a cost may have a reduced cost of 1e-12,
which proves nothing in exact arithmetic. *Certified* bounds come from
:mod:`oamip_model.solving.proofs.certificates`.
"""

# The two share no line beyond the definition of weak duality. A proof scales duals, subtracts rounding and needs the
# bounds that rows imply, by passes over all entries. A backend would pay for those at every linear program, although
# the session around it asks for the proof anyhow. And it would drop optima that are right within the tolerances for
# which the solver was asked. Backends depend on the protocol alone, as those of other packages do.

from __future__ import annotations

import numpy as np

from oamip_model.solving.protocol import Array, Arrays

SLACK = 1e-7
"""Largest reduced cost, relative to 1 + |cost|, that counts as 0 where it points to a side without
a bound. It is the dual tolerance of solvers."""


def dual_bound(arrays: Arrays, duals: Array) -> float:
    """The bound on a linear program's optimum by weak duality.

    Parameters
    ----------
    arrays : Arrays
        The program.
    duals : array
        Derivatives (rows,) of the optimum by the row bounds, of the minimisation ``sense * cost``.
        A dual that points to a side without a bound counts as 0.

    Returns
    -------
    float
        A lower bound where the program is minimised, an upper one otherwise. It is infinite where
        these duals prove none.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> row, cost, zero = csr_array([[1.0, 1.0]]), np.array([1.0, 2.0]), np.zeros(2)
    >>> arrays = Arrays(row, cost, zero, zero + np.inf, np.array([1.5]), np.array([np.inf]), zero > 0)
    >>> [dual_bound(arrays, np.array([y])) for y in (2.0, 1.0, 0.5)]
    [-inf, 1.5, 0.75]
    """
    side = np.where(duals > 0, arrays.row_lower, arrays.row_upper)
    y = np.where(np.isfinite(side), duals, 0.0)
    cost = arrays.sense * arrays.cost
    reduced = cost - arrays.matrix.T @ y
    corner = np.where(reduced > 0, arrays.lower, arrays.upper)
    open_side = ~np.isfinite(corner)
    if (np.abs(reduced[open_side]) > SLACK * (1.0 + np.abs(cost[open_side]))).any():
        return -arrays.sense * np.inf
    rows = y @ np.where(np.isfinite(side), side, 0.0)
    value = rows + reduced[~open_side] @ corner[~open_side]
    return float(arrays.sense * value + arrays.offset)
