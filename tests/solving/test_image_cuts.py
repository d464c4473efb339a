"""Cuts from programs of single images: they hold for all scores, move no optimum, and raise the root's bound."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.formulation import Formulation
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.joint import multipliers
from oamip_model.scoring.joint.one_image import OneImage
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.proofs import claims
from oamip_model.solving.protocol import Options
from oamip_model.solving.registry import get_backend
from oamip_model.solving.state import SolveState
from oamip_model.solving.treesearch import image_cuts
from oamip_model.solving.treesearch.relaxation import Relaxation

SMALL_TOO = om.TreeSearch(image_cuts_from=0)
CASES = [("subtractive", "continuous", "cross-entropy", "mean"), ("switch", "binary", "hinge", "published")]


@pytest.fixture(autouse=True)
def few_iterations(monkeypatch):
    monkeypatch.setattr(multipliers, "_ITERATIONS", 2)
    monkeypatch.setattr(multipliers, "_FIRST", 30)
    monkeypatch.setattr(multipliers, "_STEPS", 15)


def single(p, settings, solver="highs"):
    bounds = om.compute_bounds(p.network, p.images)
    return OneImage(p.network, p.images, p.labels, settings, bounds, om.Solver(solver))


def built(p, settings):
    return om.build_instance(p.network, p.images, p.labels, settings)


def with_cuts(p, settings):
    """An instance that has the cuts of all its images, from the relaxation of the root."""
    instance = built(p, settings)
    state = SolveState(instance, get_backend("highs"), Options(), 1e-5, None)
    state.begin({g.name: np.ones(g.size) for g in p.network.groups})
    relaxation = Relaxation(state)
    for _ in range(5):
        x, _ = relaxation.minimise()
        relaxation.add_tangents(x, 1e-9, None)
        relaxation.add_hull_cuts(x, 1e-6)
    rounds, left = divmod(image_cuts.ImageCuts(state, relaxation, single(p, settings), SMALL_TOO).add(), len(p.images))
    relaxation.close()
    assert (rounds > 0, left) == (True, 0)
    return instance


@pytest.mark.thinned(10)
@pytest.mark.parametrize("case", CASES)
def test_cuts_hold_for_all_scores_and_leave_the_optimum(kind, problem_of, case):
    gate, scores, loss, sparsity = case
    p = problem_of(kind, 0)
    settings = Formulation(gate=gate, relaxation="hull", scores=scores, loss=loss, sparsity=sparsity)
    instance = with_cuts(p, settings)
    assert {image for image, _ in instance.image_cuts.rows.names} == {0, 1}
    compiled, pick = Compiled(instance), np.random.default_rng(0)
    for k in range(100):
        flat = pick.uniform(size=p.units) if scores == "continuous" else pick.integers(0, 2, size=p.units).astype(float)
        flat = flat if k else np.ones(p.units)
        assert compiled.arrays.violation(complete_point(compiled, flat)) <= 1e-6
    found = om.solve_instance(instance, om.Solver(tolerance=1e-5), search="tree")
    without = om.solve_instance(built(p, settings), om.Solver(tolerance=1e-5), search="tree")
    assert found.status == without.status == "optimal"
    assert found.objective == pytest.approx(without.objective, rel=3e-5, abs=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_a_tree_with_cuts_finds_the_same_optimum(problem_of, case, monkeypatch):
    monkeypatch.setattr(claims, "LISTED", 0)  # so few scores would be settled one by one, without a cut
    gate, scores, loss, sparsity = case
    p = problem_of("conv", 4, 3)
    settings = Formulation(gate=gate, relaxation="hull", scores=scores, loss=loss, sparsity=sparsity)
    plain, instance = (built(p, settings) for _ in range(2))
    without = om.solve_instance(plain, om.Solver(tolerance=1e-4), search="tree")
    found = om.solve_instance(instance, om.Solver(tolerance=1e-4), search=SMALL_TOO, image_program=single(p, settings))
    assert found.status == without.status == "optimal"
    assert found.objective == pytest.approx(without.objective, rel=3e-4)
    assert {image for image, _ in instance.image_cuts.rows.names} == {0, 1, 2}


def test_a_bound_is_the_least_over_the_scores_of_the_image_alone(problem_of):
    p = problem_of("dense", 0, 2)
    settings = Formulation(gate="switch", relaxation="hull", scores="binary", loss="cross-entropy", sparsity="mean")
    pick = np.random.default_rng(1)
    for image in range(2):
        price = pick.normal(size=p.units)
        values = []
        for bits in p.all_binary():
            x = p.network.replay(p.images[image : image + 1], scores=p.split(bits))
            loss = np.log(np.exp(x - x.max()).sum()) + x.max() - x[0, p.labels[image]]
            values.append(5.0 * loss + price @ bits)
        ones = np.ones(p.units)
        alone = image_cuts.Alone(image, price, ones, values[-1], min(values) - 1.0, 1e-4)
        bound, scores = single(p, settings)(alone, None)
        assert scores.shape == (p.units,)
        assert bound == pytest.approx(min(values), abs=1.1e-4)
        assert bound <= min(values) + 1e-7


def root(instance):
    relaxation = Relaxation(SolveState(instance, get_backend("highs"), Options(), 1e-6, None))
    bound = -np.inf
    for _ in range(30):
        x, bound = relaxation.minimise()
        if not relaxation.add_tangents(x, 1e-9, None) + relaxation.add_hull_cuts(x, 1e-6):
            break
    relaxation.close()
    return bound


def test_with_the_cuts_the_relaxation_proves_no_less(problem_of):
    p = problem_of("dense", 3, 2)
    settings = Formulation(
        gate="subtractive", relaxation="hull", scores="continuous", loss="cross-entropy", sparsity="mean"
    )
    assert root(with_cuts(p, settings)) - root(built(p, settings)) >= -1e-7


def test_the_multipliers_of_all_images_make_up_the_costs(problem_of):
    p = problem_of("dense", 3, 2)
    settings = Formulation(
        gate="subtractive", relaxation="hull", scores="continuous", loss="cross-entropy", sparsity="mean"
    )
    state = SolveState(built(p, settings), get_backend("highs"), Options(), 1e-6, None)
    relaxation = Relaxation(state)
    relaxation.minimise()
    found = image_cuts.ImageCuts(state, relaxation, single(p, settings), SMALL_TOO).multipliers()
    relaxation.close()
    np.testing.assert_allclose(found.mean(axis=0), state.arrays.cost[state.s], atol=1e-8)


def test_rounds_go_on_while_they_pay(problem_of):
    p = problem_of("conv", 4, 3)
    settings = Formulation(
        gate="subtractive", relaxation="hull", scores="continuous", loss="cross-entropy", sparsity="mean"
    )
    state = SolveState(built(p, settings), get_backend("highs"), Options(), 1e-6, None)
    state.begin({g.name: np.ones(g.size) for g in p.network.groups})
    relaxation, oracle, asked = Relaxation(state), single(p, settings), []

    class Noted:
        ascend = oracle.ascend

        def __call__(self, alone, limit):
            bound, scores = oracle(alone, limit)
            asked.append((alone, bound))
            return bound, scores

    count = image_cuts.ImageCuts(state, relaxation, Noted(), SMALL_TOO).add()
    relaxation.close()
    assert count == len(asked) == 3 * (len(asked) // 3)
    rounds = [asked[first : first + 3] for first in range(0, count, 3)]
    for made in rounds:
        # Whatever the multipliers are, all images together have the costs of the scores.
        total = sum(alone.multipliers for alone, _ in made) / 3
        np.testing.assert_allclose(total, state.arrays.cost[state.s], atol=1e-8)
    proved = [sum(bound for _, bound in made) / 3 for made in rounds]
    assert len(proved) > 1
    assert all(later > sooner for sooner, later in pairwise(proved[:-1]))
    assert max(proved) <= state.objective + 1e-9


def test_a_solver_without_duals_gets_none(problem_of):
    p = problem_of("dense", 2, 2)
    settings = Formulation(gate="subtractive", relaxation="hull", scores="continuous", loss="hinge", sparsity="mean")
    try:
        get_backend("cbc").check()
    except om.SolverMissingError:
        pytest.skip("cbc is not here")
    instance = built(p, settings)
    found = om.solve_instance(instance, "cbc", search=SMALL_TOO, image_program=single(p, settings, "cbc"))
    assert found.status == "optimal"
    assert not len(instance.image_cuts)


def test_interrupted_in_the_program_of_an_image_it_gives_back_what_it_has(problem_of):
    p = problem_of("conv", 4, 2)

    class Pressed:
        def ascend(self, multipliers, start, time_limit):
            return multipliers

        def __call__(self, alone, time_limit):
            raise KeyboardInterrupt

    whole = om.solve_instance(p.build(relaxation="hull"), om.Solver(tolerance=1e-6), search="tree")
    found = om.solve_instance(
        p.build(relaxation="hull"), om.Solver(tolerance=1e-6), search=SMALL_TOO, image_program=Pressed()
    )
    assert found.interrupted
    assert found.bound <= whole.objective + 1e-9
    assert found.objective >= whole.bound - 1e-9


def test_scores_by_a_tree_use_them_unless_told_not_to(problem_of, monkeypatch):
    p, seen = problem_of("conv", 4, 3), []
    real = OneImage.__call__
    monkeypatch.setattr(OneImage, "__call__", lambda self, *given: seen.append(given[0].image) or real(self, *given))
    options = {"strategy": "joint", "search": "tree", "sparsity": "mean", "image_cuts_from": 0}
    with_cuts = om.score(p.network, p.images, p.labels, **as_objects(**options))
    assert set(seen) == {0, 1, 2}
    made = len(seen)
    without = om.score(p.network, p.images, p.labels, **as_objects(image_cuts=False, **options))
    assert len(seen) == made
    assert with_cuts.objective == pytest.approx(without.objective, rel=3e-4)
    with pytest.raises(InputError, match="image_cuts: got True, but only search tree has a use for it"):
        om.score(p.network, p.images, p.labels, **as_objects("joint", image_cuts=True))
    with pytest.raises(InputError, match="image_cuts: got 1, accepted are True and False"):
        om.score(p.network, p.images, p.labels, **as_objects(image_cuts=1, **options))
