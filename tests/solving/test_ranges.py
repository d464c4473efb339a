"""Intervals in a node: they lose no choice of scores, at any scale, and are its value where all scores are fixed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.formulation.program import Program
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_points
from oamip_model.solving.proofs import claims
from oamip_model.solving.treesearch.ranges import Ranges

LOSSES = {"switch": "cross-entropy", "subtractive": "hinge"}


def compiled(problem_of, kind, gate, scale, loss="cross-entropy", seed=3):
    """An instance whose network has every weight and bias but those of its last layer times ``scale``."""
    p = problem_of(kind, seed)
    module = p.module.double()
    with torch.no_grad():
        for parameter in list(module.parameters())[:-2]:
            parameter.mul_(scale)
    network = om.read_network(module, input_shape=p.images.shape[1:])
    form = om.Formulation(scores="binary", sparsity="mean", weight=5.0, gate=gate, loss=loss)
    return Compiled(om.build_instance(network, p.images, p.labels, form))


def all_points(found):
    """The points of all choices of scores (columns, k), at most 256 of them, and their objectives (k,)."""
    units = len(found.model.s)
    masks = np.array(list(itertools.product((0.0, 1.0), repeat=units))).T
    masks = masks[:, np.random.default_rng(0).permutation(masks.shape[1])[:256]]
    points = complete_points(found, masks)
    return points, found.arrays.cost @ points + found.arrays.offset


@pytest.mark.parametrize("scale", [1.0, 1e-5, 1e4])
@pytest.mark.parametrize("gate", LOSSES)
@pytest.mark.parametrize("kind", ["dense", "conv", "residual"])
def test_no_choice_of_scores_is_worth_less_than_its_node(problem_of, kind, gate, scale):
    found = compiled(problem_of, kind, gate, scale, LOSSES[gate])
    ranges, (points, values) = Ranges(Program.of(found.model), found), all_points(found)
    s, z = found.columns(found.model.s), found.columns(found.model.z)
    pick, closed = np.random.default_rng(7), 0
    for _ in range(60):
        k = int(pick.integers(len(values)))
        lower, upper = found.arrays.lower.copy(), found.arrays.upper.copy()
        for part, share in ((s, pick.random()), (z, 0.3 * pick.random())):
            at = np.arange(part.start, part.stop)[pick.random(part.stop - part.start) < share]
            lower[at] = upper[at] = points[at, k]
        least = ranges.least(lower, upper)
        assert least <= values[k] + 1e-12 * abs(values[k])
        closed += least > values.min()
    assert closed > 0


@pytest.mark.parametrize("gate", LOSSES)
@pytest.mark.parametrize("kind", ["dense", "conv", "residual"])
def test_where_all_scores_are_fixed_they_are_the_forward_pass(problem_of, kind, gate):
    found = compiled(problem_of, kind, gate, 1e3)
    ranges, (points, values) = Ranges(Program.of(found.model), found), all_points(found)
    s = found.columns(found.model.s)
    for k in range(20):
        lower, upper = found.arrays.lower.copy(), found.arrays.upper.copy()
        lower[s] = upper[s] = points[s, k]
        assert ranges.least(lower, upper) == pytest.approx(values[k], rel=1e-6)


def test_contradicting_states_leave_no_point_and_missing_rows_no_bound(problem_of):
    found = compiled(problem_of, "dense", "switch", 1.0)
    ranges = Ranges(Program.of(found.model), found)
    s, z = found.columns(found.model.s), found.columns(found.model.z)
    lower, upper = found.arrays.lower.copy(), found.arrays.upper.copy()
    lower[s] = 1.0
    states = complete_points(found, np.ones((s.stop - s.start, 1)))[z, 0]
    at = z.start + int(np.flatnonzero(states > 0)[0])
    upper[at] = 0.0
    assert ranges.least(lower, upper) == np.inf
    next(iter(found.model.preactivation.values())).deactivate()
    loose = Compiled(found.model)
    assert Ranges(Program.of(found.model), loose).least(loose.arrays.lower, loose.arrays.upper) == -np.inf


@pytest.mark.parametrize("gate", LOSSES)
@pytest.mark.parametrize("scale", [1e4, 1e7])
def test_a_program_whose_losses_reach_far_is_proved_by_branching(problem_of, gate, scale, monkeypatch):
    # Its linear programs pass anything within their tolerances: the solver ignores tangents, and rounds must end.
    monkeypatch.setattr(claims, "LISTED", 0)
    found = compiled(problem_of, "dense", gate, scale)
    best = all_points(found)[1].min() if len(found.model.s) <= 8 else None
    solution = om.solve_instance(found.model, om.Solver(time_limit=60), search="tree")
    assert solution.status == "optimal"
    assert best is None or solution.objective == pytest.approx(best, rel=1e-4)
