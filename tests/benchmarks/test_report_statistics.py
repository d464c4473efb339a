"""The statistics against values worked out by hand, and what must hold for any times."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from oamip_benchmarks.bench.reporting.statistics import (
    contradictions,
    counted,
    paired_ratio,
    par10,
    performance_ratios,
    shifted_geometric_mean,
    steps,
)

TIMES = st.lists(st.floats(0.001, 3600), min_size=1, max_size=20)


def test_shifted_geometric_mean_by_hand():
    # (2+10)(90+10)(17+10)... : cube root of 12 * 96 * 27 = 31104 is not whole; 8 * 27 * 64 = 13824 = 24 cubed.
    assert shifted_geometric_mean([7.0, 26.0, 63.0], shift=1.0) == pytest.approx(23.0)
    assert shifted_geometric_mean([0.0, 30.0], shift=10.0) == pytest.approx(10.0)
    assert shifted_geometric_mean([2.0, 8.0], shift=0.0) == pytest.approx(4.0)


def test_unsolved_solves_count_at_their_limits():
    seconds, solved, limit = [2.0, 61.0, 5.0], [True, False, False], [60.0, 60.0, 30.0]
    assert counted(seconds, solved, limit).tolist() == [2.0, 60.0, 30.0]
    assert par10(seconds, solved, limit) == pytest.approx((2 + 600 + 300) / 3)


@given(TIMES, st.sampled_from([1.0, 10.0]))
def test_shifted_mean_lies_between_the_geometric_and_the_arithmetic(times, shift):
    mean = shifted_geometric_mean(times, shift)
    slack = 1e-9 * (max(times) + shift)
    assert shifted_geometric_mean(times, 0.0) - slack <= mean <= np.mean(times) + slack


@given(TIMES)
def test_a_time_out_never_helps(times):
    limit = np.full(len(times), 3600.0)
    all_solved = np.ones(len(times), dtype=bool)
    one_less = all_solved.copy()
    one_less[0] = False
    assert par10(times, one_less, limit) > par10(times, all_solved, limit)
    kept, lost = (shifted_geometric_mean(counted(times, s, limit), 1.0) for s in (all_solved, one_less))
    assert lost >= kept - 1e-9 * kept


def test_performance_ratios_by_hand():
    seconds = [[2.0, 1.0, 60.0], [3.0, 60.0, 6.0], [60.0, 60.0, 60.0]]
    solved = [[True, True, False], [True, False, True], [False, False, False]]
    inf = math.inf
    assert performance_ratios(seconds, solved).tolist() == [[2.0, 1.0, inf], [1.0, inf, 2.0], [inf, inf, inf]]
    at, share = steps([2.0, 1.0, inf], total=3)
    assert at.tolist() == [1.0, 2.0]
    assert share.tolist() == pytest.approx([1 / 3, 2 / 3])


def test_contradictions_by_hand():
    # Ranges [0.9, 1], [0.99, 1.05] meet; [1.2, 1.3] meets neither; a bound alone can contradict; NaN says nothing.
    objectives, bounds = [1.0, 1.05, 1.3, math.nan], [0.9, 0.99, 1.2, 1.01]
    assert contradictions(objectives, bounds) == [(2, 0), (2, 1), (3, 0)]
    assert contradictions([1000.0], [1000.0005]) == []
    assert contradictions([1000.0], [1000.002]) == [(0, 0)]
    assert contradictions([math.nan, 5.0], [math.inf, 5.0]) == [(0, 1)]


def test_paired_ratio_of_a_constant_factor_is_exact():
    before = np.array([1.0, 4.0, 16.0, 100.0])
    found = paired_ratio(before, before / 2, ["a", "b", "c", "d"], shift=0.0)
    assert (found.ratio, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))


def test_paired_ratio_draws_whole_instances():
    # Two instances with ratios 1/4 and 4 in every seed: a draw has one of four outcomes, whatever the seeds.
    before, after = np.repeat([10.0, 10.0], 3), np.repeat([2.5, 40.0], 3)
    found = paired_ratio(before, after, np.repeat(["a", "b"], 3), shift=0.0, seed=1)
    assert (found.ratio, found.low, found.high) == pytest.approx((1.0, 0.25, 4.0))


def test_bootstrap_covers_the_true_ratio():
    draw = np.random.default_rng(5)
    inside = 0
    for seed in range(100):
        before = np.exp(draw.normal(size=40))
        after = 0.7 * before * np.exp(0.4 * draw.normal(size=40))
        found = paired_ratio(before, after, np.arange(40), shift=0.0, draws=400, seed=seed)
        inside += found.low <= 0.7 <= found.high
    assert 86 <= inside <= 100


def test_same_seed_gives_the_same_interval():
    before, after = np.random.default_rng(0).uniform(1, 9, size=(2, 12))
    first, again = (paired_ratio(before, after, np.arange(12), 1.0, draws=500, seed=3) for _ in range(2))
    other = paired_ratio(before, after, np.arange(12), 1.0, draws=500, seed=4)
    assert first == again != other
