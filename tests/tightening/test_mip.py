"""Bounds by mip hold for every score and both gates, are the tightest rung, and keep to their time."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from replays import KINDS, assert_within, gates, passes
from thinned import examples

import oamip_model as om
from oamip_model.bounds import interval_bounds
from oamip_model.solving.protocol import Options, Solution, Status
from oamip_model.solving.registry import get_backend
from oamip_model.tightening import compute_bounds, mip, mip_bounds
from oamip_model.tightening.mip import integer_program

SEEDS = st.integers(0, 100_000)
run = settings(deadline=None, derandomize=True, max_examples=examples(6, 12))


@run
@given(kind=st.sampled_from(KINDS), seed=SEEDS)
def test_mip_holds_for_every_score_and_is_no_looser_than_lp(random_problem, kind, seed):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    lp, bounds = (compute_bounds(p.network, p.images, method) for method in ("lp", "mip"))
    for k in range(len(p.network.layers)):
        assert (bounds.lower[k] >= lp.lower[k]).all()
        assert (bounds.upper[k] <= lp.upper[k]).all()
        assert (bounds.output_lower[k] >= lp.output_lower[k]).all()
        assert (bounds.output_upper[k] <= lp.output_upper[k]).all()
        assert (bounds.lower[k] <= bounds.upper[k]).all()
    interval = interval_bounds(p.network, p.images)
    for draw in range(8):
        flat = pick.integers(0, 2, p.units) if draw % 2 else pick.uniform(0, 1, p.units) ** pick.uniform(0.2, 3)
        for gate in gates(p, flat, interval):
            assert_within(bounds, *passes(p.network, p.images, gate))


@pytest.fixture(scope="module", params=[4, 5, 8])
def three_layers(request):
    """A network with hidden layers of 4 and one image, and the pre-activations of its third layer for all scores."""
    module = om.make_network("dense-4-4-4", (3,), 2, seed=request.param)
    torch.manual_seed(request.param)
    for part in module.modules():
        if hasattr(part, "weight"):
            torch.nn.init.normal_(part.weight)
            torch.nn.init.normal_(part.bias, std=0.3)
    network = om.read_network(module, (3,))
    image = np.random.default_rng(request.param).normal(size=(1, 3))
    seen = []
    for bits in itertools.product([0.0, 1.0], repeat=8):
        scores = np.split(np.array(bits), 2)

        def gate(k, layer, a, scores=scores):
            return np.maximum(a, 0.0) * (scores[layer.group] if layer.group < 2 else 1.0)

        seen.append(passes(network, image, gate)[0][2][0])
    return network, image, np.min(seen, axis=0), np.max(seen, axis=0)


def test_mip_is_the_extreme_over_binary_scores_where_each_score_gates_one_activation(three_layers):
    """There every unit passes what it gives alone or nothing, so that trying all binary scores finds the extremes."""
    network, image, least, most = three_layers
    lp, bounds = (compute_bounds(network, image, method) for method in ("lp", "mip"))
    was_open = (lp.lower[2][0] < 0) & (lp.upper[2][0] > 0)
    still = was_open & (least < -1e-3) & (most > 1e-3)
    assert still.any()
    np.testing.assert_allclose(bounds.lower[2][0][still], least[still], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(bounds.upper[2][0][still], most[still], rtol=1e-3, atol=1e-3)
    decided = was_open & ((least > 1e-3) | (most < -1e-3))
    assert ((bounds.lower[2] >= 0) | (bounds.upper[2] <= 0))[0][decided].all()
    assert (bounds.upper[2] - bounds.lower[2]).sum() < 0.999 * (lp.upper[2] - lp.lower[2]).sum()


@pytest.mark.parametrize("kind", ["deep", "conv", "relu-pool"])
def test_the_relaxation_of_the_integer_program_is_that_of_lp(random_problem, kind):
    from oamip_model.tightening.relaxation import relaxation

    p, backend = random_problem(kind, 3), get_backend("highs")
    image, sound = p.images[:1], interval_bounds(p.network, p.images[:1])
    last = len(p.network.layers) - 1
    pair = [make(p.network, image, sound, sound, last) for make in (relaxation, integer_program)]
    for row in range(p.network.classes):
        found = []
        for program in pair:
            arrays = program.arrays
            cost = program.targets.matrix[[row]].toarray()[0]
            loose = mip.replace(arrays, cost=cost, integral=np.zeros_like(arrays.integral))
            found.append(backend.solve(loose, Options()).objective)
        assert found[0] == pytest.approx(found[1], abs=1e-6)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
@pytest.mark.parametrize("kind", ["deep", "residual", "relu-pool", "tied-to-image"])
def test_tightening_changes_no_integer_optimum(problem_of, kind, gate):
    p = problem_of(kind, 1, 1)
    options = {"gate": gate, "scores": "binary", "loss": "hinge", "sparsity": "mean"}
    found = [
        om.solve_instance(
            p.build(**options, bounds=compute_bounds(p.network, p.images, m)), om.Solver(tolerance=1e-7)
        ).objective
        for m in ("interval", "mip")
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-6, abs=1e-6)


def test_a_solve_that_stops_early_gives_its_dual_bound_and_nothing_else(problem_of, monkeypatch):
    p = problem_of("deep", 1)
    lp = compute_bounds(p.network, p.images, "lp")

    class Slow:
        """A solver whose time is up at once, and that has proved nothing, or hardly anything."""

        name, capabilities, bound = "slow", frozenset(mip.Capability), None

        def solve(self, arrays, options, start=None):
            assert options.time_limit is not None
            assert options.time_limit <= 2.5
            return Solution(Status.NO_SOLUTION, "slow", "1", bound=self.bound)

    monkeypatch.setattr(mip, "get_backend", lambda name: Slow())
    for bound in (None, -1e9):
        Slow.bound = bound
        kept = mip_bounds(p.network, p.images, lp, solve_limit=2.5)
        for k in range(len(p.network.layers)):
            np.testing.assert_array_equal(kept.lower[k], lp.lower[k])
            np.testing.assert_array_equal(kept.upper[k], lp.upper[k])


def test_hardly_any_time_leaves_lp_bounds(problem_of):
    p = problem_of("deep", 1)
    lp = compute_bounds(p.network, p.images, "lp")
    began = time.monotonic()
    hurried = mip_bounds(p.network, p.images, lp, time_limit=1e-9)
    assert time.monotonic() - began < 30
    for k in range(len(p.network.layers)):
        np.testing.assert_allclose(hurried.lower[k], lp.lower[k], rtol=1e-12)
        np.testing.assert_allclose(hurried.upper[k], lp.upper[k], rtol=1e-12)


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"epsilon": 0.1}, "bounds: lp holds for every score of a network without a box"),
        ({"validity": "trained network"}, "bounds: lp holds for every score"),
        ({"solve_limit": 0.0}, "solve_limit: got 0.0"),
        ({"method": "lp", "solve_limit": 1.0}, "solve_limit: got 1.0, but method lp has no use for it"),
        ({"solver": "pyomo:appsi_highs"}, "solver: pyomo:appsi_highs"),
    ],
)
def test_bad_options_are_named(problem_of, options, culprit):
    p = problem_of("deep", 1)
    given = {"method": "mip"} | options
    costs = {name: given.pop(name) for name in ("method", "solve_limit", "solver") if name in given}

    def bounds():
        return compute_bounds(p.network, p.images, om.Tightening(**costs), **given)

    with pytest.raises(om.InputError, match=f"^{culprit}[^\n]*$"):
        bounds()
