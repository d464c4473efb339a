"""No claim that a known point refutes is passed on, and an objective is the value of its own scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.formulation import cross_entropy
from oamip_model.scoring.asked import as_objects
from oamip_model.solving import gated_logits
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.proofs.claims import breach
from oamip_model.solving.protocol import Status
from oamip_model.solving.registry import get_backend


class Liar:
    """HiGHS, but integer programs are worth more to it than they are, and their points are those of all scores 1."""

    name, licence = "liar", "none"
    capabilities = frozenset()

    def __init__(self, raised):
        self.highs, self.raised = get_backend("highs"), raised

    def version(self):
        return "1"

    def check(self):
        """Always there."""

    def solve(self, arrays, options, start=None):
        found = self.highs.solve(arrays, options, start)
        if not arrays.is_mip or found.bound is None:
            return found
        return replace(found, status=Status.OPTIMAL, bound=found.bound + self.raised * abs(found.bound))


OPTIONS = {"scores": "binary", "loss": "hinge", "sparsity": "mean"}


@pytest.mark.parametrize("raised", [1e-2, 1e3])
def test_a_bound_above_a_known_value_is_withdrawn_with_the_reason(problem_of, raised):
    p = problem_of("dense", 1)
    true = om.solve_instance(p.build(**OPTIONS))
    found = om.solve_instance(p.build(**OPTIONS), Liar(raised))
    assert found.bound is None or found.bound <= true.objective + 1e-9
    assert "is withdrawn" in found.message
    assert found.status == ("optimal" if found.certified and found.gap <= 1e-4 else "feasible")


def test_a_bound_that_is_too_high_by_rounding_is_lowered(problem_of):
    p = problem_of("dense", 1)
    found = om.solve_instance(p.build(**OPTIONS), Liar(1e-8))
    assert found.status == "optimal"
    assert found.bound <= found.objective


def chain(seed, scale):
    """A dense network whose weights are all small, the last bias aside."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double().eval()
    with torch.no_grad():
        for p in list(module.parameters())[:-1]:
            p.copy_(torch.randn(p.shape, dtype=torch.float64) * scale)
        module[4].bias.copy_(torch.randn(2, dtype=torch.float64))
    return module


@pytest.mark.parametrize("search", ["solver", "tree"])
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
@pytest.mark.parametrize("scale", [1e-8, 1e-5, 1e-3, 1e3, 1e5])
def test_claims_at_unusual_scales_are_right_or_not_made(scale, gate, search):
    images, labels = np.random.default_rng(0).random((4, 3)), np.array([0, 1, 0, 1])
    network = om.read_network(chain(1, scale), input_shape=(3,))
    found = om.score(
        network,
        images,
        labels,
        method=om.Joint(om.Formulation(scores="binary", sparsity="mean", gate=gate), search=search),
        solver=om.Solver(time_limit=2),
    )

    def value(bits):
        logits = gated_logits(network, images, {"0": bits[:4], "2": bits[4:]}, "switch")
        return 5.0 * cross_entropy(logits, labels).mean() + bits.mean()

    best = min(value(np.array([k >> u & 1 for u in range(7)], dtype=float)) for k in range(128))
    own = value(np.concatenate(list(found.by_layer.values())))
    assert found.objective == pytest.approx(own, rel=1e-9)
    assert found.bound is None or found.bound <= best + 1e-6 * abs(best)
    if found.proved:
        assert found.objective <= best + 1e-4 * abs(best) + 1e-9
    else:
        assert found.programs[0].message
    if scale < 1:
        assert found.proved


def test_a_breach_counts_relative_to_what_is_summed(problem_of):
    p = problem_of("dense", 0)
    compiled = Compiled(p.build(sparsity="mean"))
    x = complete_point(compiled, np.random.default_rng(0).random(p.units))
    assert breach(compiled.arrays, x[:, None])[0] <= 1e-9
    wrong = x.copy()
    wrong[compiled.columns(compiled.model.h)] += 0.5
    assert breach(compiled.arrays, np.stack([x, wrong], axis=1))[1] > 1e-3


def test_a_result_says_how_its_bound_is_known(problem_of):
    p = problem_of("dense", 0)
    given = p.network, p.images, p.labels
    options = {"strategy": "joint", "scores": "binary", "sparsity": "mean", "loss": "hinge"}
    tree = om.score(*given, **as_objects(search="tree", **options))
    solver = om.score(*given, **as_objects(**options))
    assert tree.proved
    assert solver.proved
    assert f"proved optimal ({tree.proof})" in tree.summary()
    assert {tree.proof, solver.proof} <= {"certified", "claimed"}
    assert tree.bound <= solver.objective + 1e-6
