"""Programs with coefficients from 1e-12 to 1e12 end right, or without a proof, and never with a wrong claim.

What is right is found by looking at every point. A claim is wrong where a point refutes it that satisfies every row
exactly, or where its own point breaks a row by more than its rounding and tolerance allow.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from oamip_model.solving.protocol import Arrays, Options, Solution, Status
from oamip_model.solving.registry import solve_once

inf = np.inf
WIDE = 12
"""Powers of ten up to which coefficients go, both ways."""
SEEN_WRONG = (19, 241, 286, 323)
"""Binary programs whose costs are all about 1e-8, of which CBC 2.10.3 claims optima that are not."""
TOLERANCE = 1e-5
"""Of a row, relative to what is summed in it, and of an objective, relative to what is summed in that."""


def powers(rng, *shape):
    return 10.0 ** rng.integers(-WIDE, WIDE + 1, shape)


def points(columns):
    return ((np.arange(2**columns)[:, None] >> np.arange(columns)) & 1).astype(float)


def binary_program(program, seed):
    """Binary columns, rows and costs of every magnitude, within single rows too."""
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(2, 7)), int(rng.integers(1, 5))
    rows = np.round(rng.normal(size=(m, n)), 3) * (rng.random((m, n)) < 0.7)
    rows *= powers(rng, m, n) if seed % 2 else powers(rng, m, 1)
    sides = (rows * rng.random((m, n))).sum(axis=1)
    lower, upper = np.where(rng.random(m) < 0.5, sides, -inf), np.where(rng.random(m) < 0.5, sides, inf)
    lower, upper = np.minimum(lower, upper), np.maximum(lower, upper)
    cost = np.round(rng.normal(size=n), 3) * (powers(rng, n) if seed % 3 == 0 else powers(rng, 1))
    sense = 1 if seed % 5 else -1
    return program(cost, rows, lower, upper, upper=1, integral=True, sense=sense), points(n)


def layered_program(program, seed):
    """Binary z, and h >= c (w @ z - b) in units c of every magnitude, as ReLUs in a network of any scale have."""
    rng = np.random.default_rng(seed)
    n, units = int(rng.integers(2, 6)), int(rng.integers(1, 5))
    weight, bias, unit = np.round(rng.normal(size=(units, n)), 3), np.round(rng.random(units), 3), powers(rng, units)
    rows = np.hstack([-weight * unit[:, None], np.eye(units)])
    high = unit * (np.abs(weight).sum(axis=1) + 1)
    cost = np.concatenate([-np.round(rng.random(n), 3), np.round(rng.random(units), 3) / unit])
    arrays = program(
        cost, rows, -bias * unit, inf, upper=np.concatenate([np.ones(n), high]), integral=np.arange(n + units) < n,
    )  # fmt: skip
    z = points(n)
    # A little above what rounding can have taken from them, so that the rows hold exactly.
    h = np.maximum(unit * (z @ weight.T - bias), 0.0) * (1 + 1e-9) + unit * 1e-9
    return arrays, np.hstack([z, h])


def fair(value):
    return Fraction(float(value))


def holds(arrays: Arrays, x) -> bool:
    """Whether x satisfies every row exactly."""
    dense = arrays.matrix.toarray()
    for row, low, high in zip(dense, arrays.row_lower, arrays.row_upper, strict=True):
        value = sum((fair(a) * fair(v) for a, v in zip(row, x, strict=True) if a), Fraction(0))
        if (low > -inf and value < fair(low)) or (high < inf and value > fair(high)):
            return False
    return True


def wrong(arrays: Arrays, known: np.ndarray, found: Solution) -> str:
    """Why the claims of a solution are wrong, "" where they are not."""
    inside = [x for x in known if holds(arrays, x)]
    if found.status is Status.INFEASIBLE and inside:
        return f"infeasible, and {inside[0].tolist()} is a point"
    if found.status is Status.UNBOUNDED:
        return "unbounded, and all columns are bounded"
    if found.x is not None:
        size = np.abs(arrays.matrix.toarray()) @ np.abs(found.x)
        activity = arrays.matrix @ found.x
        for side, sign in ((arrays.row_lower, 1), (arrays.row_upper, -1)):
            there = np.isfinite(side)
            excess = sign * (side - activity)[there] - TOLERANCE * (1 + size + np.abs(side))[there]
            if (excess > 0).any():
                return f"the point {found.x.tolist()} breaks a row by {excess.max()}"
    if found.bound is not None:
        for x in inside:
            slack = TOLERANCE * (float(np.abs(arrays.cost) @ np.abs(x)) + abs(arrays.objective(x))) + 1e-8
            if arrays.sense * (found.bound - arrays.objective(x)) > slack:
                return f"a bound of {found.bound!r}, and {x.tolist()} is worth {arrays.objective(x)!r}"
    if found.status is Status.OPTIMAL:
        for x in inside:
            slack = TOLERANCE * (float(np.abs(arrays.cost) @ np.abs(x)) + abs(found.objective)) + 1e-8
            if arrays.sense * (found.objective - arrays.objective(x)) > slack:
                return f"an optimum of {found.objective!r}, and {x.tolist()} is worth {arrays.objective(x)!r}"
    return ""


@pytest.mark.thinned(14)
@pytest.mark.parametrize("make", [binary_program, layered_program])
@pytest.mark.parametrize("relaxed", [False, True])
def test_no_claim_is_refuted_at_any_magnitude(backend, program, make, relaxed):
    ended = []
    for seed in (*range(12), *SEEN_WRONG):
        arrays, known = make(program, seed)
        asked = replace(arrays, integral=np.zeros_like(arrays.integral)) if relaxed else arrays
        found = solve_once(backend, asked, Options(time_limit=20))
        assert wrong(arrays, known, found) == "", f"seed {seed}: {found.status}, {found.message}"
        assert found.status in (Status.OPTIMAL, Status.INFEASIBLE) or found.message, f"seed {seed}"
        ended.append(found.status)
    assert Status.OPTIMAL in ended
