"""Mixed-integer subproblems of one layer: the optimum is that of trying every vector of scores in the network."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.formulation import cross_entropy
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.layerwise.heads import head_named
from oamip_model.scoring.layerwise.heads.auxiliary import train_auxiliary_head
from oamip_model.scoring.layerwise.heads.mixed import even_rows
from oamip_model.scoring.layerwise.heads.tail import named_scores
from oamip_model.scoring.layerwise.plan import LayerOutcome, Plan
from oamip_model.scoring.layerwise.task import LayerTask, tensors
from oamip_model.training import auxiliary_classifier

WEIGHT = 8.0
PLAN = Plan(head="rest", sparsity="mean", weight=WEIGHT, tolerance=1e-6)


def task_of(p: Any, group: int, **options: Any) -> LayerTask:
    return LayerTask(p.network, p.images, p.labels, group, {}, replace(PLAN, **options))


def solve(task: LayerTask) -> LayerOutcome:
    return head_named(task.plan.head).solve(task)


def cost(logits: np.ndarray, labels: np.ndarray, s: np.ndarray) -> float:
    return WEIGHT * float(cross_entropy(logits, labels).mean()) + float(s.mean())


def binaries(size: int) -> list[np.ndarray]:
    return [np.array(bits) for bits in itertools.product([0.0, 1.0], repeat=size)]


@pytest.mark.parametrize("name", ["dense", "conv", "residual", "relu-pool", "norm"])
def test_rest_has_the_optimum_of_all_binary_scores(name: str, problem_of: Any) -> None:
    p = problem_of(name, 1, 3)
    rng = np.random.default_rng(0)
    for group, entry in enumerate(p.network.groups):
        others = {g: np.ones(e.size) for g, e in enumerate(p.network.groups) if g != group}
        for mask in others.values():
            mask[rng.integers(len(mask))] = 0.0
        task = replace(task_of(p, group, binary=True), others=others)
        best = min(
            cost(p.network.replay(p.images, named_scores(p.network, others | {group: s})), p.labels, s)
            for s in binaries(entry.size)
        )
        found = solve(task)
        assert found.result.status == "optimal"
        assert found.result.objective == pytest.approx(best, rel=1e-5, abs=1e-6)
        assert found.result.bound <= best + 1e-6
        assert found.result.replay is not None
        # The convex program, of a last layer, computes its columns in single precision.
        assert found.result.replay.passed


@pytest.mark.parametrize("name", ["dense", "conv"])
def test_auxiliary_has_the_optimum_of_all_binary_scores_of_its_head(name: str, problem_of: Any) -> None:
    p = problem_of(name, 1, 3)
    entry = p.network.groups[0]
    task = task_of(p, 0, head="auxiliary", binary=True)
    layers = task.torch_layers()
    head = train_auxiliary_head(layers, p.images, p.labels, 0, tensors(layers, {}), epochs=3, seed=0)
    again = train_auxiliary_head(layers, p.images, p.labels, 0, tensors(layers, {}), epochs=3, seed=0)
    assert head.network.fingerprint == again.network.fingerprint
    r = p.network.activations(p.images)[entry.layers[-1]]
    spread = p.network.layers[entry.layers[-1]].units
    assert head.accuracy == pytest.approx((head.network.replay(r).argmax(axis=1) == p.labels).mean())
    best = min(cost(head.network.replay(r * s[spread].reshape(r.shape[1:])), p.labels, s) for s in binaries(entry.size))
    found = solve(replace(task, heads={task.name: head.network}))
    assert found.result.objective == pytest.approx(best, rel=1e-5, abs=1e-6)
    assert found.result.trained is not None
    assert (found.result.trained.accuracy, found.result.trained.epochs) == (head.accuracy, 0)
    assert found.result.replay.passed
    # Of the network, which the head is no part of.
    logits = p.network.replay(p.images, named_scores(p.network, {0: found.scores}))
    assert found.result.replayed_loss == pytest.approx(cross_entropy(logits, p.labels).mean(), rel=1e-4)


@pytest.fixture(scope="module")
def fractional(problem_of: Any) -> Any:
    """A problem, and its solution with continuous scores."""
    p = problem_of("dense", 1, 3)
    return p, solve(task_of(p, 0))


def test_fractional_scores_replay_and_are_no_worse_than_binary_and_convex_ones(fractional: Any) -> None:
    p, found = fractional
    logits = p.network.replay(p.images, named_scores(p.network, {0: found.scores}))
    assert found.result.objective == pytest.approx(cost(logits, p.labels, found.scores), rel=1e-5)
    assert found.result.replay.passed
    binary = solve(task_of(p, 0, binary=True))
    assert found.result.objective <= binary.result.objective + 1e-6
    pattern = solve(task_of(p, 0, head="pattern"))
    there = p.network.replay(p.images, named_scores(p.network, {0: pattern.scores}))
    assert found.result.objective <= cost(there, p.labels, pattern.scores) + 1e-6


@pytest.mark.parametrize("options", [{"solver": "cbc"}, {"bounds": "crown"}, {"bounds": "lp"}])
def test_neither_solver_nor_bounds_move_the_optimum(fractional: Any, options: dict[str, Any]) -> None:
    p, found = fractional
    other = solve(task_of(p, 0, **options))
    assert other.result.status == "optimal"
    assert other.result.objective == pytest.approx(found.result.objective, rel=1e-5)


def test_without_time_it_still_has_the_convex_solution_and_says_that_nothing_is_proved(fractional: Any) -> None:
    p, found = fractional
    stopped = solve(task_of(p, 0, time_limit=1e-9, tolerance=1e-4))
    assert stopped.result.status == "feasible"
    assert stopped.result.objective >= found.result.objective - 1e-6
    assert stopped.result.gap is None or stopped.result.gap > 0


def test_a_solve_begins_from_the_scores_given(fractional: Any) -> None:
    p, _ = fractional
    instance = om.build_instance(p.network, p.images, p.labels)
    ones = {g.name: np.ones(g.size) for g in p.network.groups}
    begun = om.solve_instance(instance, om.Solver(time_limit=1e-9), start=ones)
    assert begun.status == "feasible"
    for name, values in begun.scores.items():
        np.testing.assert_array_equal(values, ones[name])
    with pytest.raises(om.InputError, match=r"^start: "):
        om.solve_instance(instance, start={"nothing": np.ones(2)})


def test_an_amount_takes_the_weight_whose_cut_does_best(problem_of: Any) -> None:
    p = problem_of("dense", 1, 3)
    found = solve(task_of(p, 0, amount=0.5, tolerance=1e-3))
    layers = task_of(p, 0).torch_layers()
    best = task_of(p, 0).measure(layers, found.keep)
    for weight in (0.1, 1.0, 30.0):
        one = solve(task_of(p, 0, weight=weight, tolerance=1e-3))
        assert best <= task_of(p, 0).measure(layers, task_of(p, 0, amount=0.5).cut(one.scores))
    assert (found.keep == 0).sum() == p.network.groups[0].size // 2


def test_images_of_a_program_are_spread_over_the_classes() -> None:
    labels = np.array([0] * 20 + [1] * 3 + [2] * 10)
    rows = even_rows(labels, 12, seed=1)
    assert np.bincount(labels[rows]).tolist() in ([5, 3, 4], [4, 3, 5])
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(even_rows(labels, 99, seed=1), np.arange(33))


@pytest.mark.parametrize("strategy", ["decoupled", "forward", "backward"])
@pytest.mark.parametrize("head", ["rest", "auxiliary"])
def test_every_strategy_takes_these_heads(strategy: str, head: str, problem_of: Any) -> None:
    p = problem_of("dense", 1, 3)
    options: dict[str, Any] = {"bounds": "crown", "program_images": 2, "weight": WEIGHT}
    if head == "auxiliary":
        torch.manual_seed(0)
        options["heads"] = {p.network.groups[0].name: auxiliary_classifier((p.sizes[0],), 3)}
    scores = om.score(p.network, p.images, p.labels, **as_objects(strategy=strategy, head=head, **options))
    assert scores.status == "optimal"
    assert not scores.proved
    assert scores.head == f"{head} and rest" if head != "rest" else "rest"
    assert len(scores.programs[0].images) == 2
    assert "2 of the images in each mixed-integer program" in scores.summary()
    assert scores.replay.passed


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"head": "pattern", "bounds": "crown"}, "bounds"),
        ({"head": "linear", "program_images": 5}, "program_images"),
        ({"head": "rest", "program_images": 0}, "program_images"),
        ({"head": "rest", "program_images": 201}, "program_images"),
        ({"head": "rest", "heads": {}}, "heads"),
        ({"head": "auxiliary", "heads": {"nothing": None}}, "heads"),
        ({"head": "auxiliary", "heads": {"0": auxiliary_classifier((77,), 3)}}, "heads"),
    ],
)
def test_options_that_do_not_fit_are_refused(problem_of: Any, options: dict[str, Any], culprit: str) -> None:
    p = problem_of("dense", 1, 3)
    with pytest.raises(om.InputError, match=f"^{culprit}: ") as error:
        om.score(p.network, p.images, p.labels, **as_objects(strategy="decoupled", **options))
    assert "\n" not in str(error.value)
