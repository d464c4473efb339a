"""Every relaxation has the same integer points; they differ in the linear relaxation, and ``hull`` is what it says."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog
from torch import nn

import oamip_model as om
from oamip_model.formulation import hinge, sparsity_weights
from oamip_model.formulation.program import Program
from oamip_model.formulation.relaxations import RELAXATIONS, groups_of
from oamip_model.formulation.relaxations.hull import HullCuts
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.protocol import Options, append_rows
from oamip_model.solving.registry import get_backend

KINDS = ["dense", "deep", "conv", "residual", "relu-pool", "pool-relu", "average-pool", "norm", "depthwise",
         "tied-to-image"]  # fmt: skip
TIGHTER = [name for name in RELAXATIONS if name != "big-m"]
GATES = ["subtractive", "switch"]


def hull_point(compiled, x):
    m = compiled.model
    return np.concatenate([x[compiled.columns(v)] for v in (m.s, m.a, m.h, m.z)])


def relaxed_optimum(instance, cost=None):
    """Optimum over the linear relaxation, with every cut of ``hull`` that it violates."""
    compiled = Compiled(instance)
    arrays = replace(compiled.arrays, integral=np.zeros_like(compiled.arrays.integral))
    if cost is not None:
        arrays = replace(arrays, cost=cost(compiled), offset=0.0)
    while True:
        solution = get_backend("highs").solve(arrays, Options(feasibility=1e-9))
        assert solution.status == "optimal"
        if not hasattr(instance, "hull_cuts"):
            return solution.objective
        rows = HullCuts(Program.of(instance)).violated(hull_point(compiled, solution.x), 1e-7)
        if not rows.names:
            return solution.objective
        instance.hull_cuts.append(rows)
        arrays = append_rows(arrays, compiled.rows(rows), rows.lower, rows.upper)


def random_points(compiled, pick, count=3):
    """Points anywhere in the box of s, a, h and z, corners among them."""
    m, layout = compiled.model, compiled.model.layout.value
    low = np.concatenate([layout.score_lower, layout.pre_lower, layout.act_lower, np.zeros(len(m.z))])
    high = np.concatenate([np.ones(len(m.s)), layout.pre_upper, layout.act_upper, np.ones(len(m.z))])
    for _ in range(count):
        share = np.clip(pick.uniform(-0.5, 1.5, len(low)), 0, 1)
        yield low + share * (high - low)


@settings(deadline=None, derandomize=True, max_examples=30)
@given(
    kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000), gate=st.sampled_from(GATES),
    relaxation=st.sampled_from(TIGHTER), binary=st.booleans(), method=st.sampled_from(["interval", "crown"]),
)  # fmt: skip
def test_forward_passes_break_no_row_and_no_cut(random_problem, kind, seed, gate, relaxation, binary, method):
    p, pick = random_problem(kind, seed), np.random.default_rng(seed)
    flat = pick.integers(0, 2, p.units).astype(float) if binary else pick.uniform(0, 1, p.units)
    relaxed = gate == "switch" and not binary
    instance = p.build(
        gate=gate, relaxation=relaxation, relaxed=relaxed, scores="binary" if binary else "continuous", loss="hinge",
        bounds=om.compute_bounds(p.network, p.images, method),
    )  # fmt: skip
    compiled = Compiled(instance)
    x = complete_point(compiled, flat)
    assert compiled.arrays.violation(x) <= 1e-9
    if relaxation == "hull":
        for point in random_points(compiled, pick):
            rows = HullCuts(Program.of(instance)).violated(point, 0.0)
            assert (compiled.rows(rows) @ x <= rows.upper + 1e-9).all()


@pytest.mark.thinned(14)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("seed", range(2))
def test_the_integer_optimum_is_that_of_all_binary_scores(problem_of, kind, gate, seed):
    p = problem_of(kind, seed, 1)
    shares = sparsity_weights(p.network, "mean")
    best = min(
        5.0 * hinge(p.network.replay(p.images, p.split(bits)), p.labels, 1.0).mean() + float(shares @ bits)
        for bits in p.all_binary()
    )
    for relaxation in TIGHTER[seed::2] if seed else TIGHTER:
        instance = p.build(gate=gate, relaxation=relaxation, scores="binary", loss="hinge", sparsity="mean")
        found = om.solve_instance(instance, om.Solver(tolerance=1e-7))
        assert found.status == "optimal"
        assert found.objective == pytest.approx(best, rel=1e-6, abs=1e-6), relaxation


@pytest.mark.parametrize("name", ["dense", "depthwise", "norm", "relu-pool"])
@pytest.mark.parametrize(("seed", "loss", "method"), [(0, "hinge", "interval"), (1, "cross-entropy", "crown")])
def test_continuous_scores_have_one_optimum(problem_of, name, seed, loss, method):
    p = problem_of(name, seed, 1)
    bounds = om.compute_bounds(p.network, p.images, method)
    values = {}
    for relaxation in RELAXATIONS:
        instance = p.build(relaxation=relaxation, loss=loss, sparsity="mean", bounds=bounds)
        found = om.solve_instance(instance, om.Solver(tolerance=1e-6))
        assert found.status == "optimal"
        assert found.bound <= found.objective + 1e-7
        values[relaxation] = found.objective
    assert max(values.values()) - min(values.values()) <= 4e-6 * max(1, max(values.values())), values


@settings(deadline=None, derandomize=True, max_examples=12)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 10_000), gate=st.sampled_from(GATES))
def test_the_root_bounds_rise_from_big_m_to_hull(random_problem, kind, seed, gate):
    p = random_problem(kind, seed)
    options = {"gate": gate, "scores": "binary", "loss": "hinge", "sparsity": "mean"}
    bounds = [relaxed_optimum(p.build(relaxation=name, **options)) for name in RELAXATIONS]
    for (looser, tighter), names in zip(pairwise(bounds), pairwise(RELAXATIONS), strict=True):
        assert looser <= tighter + 1e-6 * max(1.0, abs(tighter)), names


def test_some_relaxation_gains_at_every_step(problem_of):
    gained = {gate: set() for gate in GATES}
    for gate in GATES:
        for name in ("conv", "residual", "depthwise"):
            options = {"gate": gate, "scores": "binary", "loss": "hinge", "sparsity": "mean"}
            bounds = [relaxed_optimum(problem_of(name, 1).build(relaxation=r, **options)) for r in RELAXATIONS]
            gained[gate] |= {r for r, (low, high) in zip(TIGHTER, pairwise(bounds), strict=True) if high > low + 1e-4}
    assert {"partition-1", "partition-2", "partition-4", "partition-8"} <= gained["subtractive"]
    assert {"partition-1", "partition-2", "partition-4", "partition-8"} <= gained["switch"]


@pytest.mark.thinned(25)
@pytest.mark.parametrize("relaxation", TIGHTER)
@pytest.mark.parametrize("gate", GATES)
def test_scores_of_one_give_the_trained_network(problem_of, kind, gate, relaxation):
    p = problem_of(kind, 2)
    instance = p.build(gate=gate, scores="binary", relaxation=relaxation, loss="hinge")
    for variable in instance.s.values():
        variable.fix(1.0)
    found = om.solve_instance(instance, om.Solver(tolerance=1e-7))
    np.testing.assert_allclose(found.logits, p.network.replay(p.images), atol=1e-6)


def one_unit(pick, inputs):
    """A network whose second layer is one unit over the scores of the first layer, and its image."""
    module = nn.Sequential(nn.Linear(2, inputs), nn.ReLU(), nn.Linear(inputs, 1), nn.ReLU(), nn.Linear(1, 2)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.from_numpy(pick.uniform(0.2, 1, (inputs, 2))))
        module[0].bias.zero_()
        module[2].weight.copy_(torch.from_numpy(pick.normal(size=(1, inputs))))
        module[2].bias.copy_(torch.from_numpy(pick.normal(size=1) * 0.3))
    return om.read_network(module, (2,)), np.ones((1, 2))


def disjunctive_optimum(gate, weight, bias, scale, cost):
    """Least cost @ (inputs, score, h, z) over the hull of a unit's states, each with a copy of the variables.

    States: on (z = 1, h = w x + b >= 0), off (h = z = 0, w x + b <= 0), and in the gate switch removed (all of it 0).
    """
    k = len(weight)
    w = np.append(weight, scale if gate == "subtractive" else 0.0)
    b = bias - (scale if gate == "subtractive" else 0.0)
    copies = 2 if gate == "subtractive" else 3
    width = k + 2  # inputs, score and the share of the state, for each copy
    total = np.zeros(copies * width)
    rows = []
    for copy in range(copies):
        at = copy * width
        total[at : at + k + 1] = cost[: k + 1]
        for j in range(k + 1):
            row = np.zeros(copies * width)
            row[at + j], row[at + k + 1] = 1.0, -1.0
            rows.append(row)
    total[: k + 1] += cost[k + 1] * w
    total[k + 1] += cost[k + 1] * b + cost[k + 2]
    for copy, sign in ((0, -1.0), (1, 1.0)):
        row = np.zeros(copies * width)
        row[copy * width : copy * width + k + 1], row[copy * width + k + 1] = sign * w, sign * b
        rows.append(row)
    equal = [np.tile(np.append(np.zeros(k + 1), 1.0), copies)]
    if gate == "switch":
        for copy, wanted in ((0, 1.0), (1, 1.0), (2, 0.0)):
            row = np.zeros(copies * width)
            row[copy * width + k], row[copy * width + k + 1] = 1.0, -wanted
            equal.append(row)
    right = np.append(1.0, np.zeros(len(equal) - 1))
    found = linprog(total, np.array(rows), np.zeros(len(rows)), np.array(equal), right, bounds=(0, 1))
    assert found.status == 0
    return found.fun


@pytest.mark.thinned(12)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("seed", range(12))
def test_the_cuts_are_the_convex_hull_of_one_unit(gate, seed):
    pick = np.random.default_rng(seed)
    network, image = one_unit(pick, int(pick.integers(2, 6)))
    options = {"gate": gate, "scores": "binary", "loss": "hinge", "sparsity": "mean", "relaxation": "hull"}
    instance = om.build_instance(network, image, [0], om.Formulation(**options))
    layout = instance.layout.value
    if not len(layout.gated.act):
        pytest.skip("the unit is off for every score")
    rows = layout.pre_rows
    weight = rows.matrix.toarray()[0, : len(layout.unit) - 1]
    for _ in range(4):
        direction = pick.normal(size=len(weight) + 3)
        # The cuts are the hull's projection on the columns without the state.
        direction[-1] = 0.0

        def cost(compiled, direction=direction):
            full, m = np.zeros(len(compiled.variables)), compiled.model
            units = compiled.columns(m.s)
            full[units] = direction[: len(m.s)]
            full[compiled.columns(m.h)] = direction[len(m.s)]
            return full

        wanted = disjunctive_optimum(gate, weight, rows.constant[0], layout.gated.scale[0], direction)
        assert relaxed_optimum(
            om.build_instance(network, image, [0], om.Formulation(**options)), cost
        ) == pytest.approx(wanted, abs=1e-6)


def test_groups_by_name():
    assert [groups_of(name) for name in RELAXATIONS] == [0, 1, 2, 4, 8, 1]


@pytest.mark.parametrize("relaxation", TIGHTER)
def test_the_published_gate_has_its_own_rows_only(problem_of, relaxation):
    with pytest.raises(om.InputError, match=f"^relaxation: got '{relaxation}', but the gate published .* big-m$"):
        problem_of("dense").build(gate="published", relaxation=relaxation)
