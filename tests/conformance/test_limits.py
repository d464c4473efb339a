"""Every backend stops where it is told to, and says what it has: an incumbent, a bound, or neither."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from oamip_model.solving.protocol import Capability, InputError, Options, Status


def test_time_limit_without_an_incumbent(backend, market_split):
    arrays, _ = market_split
    begin = time.perf_counter()
    solution = backend.solve(arrays, Options(time_limit=1.0))
    assert time.perf_counter() - begin < 8.0
    assert solution.status is Status.NO_SOLUTION
    assert (solution.x, solution.objective, solution.gap) == (None, None, None)
    assert solution.message.startswith("the time limit of 1 s came before a feasible point")
    assert solution.seconds == pytest.approx(1.0, abs=5.0)
    if Capability.DUAL_BOUND in backend.capabilities:
        assert solution.bound == pytest.approx(0.0, abs=1e-6)


@pytest.mark.thinned(7)
@pytest.mark.parametrize("sense", [-1, 1])
def test_time_limit_with_an_incumbent(backend, knapsacks, sense):
    arrays = knapsacks if sense == -1 else replace(knapsacks, sense=1, cost=-knapsacks.cost)
    solution = backend.solve(arrays, Options(time_limit=1.5))
    assert solution.status is Status.FEASIBLE
    assert solution.message.startswith("the time limit of 1.5 s came before a proof")
    assert arrays.violation(solution.x) <= 1e-9
    assert solution.objective == arrays.objective(solution.x)
    if Capability.DUAL_BOUND in backend.capabilities:
        assert solution.gap is not None
    if solution.bound is not None:
        assert sense * (solution.objective - solution.bound) > 0
        # The relaxation is within one per cent of the optimum here, so a bound that is far off has a wrong sign.
        assert solution.gap < 0.1


def test_a_wide_gap_is_optimal_within_it(backend, knapsacks):
    solution = backend.solve(knapsacks, Options(gap=0.2, time_limit=60))
    assert solution.status is Status.OPTIMAL
    assert solution.seconds < 30
    if solution.bound is not None:
        assert 0 <= solution.gap <= 0.2 + 1e-9


def test_the_default_gap_is_tight(backend, program):
    """Two incumbents within 1e-5 of each other, relative: every backend proves the better one."""
    rng = np.random.default_rng(3)
    base = rng.integers(20, 60, 12).astype(float)
    cost = 100.0 + base + 1e-3 * rng.random(12)
    arrays = program(cost, [base], base.sum() / 2, np.inf, upper=1, integral=True)
    points = ((np.arange(2**12)[:, None] >> np.arange(12)) & 1).astype(float)
    best = (points @ cost)[points @ base >= base.sum() / 2].min()
    solution = backend.solve(arrays, Options())
    assert solution.status is Status.OPTIMAL
    assert solution.objective == pytest.approx(best, rel=1.01e-6)


def test_a_start_is_taken(backend, market_split, needs):
    needs(Capability.MIP_START)
    arrays, planted = market_split
    solution = backend.solve(arrays, Options(time_limit=5.0), start=planted)
    assert solution.status is Status.OPTIMAL
    assert solution.objective == 0.0
    np.testing.assert_array_equal(solution.x, planted)


def test_a_start_makes_nothing_worse(backend, knapsacks, needs):
    needs(Capability.MIP_START)
    known = backend.solve(knapsacks, Options(gap=0.02, time_limit=20))
    again = backend.solve(knapsacks, Options(time_limit=0.3), start=known.x)
    assert again.status is Status.FEASIBLE
    assert again.objective >= known.objective - 1e-9


def test_an_infeasible_start_does_no_harm(backend, program, needs):
    needs(Capability.MIP_START)
    arrays = program([1, 2], [[1, 1]], 1.5, np.inf, upper=5, integral=True)
    solution = backend.solve(arrays, Options(), start=np.zeros(2))
    assert (solution.status, solution.objective) == (Status.OPTIMAL, 2.0)


def test_a_start_that_is_no_point_is_refused(backend, program, needs):
    needs(Capability.MIP_START)
    arrays = program([1, 2], [[1, 1]], 1.5, np.inf, upper=5, integral=True)
    for start in (np.zeros(3), np.array([1.0, np.nan])):
        with pytest.raises(InputError, match="start"):
            backend.solve(arrays, Options(), start=start)
