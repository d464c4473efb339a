"""Every backend says the same of the same small program: optimum, bound, infeasible, unbounded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oamip_model.solving.protocol import InputError, Options, Status

inf = np.inf


def expect_optimum(backend, arrays, objective, x=None):
    solution = backend.solve(arrays, Options())
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(objective, abs=1e-6, rel=1e-6)
    assert solution.objective == arrays.objective(solution.x)
    assert arrays.violation(solution.x) <= 1e-6
    assert solution.solver == backend.name
    assert solution.version
    assert not solution.interrupted
    if solution.bound is not None:
        slack = 1e-5 * (1 + abs(objective))
        assert arrays.sense * (solution.bound - objective) <= slack
        assert abs(solution.bound - objective) <= slack
    if x is not None:
        np.testing.assert_allclose(solution.x, x, atol=1e-6)
    return solution


def test_linear_program_with_its_bound(backend, program):
    arrays = program([1, 2], [[1, 1], [1, -1]], [1.5, -inf], [inf, 1], upper=[1, 4])
    solution = expect_optimum(backend, arrays, 2.0, [1, 0.5])
    assert solution.bound == pytest.approx(2.0, abs=1e-7)
    assert solution.nodes is None


def test_mixed_integer_program(backend, program):
    expect_optimum(backend, program([1, 2], [[1, 1]], 1.5, inf, integral=True), 2.0, [2, 0])
    expect_optimum(
        backend, program([-1, -1], [[2, 1]], -inf, 2.5, upper=[1, 1], integral=[True, False]), -1.5, [1, 0.5]
    )


def test_maximise_and_offset(backend, program):
    arrays = program([1, 2], [[1, 1]], -inf, 1.5, integral=[False, True], offset=3.0, sense=-1)
    expect_optimum(backend, arrays, 5.5, [0.5, 1])
    expect_optimum(backend, replace(arrays, integral=np.zeros(2, bool)), 6.0, [0, 1.5])
    expect_optimum(backend, replace(arrays, offset=-100.0), -97.5)


def test_equality_and_ranged_rows(backend, program):
    rows = [[1, 1, 0], [0, 1, -1], [1, 0, 1]]
    arrays = program([1, -1, 0.5], rows, [2, -1, 0.5], [2, 1, 2.5], lower=-5, upper=5)
    expect_optimum(backend, arrays, -6.0, [-3, 5, 4])
    # Both ends of one range: maximise and minimise the same row.
    narrow = program([1, 1], [[1, 1]], -1.25, 2.5, lower=-inf)
    expect_optimum(backend, narrow, -1.25)
    expect_optimum(backend, replace(narrow, sense=-1), 2.5)
    expect_optimum(backend, replace(narrow, sense=-1, integral=np.ones(2, bool)), 2.0)


def test_bounds_of_every_kind(backend, program):
    """Free, negative, one-sided, fixed, and integral columns without an upper bound."""
    lower = [-inf, -5, -inf, 2.5, 0, -inf, -3, 0]
    upper = [inf, -1, -2, 2.5, inf, 0, 0, 0]
    integral = [False, False, False, False, True, True, True, True]
    rows = [[1, 0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0, 0, 0]]
    cost = [1, 1, 1, 1, -1, 1, 1, -1]
    arrays = program(cost, rows, [-7.5, -9.5, -inf], [inf, inf, 12.25], lower, upper, integral)
    expect_optimum(backend, arrays, -7.5 - 5 - 9.5 + 2.5 - 12 - 3)


def test_no_rows_empty_rows_and_free_rows(backend, program):
    expect_optimum(backend, program([1, -1], lower=[-2, 0], upper=[5, 2.5], integral=[False, True]), -4.0, [-2, 2])
    expect_optimum(backend, program([1, -1], lower=[-2, 0], upper=[5, 2.5]), -4.5)
    expect_optimum(backend, program([1, 1], [[0, 0], [1, 1], [1, -1]], [-1, 1, -inf], [1, 2, inf], upper=1), 1.0)
    assert backend.solve(program([1, 1], [[0, 0]], 1, 2, upper=1), Options()).status is Status.INFEASIBLE


def test_no_objective(backend, program):
    expect_optimum(backend, program([0, 0], [[1, 1]], 1, 1, integral=True), 0.0)
    expect_optimum(backend, program([0, 0], upper=[1, 1]), 0.0)


@pytest.mark.parametrize("integral", [False, True])
def test_infeasible(backend, program, integral):
    solution = backend.solve(program([1, 1], [[1, 1]], 3, 4, upper=1, integral=integral), Options())
    assert solution.status is Status.INFEASIBLE
    assert (solution.x, solution.objective, solution.bound, solution.gap) == (None, None, None, None)


def test_infeasible_only_for_integers(backend, program):
    arrays = program([1, 1], [[2, 2]], 3, 3, upper=5, integral=True)
    assert backend.solve(arrays, Options()).status is Status.INFEASIBLE
    assert backend.solve(replace(arrays, integral=np.zeros(2, bool)), Options()).status is Status.OPTIMAL


@pytest.mark.parametrize("integral", [False, True])
@pytest.mark.parametrize("sense", [1, -1])
def test_unbounded(backend, program, integral, sense):
    for arrays in (
        program([-sense, 0], [[1, -1]], -inf, 1, integral=integral, sense=sense),
        program([-sense, 1], upper=[inf, 1], integral=integral, sense=sense),
    ):
        solution = backend.solve(arrays, Options())
        assert solution.status is Status.UNBOUNDED
        assert (solution.x, solution.objective, solution.bound) == (None, None, None)


@pytest.mark.parametrize("integral", [False, True])
def test_infeasible_with_an_improving_ray_is_infeasible(backend, program, integral):
    """The dual is infeasible as well, which is where solvers say "infeasible or unbounded"."""
    arrays = program([-1, -1, -1], [[1, -1, 0], [-1, 1, 0]], [1, 1], inf, integral=integral)
    assert backend.solve(arrays, Options()).status is Status.INFEASIBLE


def test_unbounded_relaxation_without_an_integer_point_is_infeasible(backend, program):
    arrays = program([-1, 0], [[0, 2]], 1, 1, upper=[inf, 1], integral=[False, True])
    assert backend.solve(arrays, Options()).status is Status.INFEASIBLE


def test_crossing_bounds(backend, program):
    """Bounds that cross are infeasible; bounds that cross by a rounding error are equal."""
    solution = backend.solve(program([1], [[1]], 0, 1, lower=[1], upper=[0.5]), Options())
    assert solution.status is Status.INFEASIBLE
    assert "column 0" in solution.message
    assert backend.solve(program([1], [[1]], 1, 0.5), Options()).status is Status.INFEASIBLE
    expect_optimum(backend, program([1, 1], [[1, 1]], 2, 2 - 1e-12, lower=[1, 0], upper=[1 - 1e-12, 5]), 2.0)


@pytest.mark.parametrize("part", ["cost", "lower", "row_upper", "matrix"])
def test_nan_is_refused(backend, program, part):
    arrays = program([1, 1], [[1, 1]], 1, 2)
    target = arrays.matrix.data if part == "matrix" else getattr(arrays, part)
    target[0] = np.nan
    with pytest.raises(InputError, match=f"arrays: .*{part}"):
        backend.solve(arrays, Options())


@settings(deadline=None, derandomize=True, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), sense=st.sampled_from([1, -1]))
def test_binary_programs_against_enumeration(backend, program, seed, sense):
    rng = np.random.default_rng(seed)
    n, m = int(rng.integers(1, 7)), int(rng.integers(0, 4))
    rows = rng.integers(-5, 6, (m, n)) * (rng.random((m, n)) < 0.7)
    sides = np.sort(rng.integers(-6, 7, (2, m)), axis=0).astype(float)
    sides[0][rng.random(m) < 0.4] = -inf
    arrays = program(rng.integers(-9, 10, n), rows, *sides, upper=1, integral=True, offset=2.5, sense=sense)
    points = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1).astype(float)
    activity = points @ rows.T
    values = (points @ arrays.cost)[((activity >= sides[0]) & (activity <= sides[1])).all(axis=1)]
    if len(values):
        expect_optimum(backend, arrays, 2.5 + (values.min() if sense == 1 else values.max()))
    else:
        assert backend.solve(arrays, Options()).status is Status.INFEASIBLE
