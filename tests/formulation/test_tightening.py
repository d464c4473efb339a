"""Tighter bounds change the relaxation of a sound program, never its integer optimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.network.types import IMAGE
from oamip_model.solving import compile_arrays, get_backend
from oamip_model.solving.compile import Compiled
from oamip_model.solving.protocol import Options
from oamip_model.solving.replay import gated_activations

SLACK = 1e-7


def tightened(bounds, lower, upper):
    """``bounds`` with pre-activations also within [lower - slack, upper + slack], and outputs to match."""
    kept = [np.array(b) for b in (*bounds.lower, *bounds.upper)]
    half = len(bounds.lower)
    low = tuple(np.maximum(b, new - SLACK) for b, new in zip(kept[:half], lower, strict=True))
    high = tuple(np.minimum(b, new + SLACK) for b, new in zip(kept[half:], upper, strict=True))
    # Constants stay constants.
    low = tuple(np.where(b == c, b, new) for b, c, new in zip(bounds.lower, bounds.upper, low, strict=True))
    high = tuple(np.where(b == c, c, new) for b, c, new in zip(bounds.lower, bounds.upper, high, strict=True))
    return replace(bounds, lower=low, upper=high, method="exact")


def pre_activations(p, scores, gate):
    outputs = gated_activations(p.network, p.images, scores, gate)
    return [
        layer.pre_activation([p.images if t.source == IMAGE else outputs[t.source] for t in layer.terms]).reshape(
            len(p.images), -1
        )
        for layer in p.network.layers
    ]


def exact_for_binary(p):
    """Bounds that hold for every binary score, and are reached."""
    every = [pre_activations(p, p.split(bits), "switch") for bits in p.all_binary()]
    stacked = [np.stack(layer) for layer in zip(*every, strict=True)]
    return tightened(
        om.compute_bounds(p.network, p.images), [a.min(axis=0) for a in stacked], [a.max(axis=0) for a in stacked]
    )


def exact_for_every_score(p):
    """Bounds of each variable a of the subtractive program: its minimum and maximum over the integer program."""
    instance = p.build(loss="hinge", sparsity="mean")
    bounds = om.compute_bounds(p.network, p.images)
    lower, upper = [b.copy() for b in bounds.lower], [b.copy() for b in bounds.upper]
    number = {layer.name: k for k, layer in enumerate(p.network.layers)}
    compiled = Compiled(instance)
    first = compiled.columns(instance.a).start
    for k, (image, layer, activation) in enumerate(instance.a):
        # A layer that is no ReLU may have a variable for its output under the same kind of name.
        if p.network.layers[number[layer]].activation != "relu":
            continue
        for sense, values in ((1, lower), (-1, upper)):
            cost = np.zeros_like(compiled.arrays.cost)
            cost[first + k] = 1.0
            arrays = replace(compiled.arrays, cost=cost, offset=0.0, sense=sense)
            values[number[layer]][image, activation] = get_backend("highs").solve(arrays, Options()).bound
    return tightened(bounds, lower, upper)


def optimum(p, **options):
    found = om.solve_instance(p.build(**options), om.Solver(tolerance=1e-6))
    assert found.status == "optimal"
    return found.objective


def relaxation(p, **options):
    arrays = compile_arrays(p.build(**options))
    arrays = replace(arrays, integral=np.zeros_like(arrays.integral))
    return get_backend("highs").solve(arrays, Options()).objective


@pytest.mark.thinned(12)
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
@pytest.mark.parametrize(("seed", "loss"), [(0, "hinge"), (1, "cross-entropy")])
def test_bounds_for_binary_scores(kind, problem_of, gate, seed, loss):
    p = problem_of(kind, seed, 1)
    bounds = exact_for_binary(p)
    options = {"gate": gate, "scores": "binary", "loss": loss, "sparsity": "mean"}
    assert optimum(p, bounds=bounds, **options) == pytest.approx(optimum(p, **options), rel=2e-6, abs=2e-6)
    assert relaxation(p, bounds=bounds, **options) >= relaxation(p, **options) - 1e-6


@pytest.mark.thinned(6)
@pytest.mark.parametrize("kind", ["dense", "deep", "conv", "norm", "tied-to-image", "depthwise"])
@pytest.mark.parametrize("seed", range(2))
def test_bounds_for_every_score(problem_of, kind, seed):
    p = problem_of(kind, seed, 1)
    bounds = exact_for_every_score(p)
    options = {"loss": "hinge", "sparsity": "mean"}
    assert optimum(p, bounds=bounds, **options) == pytest.approx(optimum(p, **options), rel=2e-6, abs=2e-6)


def test_tight_bounds_that_turn_off_all_inputs_of_a_unit_leave_its_scale():
    # One channel at two places: its pre-activation s (1 - 2) is below 0 for every score, which intervals do not see.
    module = nn.Sequential(
        nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, (1, 2)), nn.ReLU(), nn.Conv2d(1, 1, 1), nn.ReLU(),
        nn.Flatten(), nn.Linear(1, 2),
    ).eval()  # fmt: skip
    values = ((0, [1.0], 0.0), (2, [1.0, -1.0], 0.0), (4, [1.0], 0.5), (7, [1.0, -1.0], 0.0))
    with torch.no_grad():
        for part, weight, bias in values:
            module[part].weight.copy_(torch.tensor(weight).reshape(module[part].weight.shape))
            module[part].bias.fill_(bias)
    network, image = om.read_network(module, (1, 1, 2)), np.array([[[[1.0, 2.0]]]])
    loose = om.compute_bounds(network, image)
    assert loose.upper[1][0, 0] > 0
    tight = tightened(loose, loose.lower, [loose.upper[0], np.array([[-SLACK]]), *loose.upper[2:]])
    logits = []
    for bounds in (loose, tight):
        instance = om.build_instance(network, image, [0], om.Formulation(loss="hinge", margin=3.0), bounds=bounds)
        for variable, value in zip(instance.s.values(), (1.0, 1.0, 0.8), strict=True):
            variable.fix(value)
        logits.append(om.solve_instance(instance, om.Solver(tolerance=1e-7)).logits)
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-7)
