"""The primal heuristic: what it gives is a point of the program, and never better than the optimum."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.formulation import Formulation, cross_entropy, hinge, published_sparsity, sparsity_weights
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.joint import heuristic
from oamip_model.scoring.joint.gated import PENALTY, GatedObjective
from oamip_model.scoring.joint.heuristic import find_scores
from oamip_model.scoring.joint.program import Programs, solve_program
from oamip_model.scoring.methods import Joint
from oamip_model.solving import gated_logits
from oamip_model.solving.compile import Compiled
from oamip_model.solving.options import Solver
from oamip_model.solving.point import complete_point

KINDS = ["dense", "conv", "residual", "relu-pool", "tied-to-image"]
LOSSES = ["cross-entropy", "hinge", "margin"]
SPARSITIES = ["published", "mean", "parameters"]


def cost(p, flat, settings):
    """weight * loss + sparsity of scores, in numpy."""
    scores = p.split(flat)
    if settings.sparsity == "published":
        sums = [part.sum() for part in scores.values()]
        sparsity = published_sparsity(sums, p.sizes, [g.divisor for g in p.network.groups])
    else:
        sparsity = float(sparsity_weights(p.network, settings.sparsity) @ flat)
    logits = gated_logits(p.network, p.images, scores, settings.gate)
    if settings.loss == "cross-entropy":
        return settings.weight * cross_entropy(logits, p.labels).mean() + sparsity
    weight = PENALTY if settings.loss == "margin" else settings.weight
    return weight * hinge(logits, p.labels, settings.margin).mean() + sparsity


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
def test_many_score_vectors_at_once_cost_what_each_costs_in_the_network(kind, gate, problem_of):
    p, pick = problem_of(kind, 3), np.random.default_rng(0)
    binary = "binary" if gate == "switch" else "continuous"
    flat = pick.uniform(size=(5, p.units)) if gate == "subtractive" else pick.integers(0, 2, (5, p.units)) * 1.0
    for number, loss in enumerate(LOSSES):
        settings = Formulation(gate=gate, scores=binary, loss=loss, sparsity=SPARSITIES[number], margin=0.5)
        objective = GatedObjective(p.network, p.images, p.labels, settings, dtype=torch.float64)
        found = objective(torch.as_tensor(flat)).numpy()
        np.testing.assert_allclose(found, [cost(p, row, settings) for row in flat], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "gate", "loss"),
    [("dense", "subtractive", "cross-entropy"), ("dense", "switch", "margin"), ("conv", "switch", "hinge")],
)
def test_scores_are_a_point_of_the_program_between_optimum_and_trained_network(kind, gate, loss, problem_of):
    p = problem_of(kind, 1)
    settings = Formulation(gate=gate, scores="binary", loss=loss, sparsity="mean", margin=0.0)
    found = find_scores(p.network, p.images, p.labels, settings)
    flat = np.concatenate(list(found.scores.values()))
    assert set(flat.tolist()) <= {0.0, 1.0}
    instance = p.build(gate=gate, scores="binary", loss=loss, sparsity="mean", margin=0.0)
    best = om.solve_instance(instance, om.Solver(tolerance=1e-6))
    if not np.isfinite(found.objective):
        assert loss == "margin"
        return
    compiled = Compiled(instance)
    point = complete_point(compiled, flat)
    assert compiled.arrays.violation(point) <= 1e-6
    assert compiled.arrays.objective(point) == pytest.approx(found.objective, abs=1e-9)
    assert best.bound - 1e-9 <= found.objective
    if loss != "margin":
        assert found.objective <= cost(p, np.ones(p.units), settings) + 1e-6


def test_the_same_seed_gives_the_same_scores(problem_of, monkeypatch):
    monkeypatch.setattr(heuristic, "_STEPS", 20)  # of each phase, all of which are passed
    p = problem_of("dense", 0)
    one, two = (find_scores(p.network, p.images, p.labels, Formulation(), seed=4) for _ in range(2))
    assert one.objective == two.objective
    for name in one.scores:
        np.testing.assert_array_equal(one.scores[name], two.scores[name])


def test_without_time_it_gives_back_the_trained_network_or_better(problem_of):
    p = problem_of("dense", 0)
    found = find_scores(p.network, p.images, p.labels, Formulation(), time_limit=0.0)
    assert found.objective <= cost(p, np.ones(p.units), Formulation()) + 1e-6


def test_a_result_keeps_the_heuristics_incumbent_where_the_solver_has_no_time(problem_of):
    p = problem_of("dense", 0)
    method, limited = Joint(Formulation(sparsity="mean"), heuristic=True), Solver(time_limit=1e-3)
    outcome = solve_program(Programs(p.network, p.images, p.labels, np.arange(2), method, limited))
    result = outcome.result
    # Single flips of the incumbent are tried where the search ends, and may find better scores.
    assert result.objective <= result.heuristic + 1e-9
    assert result.status == "feasible"
    assert result.replay is not None
    assert result.replay.passed
    whole = solve_program(Programs(p.network, p.images, p.labels, np.arange(2), method, Solver())).result
    assert whole.heuristic is not None
    assert whole.bound <= whole.objective <= whole.heuristic + 1e-9


def test_size_decides_unless_told(problem_of):
    p = problem_of("dense", 0)
    assert om.score(p.network, p.images, p.labels, method="joint").heuristic is None
    scores = om.score(p.network, p.images, p.labels, method=om.Joint(heuristic=True))
    assert scores.heuristic is not None
    assert scores.seconds["heuristic"] > 0


@pytest.mark.parametrize(("sizes", "found"), [([3, 5, 5, 5, 5, 3], True), ([3, 8, 15, 3], False)])
def test_a_tree_over_a_deep_network_starts_from_the_heuristic(sizes, found):
    torch.manual_seed(0)
    parts = [part for a, b in itertools.pairwise(sizes) for part in (torch.nn.Linear(a, b), torch.nn.ReLU())]
    module = torch.nn.Sequential(*parts[:-1]).eval()
    for weight in module.parameters():  # so that many ReLUs are open
        weight.data *= 3 if weight.ndim == 2 else 0.1
    network = om.read_network(module)
    x = np.random.default_rng(0).normal(size=(3, 3))
    method = om.Joint(Formulation(sparsity="mean"), search="tree", bounds="crown")
    (program,) = om.score(network, x, [0, 1, 2], method=method, solver=Solver(time_limit=1)).programs
    assert (program.heuristic is not None) is found


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heuristic": True, "gate": "published"}, "heuristic: got True, but gate published has none"),
        ({"heuristic": True, "relaxed": True}, "heuristic: got True, but a relaxation has none"),
        ({"search": "tree", "relaxed": True}, "search: got 'tree', but a relaxation with continuous scores"),
        ({"search": "branch"}, "search: got 'branch', accepted are solver, tree"),
        ({"search": "tree", "strategy": "forward"}, "search: got 'tree', but strategy forward has no use for it"),
        ({"heuristic": 3}, "heuristic: got 3, accepted are True, False and None"),
        ({"heuristic": True, "strategy": "decoupled"}, "heuristic: got True, but strategy decoupled has no use for it"),
    ],
)
def test_what_is_not_there_is_refused(problem_of, options, message):
    p = problem_of("dense", 0)
    with pytest.raises(InputError, match=message):
        om.score(p.network, p.images, p.labels, **as_objects(**{"strategy": "joint"} | options))


def test_the_tree_and_the_solver_score_alike(problem_of):
    p = problem_of("conv", 4)
    options = {"strategy": "joint", "heuristic": True}
    tree, solver = (
        om.score(p.network, p.images, p.labels, **as_objects(search=search, **options)) for search in ("tree", "solver")
    )
    assert tree.proved
    assert solver.proved
    assert tree.method.formulation.relaxation == "hull"
    assert solver.method.formulation.relaxation == "big-m"
    assert tree.objective == pytest.approx(solver.objective, rel=2e-4)


def test_the_published_gate_is_refused_directly(problem_of):
    p = problem_of("dense", 0)
    with pytest.raises(InputError, match="gate published has no heuristic"):
        find_scores(p.network, p.images, p.labels, Formulation(gate="published"))
