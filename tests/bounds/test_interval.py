"""Interval bounds hold for every score and every image of the box, and are no looser than they must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replays import KINDS, assert_within, gates, passes

import oamip_model as om
from oamip_model.bounds import interval, interval_bounds
from oamip_model.clock import Deadline, TimeIsUp, within

SEEDS = st.integers(0, 10_000)
run = settings(deadline=None, derandomize=True, max_examples=100)


@run
@given(kind=st.sampled_from(KINDS), seed=SEEDS, binary=st.booleans(), epsilon=st.sampled_from([0.0, 1e-5, 0.3]))
def test_bounds_hold_for_every_score_and_both_gates(random_problem, kind, seed, binary, epsilon):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    bounds = om.compute_bounds(p.network, p.images, "interval", epsilon=epsilon)
    images = p.images + epsilon * pick.uniform(-1, 1, p.images.shape)
    flat = pick.integers(0, 2, p.units) if binary else pick.uniform(0, 1, p.units)
    for gate in gates(p, flat, bounds):
        assert_within(bounds, *passes(p.network, images, gate))


@run
@given(kind=st.sampled_from(KINDS), seed=SEEDS, epsilon=st.sampled_from([0.0, 1e-5, 0.3]))
def test_trained_bounds_hold_for_the_trained_network_and_lie_within_the_others(random_problem, kind, seed, epsilon):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    trained = interval_bounds(p.network, p.images, validity="trained network", epsilon=epsilon)
    images = p.images + epsilon * pick.uniform(-1, 1, p.images.shape)
    assert_within(trained, *passes(p.network, images, lambda k, layer, a: layer.activate(a)))
    every = interval_bounds(p.network, p.images, epsilon=epsilon)
    for k in range(len(p.network.layers)):
        slack = 1e-9 * (1 + np.abs(every.upper[k]).max())
        assert (every.lower[k] <= trained.lower[k] + slack).all()
        assert (trained.upper[k] <= every.upper[k] + slack).all()


@pytest.mark.parametrize("seed", range(4))
def test_bounds_of_the_second_layer_are_reached_by_some_scores(random_problem, seed):
    p = random_problem("dense", seed)
    bounds = om.compute_bounds(p.network, p.images)
    second = np.stack([passes(p.network, p.images, gate_of(p, s))[0][1] for s in p.all_binary()])
    np.testing.assert_allclose(second.min(axis=0), bounds.lower[1], atol=1e-9)
    np.testing.assert_allclose(second.max(axis=0), bounds.upper[1], atol=1e-9)


def gate_of(p, flat):
    scores = p.split(flat)
    return lambda k, layer, a: np.maximum(a, 0) * scores[p.network.groups[layer.group].name][layer.units]


def test_the_first_layer_is_constant_only_without_a_box(kind, problem_of):
    p = problem_of(kind)
    first = passes(p.network, p.images, lambda k, layer, a: layer.activate(a))[0][0]
    exact = om.compute_bounds(p.network, p.images)
    assert exact.constant(0).all()
    np.testing.assert_array_equal(exact.upper[0], first)
    assert not om.compute_bounds(p.network, p.images, epsilon=1e-5).constant(0).any()


def test_stability_counts_every_relu_once(kind, problem_of):
    p = problem_of(kind)
    counts = om.compute_bounds(p.network, p.images).stability(p.network)
    relus = [layer for layer in p.network.layers if layer.activation == "relu"]
    assert {layer.name: layer.size * len(p.images) for layer in relus} == {k: sum(v) for k, v in counts.items()}


def test_bounds_of_other_images_network_validity_or_box_do_not_fit(problem_of):
    p = problem_of("dense")
    fit = {"network": p.network, "images": p.images, "validity": "every score", "epsilon": 0.0}
    bounds = om.compute_bounds(p.network, p.images)
    bounds.check_fit(**fit)
    layers = (replace(p.network.layers[0], bias=p.network.layers[0].bias + 1e-12), *p.network.layers[1:])
    others = {
        "network": replace(p.network, layers=layers),
        "images": p.images[::-1],
        "validity": "trained network",
        "epsilon": 1e-5,
    }
    for what, other in others.items():
        with pytest.raises(om.InputError, match=f"^bounds: computed for {what}[^\n]*$"):
            bounds.check_fit(**(fit | {what: other}))


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"method": "guess"}, "bounds: got 'guess'"),
        ({"epsilon": -1.0}, "epsilon: got -1"),
        ({"epsilon": float("nan")}, "epsilon: got nan"),
        ({"epsilon": float("inf")}, "epsilon: got inf"),
        ({"epsilon": "small"}, "epsilon: got 'small'"),
        ({"epsilon": True}, "epsilon: got True"),
        ({"validity": "every scores"}, "validity: got 'every scores'"),
    ],
)
def test_bad_options_are_named(problem_of, options, culprit):
    p = problem_of("dense")
    with pytest.raises(om.InputError, match=f"^{culprit}[^\n]*$"):
        om.compute_bounds(p.network, p.images, **options)


def test_bad_images_are_named(problem_of):
    p = problem_of("conv")
    spoiled = p.images.copy()
    spoiled[1, 0, 2, 2] = np.nan
    for images, culprit in [
        (spoiled, "images: image 1 has a pixel"),
        (p.images[:0], "images: got none"),
        (p.images[:, :, :3], "images: got shape"),
    ]:
        with pytest.raises(om.InputError, match=f"^{culprit}[^\n]*$"):
            om.compute_bounds(p.network, images)


def test_images_in_parts_have_the_same_intervals(problem_of, monkeypatch):
    p = problem_of("conv")
    whole = om.compute_bounds(p.network, p.images)
    monkeypatch.setattr(interval, "_NUMBERS", 1)
    for mine, theirs in zip(om.compute_bounds(p.network, p.images).upper, whole.upper, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


@pytest.mark.parametrize("method", ["interval", "crown", "lp", "mip"])
def test_no_time_for_intervals_says_how_far_they_came(problem_of, method):
    p = problem_of("conv")
    with (
        within(Deadline(-9.0)),
        pytest.raises(TimeIsUp, match=r"^the time limit of -9 s was over: .*there was time for 0 of \d+ layers$"),
    ):
        om.compute_bounds(p.network, p.images, method)
