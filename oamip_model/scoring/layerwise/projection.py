"""The projections of the level method (mathematics:level-2).

A projection is the point of a level set of the master's model that is nearest to the best.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from scipy.optimize import minimize
from threadpoolctl import ThreadpoolController

from oamip_model.network.maps import Array
from oamip_model.solving.protocol import Arrays, Backend, Options, Status
from oamip_model.solving.registry import solve_once

_BLAS = ThreadpoolController()


@dataclass
class Tangents:
    """Tangents of the loss: L(s) >= level[k] + gradient[k] @ s for every s.

    They hold for every weight.

    most: what the scores may add up to, None where that is free.
    """

    most: float | None = None

    gradient: list[Array] = field(default_factory=list)
    level: list[float] = field(default_factory=list)
    points: list[Array] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, point: Array, value: float, gradient: Array) -> None:
        """Keep the tangent at a point."""
        self.gradient.append(gradient)
        self.level.append(value - float(gradient @ point))
        self.points.append(point)
        self.values.append(value)

    def level_set(self, level: float, price: Array, weight: float) -> tuple[Array, Array]:
        """Rows a and limits b of a level set: a @ s <= b.

        They hold where the model value is at most ``level``, and the scores add up to no more than they may. Rows
        have norm 1.

        The model value is price @ s + weight * max_k (level_k + gradient_k @ s).
        """
        a = price + weight * np.array(self.gradient)
        b = level - weight * np.array(self.level)
        if self.most is not None:
            a, b = np.vstack([a, np.ones(len(price))]), np.append(b, self.most)
        scale = np.maximum(np.linalg.norm(a, axis=1), 1e-12)
        return a / scale[:, None], b / scale


def project(centre: Array, level: float, price: Array, weight: float, cuts: Tangents) -> Array | None:
    """The nearest point of [0, 1] whose model value is at most ``level``.

    It is the nearest to ``centre``, and None if the search failed.

    The dual of this projection has one multiplier for each tangent and is smooth. So a quasi-Newton
    method with bounds solves it without a QP solver. The point is checked against the tangents.
    Where the check fails, the caller uses the master's own point.
    """
    a, b = cuts.level_set(level, price, weight)

    def dual(u: Array) -> tuple[float, Array]:
        s = np.clip(centre - a.T @ u, 0.0, 1.0)
        slack = a @ s - b
        return -float(0.5 * ((s - centre) ** 2).sum() + u @ slack), -slack

    bounds = [(0.0, None)] * len(b)
    # The quasi-Newton steps are so small that handing them to BLAS threads takes far longer than doing them.
    with _BLAS.limit(limits=1, user_api="blas"):
        found = minimize(dual, np.zeros(len(b)), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500})
    return _checked(np.clip(centre - a.T @ found.x, 0.0, 1.0), centre, a, b)


def project_by_lp(
    backend: Backend, centre: Array, level: float, price: Array, weight: float, cuts: Tangents, seed: int | None = 0
) -> Array | None:
    """A nearest point of [0, 1] in the largest coordinate, by a linear program.

    Otherwise it is as :func:`project`.
    """
    a, b = cuts.level_set(level, price, weight)
    units, one = len(centre), np.ones((len(centre), 1))
    eye = sp.eye_array(units, format="csr")
    # Columns: the scores, then the distance t. Rows: s - t <= centre, s + t >= centre, a @ s <= b.
    rows = sp.block_array([[eye, -one], [eye, one], [sp.csr_array(a), None]], format="csr")
    nothing = np.full(units, np.inf)
    program = Arrays(
        rows, np.append(np.zeros(units), 1.0), np.zeros(units + 1), np.ones(units + 1),
        np.concatenate([-nothing, centre, np.full(len(b), -np.inf)]), np.concatenate([centre, nothing, b]),
        np.zeros(units + 1, dtype=bool),
    )  # fmt: skip
    solution = solve_once(backend, program, Options(seed=seed))
    if solution.status is not Status.OPTIMAL or solution.x is None:
        return None
    return _checked(np.clip(solution.x[:-1], 0.0, 1.0), centre, a, b)


def _checked(s: Array, centre: Array, a: Array, b: Array) -> Array | None:
    """The point, where it misses the level set by little against the length of the step; else None."""
    worst = float((a @ s - b).max())
    return s if worst <= 0.05 * float(np.linalg.norm(s - centre) + 1e-9) else None
