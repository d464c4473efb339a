"""A forward pass completes any scores to a point of the program."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from thinned import examples

from oamip_model.formulation import cross_entropy, hinge
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.replay import gated_logits

LOSSES = {"hinge": lambda o, y: hinge(o, y, 1.0), "cross-entropy": cross_entropy}


@settings(deadline=None, derandomize=True, max_examples=examples(6, 12))
@given(
    seed=st.integers(0, 10_000), gate=st.sampled_from(["subtractive", "switch"]), relaxed=st.booleans(),
    loss=st.sampled_from(sorted(LOSSES)), sparsity=st.sampled_from(["published", "mean", "parameters"]),
    binary=st.booleans(),
)  # fmt: skip
def test_points_of_the_sound_gates_are_feasible(random_problem, kind, seed, gate, relaxed, loss, sparsity, binary):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    binary = binary or (gate == "switch" and not relaxed)
    flat = pick.integers(0, 2, p.units).astype(float) if binary else pick.uniform(0, 1, p.units)
    instance = p.build(
        gate=gate, relaxed=relaxed, loss=loss, sparsity=sparsity, scores="binary" if binary else "continuous"
    )
    compiled = Compiled(instance)
    x = complete_point(compiled, flat)
    assert compiled.arrays.violation(x) <= 1e-9
    logits = gated_logits(p.network, p.images, p.split(flat), gate)
    np.testing.assert_allclose(x[compiled.columns(instance.o)].reshape(logits.shape), logits, atol=1e-9)
    np.testing.assert_allclose(x[compiled.columns(instance.t)], LOSSES[loss](logits, p.labels), atol=1e-9)


@pytest.mark.thinned(24)
@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("epsilon", [1e-5, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_the_trained_network_is_a_point_of_the_published_program(kind, problem_of, seed, epsilon, relaxed):
    p = problem_of(kind, seed)
    compiled = Compiled(p.build(gate="published", relaxed=relaxed, epsilon=epsilon))
    assert compiled.arrays.violation(complete_point(compiled, np.ones(p.units))) <= 1e-9


def test_a_base_keeps_the_variables_that_are_not_the_programs_own(problem_of):
    import pyomo.environ as pyo

    p = problem_of("dense")
    instance = p.build()
    instance.mine = pyo.Var([0, 1], bounds=(2, 5))
    compiled = Compiled(instance)
    base = np.full(len(compiled.variables), 3.0)
    plain, kept = (complete_point(compiled, np.ones(p.units), b) for b in (None, base))
    mine = compiled.columns(instance.mine)
    assert kept[mine].tolist() == [3.0, 3.0]
    assert compiled.arrays.violation(kept) <= 1e-9 < compiled.arrays.violation(plain)
    np.testing.assert_array_equal(
        np.delete(kept, range(mine.start, mine.stop)), np.delete(plain, range(mine.start, mine.stop))
    )
