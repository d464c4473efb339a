"""The search and the bounds of programs of deep dense networks, where none are given."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.scoring.joint.gated import GatedObjective
from oamip_model.scoring.methods import dense_depth


def dense(*sizes, seed=0, factor=1.0):
    """A random dense network of these sizes, whose weights are multiplied by a factor."""
    torch.manual_seed(seed)
    parts = []
    for inputs, outputs in itertools.pairwise(sizes):
        layer = nn.Linear(inputs, outputs)
        nn.init.normal_(layer.weight, 0.0, factor)
        nn.init.normal_(layer.bias, 0.0, 0.3)
        parts += [layer, nn.ReLU()]
    return om.read_network(nn.Sequential(*parts[:-1]).eval(), (sizes[0],))


DEEP = dense(3, 2, 2, 2, 2, 3)
SHALLOW = dense(3, 2, 2, 2, 3)


def test_the_depth_is_of_layers_behind_a_score_and_none_with_a_convolution():
    assert (dense_depth(dense(3, 2, 3)), dense_depth(SHALLOW), dense_depth(DEEP)) == (0, 2, 3)
    parts = [nn.Conv2d(1, 1, 2), nn.ReLU(), nn.Flatten(), nn.Linear(9, 2), nn.ReLU(), nn.Linear(2, 2), nn.ReLU()]
    parts += [nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)]
    assert dense_depth(om.read_network(nn.Sequential(*parts).eval(), (1, 4, 4))) == 0


def test_a_deep_network_gets_the_tree_and_crown_and_others_what_they_had():
    deep = om.Joint().settled(DEEP)
    assert (deep.search, deep.bounds, deep.formulation.relaxation) == (om.TreeSearch(), "crown", "hull")
    assert om.Joint().settled(SHALLOW) == om.Joint(search="solver", bounds="interval")
    assert om.Batches(size=2).settled(DEEP).size == 2


@pytest.mark.parametrize(("form", "bounds"), [
    (om.Formulation(relaxed=True), "interval"),
    (om.Formulation(gate="published"), "interval"),
    (om.Formulation(loss="hinge"), "crown"),
])  # fmt: skip
def test_a_program_without_tangents_or_a_proof_keeps_the_solver(form, bounds):
    assert om.Joint(form).settled(DEEP) == om.Joint(form, search="solver", bounds=bounds)


def test_what_is_given_is_kept():
    given = om.Joint(search="solver", bounds="interval")
    assert given.settled(DEEP) is given
    assert om.Joint(bounds="interval").settled(DEEP).bounds == "interval"
    assert om.Joint(search="solver").settled(DEEP) == om.Joint(search="solver", bounds="crown")
    own = om.Joint(om.Formulation(relaxation="big-m")).settled(DEEP)
    assert (own.tree, own.formulation.relaxation) == (om.TreeSearch(), "big-m")


@pytest.mark.parametrize(("seed", "factor"), [(0, 0.03), (1, 0.3), (2, 1.0), (3, 3.0)])
def test_its_optimum_is_that_of_brute_force_and_of_the_solver_at_every_size_of_weights(seed, factor):
    network = dense(3, 2, 2, 2, 2, 3, seed=seed, factor=factor)
    x, y = np.random.default_rng(seed).uniform(-1, 1, (3, 3)), np.array([0, 1, 2])
    form = om.Formulation(scores="binary")
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=8)), dtype=torch.float64)
    least = float(GatedObjective(network, x, y, form, dtype=torch.float64)(every).min())
    found = om.score(network, x, y, om.Joint(form))
    assert found.proved
    assert found.method.search == om.TreeSearch()
    assert found.objective == pytest.approx(least, rel=1e-4)
    assert found.bound <= least + 1e-9
    free = [om.score(network, x, y, om.Joint(search=search)) for search in (None, "solver")]
    assert [one.status for one in free] == ["optimal", "optimal"]
    assert free[0].objective == pytest.approx(free[1].objective, rel=2e-4)
    assert max(one.bound for one in free) <= least + 1e-9
