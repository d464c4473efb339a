"""A solution is checked against the program and the network: right ones pass, and each kind of wrong one is named."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyomo.environ as pyo
import pytest
from oamip_benchmarks.bench.check import check_point, point_of, refuted
from oamip_benchmarks.bench.programs import build_program, library_network
from oamip_benchmarks.bench.recipes import find_recipe

import oamip_model as om

# Gates switch and published, ReLU states integer and relaxed, and a cross-entropy.
NAMES = (
    "digits-dense-n2-switch-binary-hinge", "digits-deep-n20-published-continuous-hinge",
    "fashion-dense-n5-subtractive-binary-ce-only-4", "digits-conv-n10-published-relaxed-ce",
)  # fmt: skip


@pytest.fixture(scope="module")
def solved():
    """{name: (program, solution, its point)}."""
    found = {}
    for name in NAMES:
        program = build_program(find_recipe(name))
        solution = om.solve_instance(program.instance, "highs")
        found[name] = program, solution, point_of(program.instance)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_solution_passes(solved, name):
    program, solution, x = solved[name]
    found = check_point(program, x, solution.objective)
    assert (found["passed"], found["message"]) == (True, "")
    if not program.recipe.relaxed:
        assert found["replay_difference"] < 1e-6


def columns(program, letter):
    first = 0
    for component in program.instance.component_objects(pyo.Var, descend_into=True):
        if component.name == letter:
            return slice(first, first + len(component))
        first += len(component)
    raise AssertionError(letter)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_wrong_is_named(solved, name):
    program, solution, x = solved[name]
    other = x.copy()
    other[columns(program, "s")] = 1.0 - other[columns(program, "s")]
    assert "a row or bound is broken" in check_point(program, other, solution.objective)["message"]
    lower = check_point(program, x, solution.objective - 1e-4)
    assert (lower["passed"], "claimed was" in lower["message"]) == (False, True)
    assert not check_point(program, x, None)["passed"]
    assert "not finite" in check_point(program, x * np.nan, solution.objective)["message"]
    if program.arrays.integral.any():
        half = x.copy()
        half[np.flatnonzero(program.arrays.integral)[0]] = 0.5
        assert "from whole" in check_point(program, half, solution.objective)["message"]
    if program.recipe.loss == "cross-entropy":
        less = x.copy()
        less[columns(program, "t")] -= 1e-3
        assert "above what is counted" in check_point(program, less, solution.objective)["message"]


def test_a_logit_that_is_not_the_networks_is_named(solved):
    program, solution, x = solved[NAMES[0]]
    layers = program.network.layers
    moved = replace(program.network, layers=(*layers[:-1], replace(layers[-1], bias=layers[-1].bias + 0.01)))
    found = check_point(replace(program, network=moved), x, solution.objective)
    assert "a logit differs from the network's by 0.01" in found["message"]


def test_claims_that_a_known_solution_refutes():
    row = {"status": "optimal", "bound": 2.0}
    assert refuted(row, [(2.0, "highs")]) == refuted(row, [(None, "")]) == ""
    assert "above the solution 1.5 of cbc" in refuted(row, [(1.5, "cbc")])
    assert "claimed infeasible" in refuted({"status": "infeasible", "bound": None}, [(1.5, "cbc")])


def test_scores_of_the_published_gate_are_replayed_with_its_own_scale():
    recipe = find_recipe("digits-deep-n20-published-continuous-hinge")
    program = build_program(recipe)
    scores = om.score(
        library_network(recipe.network),
        program.images,
        program.labels,
        method=om.Joint(om.Formulation(gate="published", loss="hinge", sparsity=recipe.sparsity, weight=recipe.weight)),
    )
    assert scores.replay is not None
    assert scores.replay.passed
    assert scores.replay.logits < 1e-9
