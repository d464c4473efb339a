"""Bounds from duals hold in exact arithmetic, for any duals, at every scale."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.optimize import linprog

from oamip_model.solving.proofs.certificates import Rows, implied_bounds, safe_bound, weak_duality
from oamip_model.solving.protocol import Arrays


def program(seed, scale=1.0):
    """A bounded linear program, its rows and columns multiplied by powers of ten up to ``scale``."""
    draw = np.random.default_rng(seed)
    rows, columns = 6, 5
    units = 10.0 ** draw.uniform(-np.log10(scale), np.log10(scale), size=columns)
    sizes = 10.0 ** draw.uniform(-np.log10(scale), np.log10(scale), size=rows)
    matrix = draw.normal(size=(rows, columns)) * (draw.random((rows, columns)) < 0.7)
    inside = draw.random(columns)
    high = matrix @ inside + draw.random(rows)
    low = np.where(draw.random(rows) < 0.5, -np.inf, matrix @ inside - draw.random(rows))
    return Arrays(
        sp.csr_array(matrix * units * sizes[:, None]), draw.normal(size=columns) * units, np.zeros(columns),
        2.0 / units, low * sizes, high * sizes, np.zeros(columns, bool), offset=0.5,
    )  # fmt: skip


def exact_value(arrays, duals):
    """What the duals prove, in rational numbers."""
    matrix, total = arrays.matrix.toarray(), Fraction(arrays.offset)
    y = []
    for value, low, high in zip(duals, arrays.row_lower, arrays.row_upper, strict=True):
        side = low if value > 0 else high
        y.append(Fraction(float(value)) if np.isfinite(side) else Fraction(0))
        total += y[-1] * (Fraction(float(side)) if np.isfinite(side) else 0)
    for j in range(len(arrays.cost)):
        reduced = Fraction(float(arrays.cost[j])) - sum(Fraction(float(matrix[i, j])) * y[i] for i in range(len(y)))
        total += min(reduced * Fraction(float(side)) for side in (arrays.lower[j], arrays.upper[j]))
    return total


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e8])
@pytest.mark.parametrize("seed", range(8))
def test_a_bound_is_never_above_what_the_duals_prove_in_rational_numbers(seed, scale):
    arrays = program(seed, scale)
    duals = np.random.default_rng(seed).normal(size=len(arrays.row_lower)) / abs(arrays.matrix).max(axis=1).toarray()
    exact, bound = exact_value(arrays, duals), safe_bound(arrays, duals)
    assert Fraction(bound) <= exact
    assert bound == pytest.approx(float(exact), rel=1e-9, abs=1e-9 * float(abs(exact) + 1))


@pytest.mark.parametrize("seed", range(8))
def test_the_duals_of_an_optimum_prove_it(seed):
    arrays = program(seed, 100.0)
    rows = [(arrays.matrix.toarray(), arrays.row_upper, 1.0), (-arrays.matrix.toarray(), -arrays.row_lower, -1.0)]
    matrix = np.concatenate([m[np.isfinite(side)] for m, side, _ in rows])
    limit = np.concatenate([side[np.isfinite(side)] for _, side, _ in rows])
    best = linprog(arrays.cost, matrix, limit, bounds=list(zip(arrays.lower, arrays.upper, strict=True)))
    duals = np.zeros(len(arrays.row_lower))
    first = int(np.isfinite(arrays.row_upper).sum())
    duals[np.isfinite(arrays.row_upper)] += best.ineqlin.marginals[:first]
    duals[np.isfinite(arrays.row_lower)] -= best.ineqlin.marginals[first:]
    assert safe_bound(arrays, duals) == pytest.approx(best.fun + arrays.offset, rel=1e-8, abs=1e-8)


def test_a_maximum_is_bounded_from_above():
    arrays = program(3)
    up = Arrays(**{**vars(arrays), "cost": -arrays.cost, "sense": -1, "offset": -arrays.offset})
    duals = np.random.default_rng(3).normal(size=6)
    assert safe_bound(up, -duals) == pytest.approx(-safe_bound(arrays, duals))


def test_a_free_column_is_bounded_by_the_equation_that_defines_it():
    rows = sp.csr_array([[1.0, -2.0, 3.0]])
    arrays = Arrays(
        rows, np.array([1.0, 0, 0]), np.array([-np.inf, 0, 0]), np.array([np.inf, 1, 1]), np.array([4.0]),
        np.array([4.0]), np.zeros(3, bool),
    )  # fmt: skip
    lower, upper = implied_bounds(arrays)
    assert (lower[0], upper[0]) == (pytest.approx(1.0), pytest.approx(6.0))
    assert lower[0] <= 1.0
    assert upper[0] >= 6.0
    # Duals that leave the free column some cost still prove something.
    assert safe_bound(arrays, np.array([0.9])) == pytest.approx(0.9 * 1.0 + 0.1 * 1.0)


def test_a_column_without_bounds_and_without_cost_lets_only_fitting_duals_prove_anything():
    rows = Rows(sp.csr_array([[1.0, 1.0]]), np.array([1.0]), np.array([np.inf]))
    lower, upper = np.array([0.0, 0.0]), np.array([np.inf, np.inf])
    assert weak_duality(np.array([1.0, 0.0]), lower, upper, [rows], np.array([0.5])) == -np.inf
    assert weak_duality(np.array([1.0, 1.0]), lower, upper, [rows], np.array([1.0])) == pytest.approx(1.0)
