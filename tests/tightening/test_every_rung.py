"""Every rung, on every kind of network: no score vector leaves its bounds, and none of them fits another program."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from replays import assert_within, gates, passes

import oamip_model as om
from oamip_model.bounds import interval_bounds
from oamip_model.scoring.asked import as_objects
from oamip_model.tightening import BOUND_METHODS, compute, compute_bounds


def test_no_score_vector_leaves_the_bounds_of_any_rung(random_problem, kind):
    """All binary vectors of scores, random continuous ones, and ones near a vertex, in both gates."""
    p, pick = random_problem(kind, 11), np.random.default_rng(11)
    p = replace(p, images=p.images[:1], labels=p.labels[:1])
    # Solves that stop early have to be as sound as those that do not.
    limits = {"mip": {"solve_limit": 0.02}}
    methods = [om.Tightening(name, **limits.get(name, {})) for name in BOUND_METHODS]
    rungs = [compute_bounds(p.network, p.images, method) for method in methods]
    interval = interval_bounds(p.network, p.images)
    binary = list(p.all_binary())
    inside = [pick.uniform(size=p.units) for _ in range(20)]
    near = [np.abs(bits - 1e-7 * pick.uniform(size=p.units)) for bits in binary[:: max(len(binary) // 20, 1)]]
    for flat in (*binary, *inside, *near):
        for gate in gates(p, flat, interval):
            # The tightest lies within all others, as is shown below.
            assert_within(rungs[-1], *passes(p.network, p.images, gate))
    for looser, tighter in pairwise(rungs):
        for k in range(len(p.network.layers)):
            assert (tighter.lower[k] >= looser.lower[k]).all()
            assert (tighter.upper[k] <= looser.upper[k]).all()


@pytest.mark.parametrize("method", BOUND_METHODS)
@pytest.mark.parametrize("change", ["network", "images", "validity", "epsilon"])
def test_bounds_of_another_program_are_refused_by_score(problem_of, method, change):
    p = problem_of("dense")
    box = {"validity": "trained network", "epsilon": 1e-5} if change == "epsilon" else {}
    if change == "epsilon" and method in ("lp", "mip"):
        pytest.skip("lp and mip take no box")
    bounds = compute_bounds(p.network, p.images, method, **box)
    network, images, options = p.network, p.images, {}
    if change == "network":
        last = replace(network.layers[-1], bias=network.layers[-1].bias + 1e-9)
        network = replace(network, layers=(*network.layers[:-1], last))
    if change == "images":
        images = images + 1e-9
    if change == "validity":
        options = {"gate": "published"}
    if change == "epsilon":
        options = {"gate": "published", "epsilon": 2e-5}
    with pytest.raises(om.InputError, match=f"^bounds: computed for {change} [^\n]*$"):
        om.score(network, images, p.labels, **as_objects(strategy="joint", bounds=bounds, **options))


def test_the_methods_share_one_limit(problem_of, monkeypatch):
    p, given = problem_of("dense"), {}

    def seen_by(name, returned):
        def method(*_, time_limit, **__):
            given[name] = time_limit
            return returned

        return method

    crown = compute_bounds(p.network, p.images, "crown")
    monkeypatch.setattr(compute.propagation, "crown_bounds", seen_by("crown", crown))
    monkeypatch.setattr(compute, "lp_bounds", seen_by("lp", crown))
    monkeypatch.setattr(compute, "mip_bounds", seen_by("mip", crown))
    compute_bounds(p.network, p.images, om.Tightening("mip", time_limit=60.0))
    assert given["crown"] <= 20.0
    assert given["lp"] <= 30.0
    assert given["crown"] < given["lp"] < given["mip"] < 60.0
