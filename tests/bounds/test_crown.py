"""CROWN bounds hold for every score in either gate, are never looser than intervals, and gain where they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replays import KINDS, assert_within, gates, passes
from thinned import examples

import oamip_model as om
from oamip_model.bounds import crown_bounds, interval_bounds

SEEDS = st.integers(0, 100_000)
run = settings(deadline=None, derandomize=True, max_examples=examples(40, 120))


@run
@given(kind=st.sampled_from(KINDS), seed=SEEDS, epsilon=st.sampled_from([0.0, 0.0, 0.3]))
def test_crown_holds_for_every_score_and_both_gates(random_problem, kind, seed, epsilon):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    bounds = crown_bounds(p.network, p.images, epsilon=epsilon)
    interval = interval_bounds(p.network, p.images, epsilon=epsilon)
    for draw in range(6):
        images = p.images + epsilon * pick.uniform(-1, 1, p.images.shape)
        flat = pick.integers(0, 2, p.units) if draw % 2 else pick.uniform(0, 1, p.units) ** pick.uniform(0.2, 3)
        for gate in gates(p, flat, interval):
            assert_within(bounds, *passes(p.network, images, gate))


@run
@given(kind=st.sampled_from(KINDS), seed=SEEDS, epsilon=st.sampled_from([0.0, 1e-5, 0.05, 0.5]))
def test_trained_crown_holds_for_the_trained_network(random_problem, kind, seed, epsilon):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    bounds = crown_bounds(p.network, p.images, validity="trained network", epsilon=epsilon)
    for _ in range(6):
        images = p.images + epsilon * np.clip(pick.uniform(-2, 2, p.images.shape), -1, 1)
        assert_within(bounds, *passes(p.network, images, lambda k, layer, a: layer.activate(a)))


@run
@given(
    kind=st.sampled_from(KINDS), seed=SEEDS, epsilon=st.sampled_from([0.0, 1e-3, 0.3]),
    validity=st.sampled_from(["every score", "trained network"]),
)  # fmt: skip
def test_crown_is_never_looser_than_intervals(random_problem, kind, seed, epsilon, validity):
    p = random_problem(kind, seed)
    box = {"epsilon": epsilon, "validity": validity}
    crown, interval = crown_bounds(p.network, p.images, **box), interval_bounds(p.network, p.images, **box)
    for k in range(len(p.network.layers)):
        assert (crown.lower[k] >= interval.lower[k]).all()
        assert (crown.upper[k] <= interval.upper[k]).all()
        assert (crown.lower[k] <= crown.upper[k]).all()
        np.testing.assert_array_equal(crown.lower[k][interval.constant(k)], interval.lower[k][interval.constant(k)])


def width(bounds):
    return sum(float((high - low).sum()) for low, high in zip(bounds.lower, bounds.upper, strict=True))


@pytest.mark.parametrize("name", ["deep", "conv", "residual", "relu-pool", "average-pool", "depthwise"])
def test_crown_gains_where_scores_are_shared_or_layers_follow_each_other(random_problem, name):
    tighter = 0
    for seed in range(12):
        p = random_problem(name, seed)
        crown, interval = crown_bounds(p.network, p.images), interval_bounds(p.network, p.images)
        tighter += width(crown) < 0.999 * width(interval)
    assert tighter >= 4


@pytest.mark.parametrize("name", ["conv", "average-pool"])
def test_crown_is_exact_behind_the_first_scored_layer(random_problem, name):
    """Activations there are linear in the scores, so that some vertex of the box reaches each bound."""
    p = random_problem(name, 3)
    bounds, interval = crown_bounds(p.network, p.images), interval_bounds(p.network, p.images)
    second = next(k for k, layer in enumerate(p.network.layers) if layer.group == 1)
    reached = np.stack([passes(p.network, p.images, gates(p, flat, interval)[0])[0][second] for flat in p.all_binary()])
    least, most = reached.min(axis=0), reached.max(axis=0)
    decided = bounds.upper[second] <= 0
    np.testing.assert_allclose(np.where(decided, 0, bounds.upper[second]), np.where(decided, 0, most), atol=1e-9)
    np.testing.assert_allclose(np.where(decided, 0, bounds.lower[second]), np.where(decided, 0, least), atol=1e-9)


def test_reports_count_every_relu_and_add_up_over_rungs(kind, problem_of):
    p = problem_of(kind)
    bounds = om.compute_bounds(p.network, p.images, "crown")
    assert [r.method for r in bounds.reports] == sorted((r.method for r in bounds.reports), reverse=True)
    for name, counts in bounds.stability(p.network).items():
        rungs = [r for r in bounds.reports if r.layer == name]
        assert [r.method for r in rungs] == ["interval", "crown"]
        assert (rungs[-1].off, rungs[-1].on, rungs[-1].unstable) == counts
        assert sum(r.decided for r in rungs) == counts[0] + counts[1]
        assert rungs[1].mean_width <= rungs[0].mean_width


def test_no_time_leaves_the_intervals(problem_of):
    p = problem_of("deep")
    hurried = crown_bounds(p.network, p.images, time_limit=0.0)
    interval = interval_bounds(p.network, p.images)
    for k in range(len(p.network.layers)):
        np.testing.assert_array_equal(hurried.lower[k], interval.lower[k])
