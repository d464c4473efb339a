"""Bounds by lp hold for every score, are the tightest rung, and are certified whatever the solver says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from replays import KINDS, assert_within, gates, passes
from thinned import examples

import oamip_model as om
from oamip_model.bounds import crown_bounds, interval_bounds
from oamip_model.clock import TimeIsUp
from oamip_model.solving.proofs.certificates import safe_bound
from oamip_model.solving.protocol import Arrays, Options, Status
from oamip_model.solving.registry import get_backend
from oamip_model.tightening import climb, compute_bounds, lp, lp_bounds

SEEDS = st.integers(0, 100_000)
run = settings(deadline=None, derandomize=True, max_examples=examples(16, 40))


@run
@given(kind=st.sampled_from(KINDS), seed=SEEDS)
def test_lp_holds_for_every_score_and_both_gates(random_problem, kind, seed):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    interval, bounds = interval_bounds(p.network, p.images), compute_bounds(p.network, p.images, "lp")
    for draw in range(8):
        flat = pick.integers(0, 2, p.units) if draw % 2 else pick.uniform(0, 1, p.units) ** pick.uniform(0.2, 3)
        for gate in gates(p, flat, interval):
            assert_within(bounds, *passes(p.network, p.images, gate))


@run
@given(kind=st.sampled_from(KINDS), seed=SEEDS)
def test_each_rung_is_at_least_as_tight_as_the_one_before(random_problem, kind, seed):
    p = random_problem(kind, seed)
    rungs = [compute_bounds(p.network, p.images, method) for method in ("interval", "crown", "lp")]
    for looser, tighter in pairwise(rungs):
        for k in range(len(p.network.layers)):
            assert (tighter.lower[k] >= looser.lower[k]).all()
            assert (tighter.upper[k] <= looser.upper[k]).all()
            assert (tighter.output_lower[k] >= looser.output_lower[k]).all()
            assert (tighter.output_upper[k] <= looser.output_upper[k]).all()
            assert (tighter.lower[k] <= tighter.upper[k]).all()


@pytest.mark.parametrize("name", ["conv", "residual", "depthwise", "tied-to-image"])
def test_lp_gains_over_crown_where_scores_are_shared(random_problem, name):
    def width(bounds):
        return sum(float((high - low).sum()) for low, high in zip(bounds.lower, bounds.upper, strict=True))

    gained = 0
    for seed in range(6):
        p = random_problem(name, seed)
        gained += width(compute_bounds(p.network, p.images, "lp")) < 0.9999 * width(crown_bounds(p.network, p.images))
    assert gained >= 2


@pytest.mark.parametrize("name", ["dense", "deep"])
@pytest.mark.parametrize("seed", range(4))
def test_crown_suffices_where_each_score_gates_one_activation(random_problem, monkeypatch, name, seed):
    p = random_problem(name, seed)
    crown = crown_bounds(p.network, p.images)
    assert all(lp.crown_suffices(p.network, k) for k in range(len(p.network.layers)))
    monkeypatch.setattr(lp, "crown_suffices", lambda network, k: False)
    solved = lp_bounds(p.network, p.images, crown)
    for k in range(len(p.network.layers)):
        np.testing.assert_allclose(solved.lower[k], crown.lower[k], atol=1e-6)
        np.testing.assert_allclose(solved.upper[k], crown.upper[k], atol=1e-6)


def tiny_program(pick, columns=6, rows=5):
    low = pick.uniform(-2, 0, columns)
    matrix = pick.normal(size=(rows, columns))
    inside = matrix @ pick.uniform(low, low + 2)
    kind = pick.integers(0, 3, rows)
    return Arrays(
        sp.csr_array(matrix), pick.normal(size=columns), low, low + 2,
        np.where(kind == 0, -np.inf, inside - pick.uniform(0, 1, rows) * (kind < 2)),
        np.where(kind == 1, np.inf, inside + pick.uniform(0, 1, rows) * (kind < 2)),
        np.zeros(columns, dtype=bool),
    )  # fmt: skip


@run
@given(seed=SEEDS, noise=st.sampled_from([0.0, 1e-6, 0.1, 10.0]))
def test_any_duals_certify_a_lower_bound_and_the_right_ones_the_optimum(seed, noise):
    pick = np.random.default_rng(seed)
    arrays = tiny_program(pick)
    solution = get_backend("highs").solve(arrays, Options())
    assert solution.status is Status.OPTIMAL
    value = safe_bound(arrays, solution.row_duals + noise * pick.normal(size=len(solution.row_duals)))
    assert value <= solution.objective + 1e-9
    if noise == 0:
        assert value == pytest.approx(solution.objective, abs=1e-6)


@pytest.mark.thinned(12)
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
@pytest.mark.parametrize("method", ["crown", "lp"])
def test_tightening_changes_no_integer_optimum(problem_of, kind, gate, method):
    """The optimum over binary scores is that of trying every vector of scores, with bounds of every rung."""
    from oamip_model.formulation import hinge, sparsity_weights

    p = problem_of(kind, 1, 1)
    shares = sparsity_weights(p.network, "mean")
    best = min(
        5.0 * hinge(p.network.replay(p.images, p.split(bits)), p.labels, 1.0).mean() + float(shares @ bits)
        for bits in p.all_binary()
    )
    bounds = compute_bounds(p.network, p.images, method)
    found = om.solve_instance(
        p.build(gate=gate, scores="binary", loss="hinge", sparsity="mean", bounds=bounds), om.Solver(tolerance=1e-7)
    )
    assert found.status == "optimal"
    assert found.objective == pytest.approx(best, rel=1e-6, abs=1e-6)


@pytest.mark.thinned(10)
@pytest.mark.parametrize("seed", range(3))
def test_tightening_changes_no_optimum_over_continuous_scores(problem_of, kind, seed):
    """M stays, so that the program over continuous scores of the gate ``subtractive`` is the same problem."""
    p = problem_of(kind, seed, 1)
    options = {"gate": "subtractive", "loss": "hinge", "sparsity": "mean"}
    found = [
        om.solve_instance(
            p.build(**options, bounds=compute_bounds(p.network, p.images, method)), om.Solver(tolerance=1e-7)
        ).objective
        for method in ("interval", "crown", "lp")
    ]
    assert found == pytest.approx([found[0]] * 3, rel=1e-5, abs=1e-5)


def test_processes_give_what_one_process_gives(problem_of):
    p = problem_of("conv", 0, 2)
    one, two = (compute_bounds(p.network, p.images, om.Tightening("lp", jobs=jobs)) for jobs in (1, 2))
    for k in range(len(p.network.layers)):
        np.testing.assert_array_equal(one.upper[k], two.upper[k])
        np.testing.assert_array_equal(one.lower[k], two.lower[k])


def test_another_solver_gives_the_same_bounds_or_is_refused(problem_of):
    p = problem_of("conv", 0, 1)
    highs = compute_bounds(p.network, p.images, "lp")
    for info in om.list_solvers():
        if not info.available or ":" in info.name:
            continue
        if info.name == "scip":
            with pytest.raises(om.InputError, match=f"^solver: {info.name} gives no duals"):
                compute_bounds(p.network, p.images, om.Tightening("lp", solver=info.name))
        else:
            found = compute_bounds(p.network, p.images, om.Tightening("lp", solver=info.name))
            for mine, theirs in zip(highs.upper, found.upper, strict=True):
                np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_hardly_any_time_leaves_crown_bounds(problem_of):
    p = problem_of("conv", 0)
    crown = crown_bounds(p.network, p.images)
    hurried = lp_bounds(p.network, p.images, crown, time_limit=1e-9)
    for k in range(len(p.network.layers)):
        np.testing.assert_allclose(hurried.lower[k], crown.lower[k], rtol=1e-12)
        np.testing.assert_allclose(hurried.upper[k], crown.upper[k], rtol=1e-12)


@pytest.mark.parametrize("part", ["interval_bounds", "_propagated", "seen"])
def test_passes_over_the_layers_end_with_the_time_too(problem_of, monkeypatch, part):
    def too_long(*given):
        raise TimeIsUp("the time is up")

    monkeypatch.setattr(climb, part, too_long)
    p = problem_of("residual", 0)
    crown = crown_bounds(p.network, p.images)
    hurried = lp_bounds(p.network, p.images, crown, time_limit=30.0)
    for k in range(len(p.network.layers)):
        assert (hurried.lower[k] >= crown.lower[k]).all()
        assert (hurried.upper[k] <= crown.upper[k]).all()
    if part == "_propagated":  # without it no layer has a program
        for mine, theirs in zip(hurried.lower, crown.lower, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(TimeIsUp):
        lp_bounds(p.network, p.images, crown)


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"method": "guess"}, "bounds: got 'guess', accepted are interval, crown, lp, mip"),
        ({"method": "lp", "epsilon": 0.1}, "bounds: lp holds for every score of a network without a box"),
        ({"method": "lp", "validity": "trained network"}, "bounds: lp holds for every score"),
        ({"jobs": 0}, "jobs: got 0"),
        ({"time_limit": -1.0}, "time_limit: got -1.0"),
        ({"time_limit": float("nan")}, "time_limit: got nan"),
        ({"solver": "hihgs"}, "solver: got 'hihgs'"),
    ],
)
def test_bad_options_are_named(problem_of, options, culprit):
    p = problem_of("dense")
    given = {"method": "lp"} | options
    costs = {name: given.pop(name) for name in ("jobs", "time_limit", "solver") if name in given}
    method = given.pop("method")

    def bounds():
        return compute_bounds(p.network, p.images, om.Tightening(method, **costs) if costs else method, **given)

    with pytest.raises(om.InputError, match=f"^{culprit}[^\n]*$"):
        bounds()


def test_what_the_time_does_not_reach_keeps_the_bounds_before(problem_of, monkeypatch):
    p = problem_of("conv")
    crown = om.compute_bounds(p.network, p.images, "crown")
    monkeypatch.setattr("oamip_model.tightening.climb.Deadline.over", lambda self, grace=0.0: True)
    found = lp_bounds(p.network, p.images, crown, time_limit=1.0)
    for side in ("lower", "upper", "output_lower", "output_upper"):
        for mine, before in zip(getattr(found, side), getattr(crown, side), strict=True):
            np.testing.assert_array_equal(mine, before)
