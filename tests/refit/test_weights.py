"""Weights of images in refits and in elimination: a whole weight is an image that is there so often."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning.conftest import build
from refit_masks import masks

import oamip_model as om
from oamip_model.refit.elimination import units
from oamip_model.refit.importance import Importance
from oamip_model.refit.moments import Design, moments
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import image_stream
from oamip_model.refit.walk import Walk

NONE = Importance(torch.zeros(1), torch.zeros(1))
"""The importance of a layer on which the answer does not depend."""


def two_sets(network, count=60):
    """Images with weights, and the same images as often as their weights say."""
    pick = np.random.default_rng(0)
    x, often = pick.normal(size=(count, *network.input_shape)), pick.integers(0, 4, count)
    y = pick.integers(0, network.classes, count)
    given = om.Dataset(x, y, classes=network.classes, weights=often * 2.5e-7)
    return given, om.Dataset(np.repeat(x, often, axis=0), np.repeat(y, often), classes=network.classes)


def weights_of(network):
    return [term.map.trained.weight for layer in network.layers for term in layer.terms if term.map.trained is not None]


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("size", [1e-8, 1.0, 1e8])
def test_moments_with_weights_are_those_of_repeated_images(kind, size):
    network = om.read_network(*build(kind))
    found = []
    for data in two_sets(network):
        data = om.Dataset(data.images * size, data.labels, classes=data.classes, weights=data.weights)
        walk = Walk(network, slim_network(network, masks(network, 1)), image_stream(network, data))
        design = next(d for k in range(len(network.layers)) if (d := Design(walk.slim, k)).refits)
        (system, *_) = moments(design, walk, walk.inputs(design.k), walk.stream.count, rows=10**6, seed=0)
        found.append({name: getattr(system, name) / system.count for name in ("x", "e", "t", "xx", "xe", "ee", "tt")})
    for name, wanted in found[1].items():
        torch.testing.assert_close(found[0][name], wanted, rtol=1e-5, atol=1e-6 * float(wanted.abs().max()))


@pytest.mark.parametrize("kind", ["mlp", "conv"])
@pytest.mark.parametrize("level", ["least-squares", "output"])
def test_a_refit_with_weights_is_that_of_repeated_images(kind, level):
    network = om.read_network(*build(kind))
    asked = om.Refit(level=level, rows=10**6, tolerance=1e-9, ridge=1e-2)
    results = [om.refit_network(network, masks(network, 1), data, asked) for data in two_sets(network)]
    plain = om.refit_network(network, masks(network, 1), two_sets(network)[0].images, asked)[0]
    for one, two in zip(weights_of(results[0][0]), weights_of(results[1][0]), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-3 * np.abs(two).max())
    assert any(np.abs(a - b).max() > 2e-2 for a, b in zip(weights_of(results[0][0]), weights_of(plain), strict=True))
    assert results[0][1].stages[-1].loss == pytest.approx(results[1][1].stages[-1].loss, rel=1e-2)


def test_passes_over_outgoing_weights_lower_the_weighted_divergence():
    network = om.read_network(*build("mlp"))
    pick = np.random.default_rng(0)
    x = pick.normal(size=(400, *network.input_shape))
    # The first half of the space counts a thousand times as much, and only its own answers can be met well.
    weights = np.where(x.reshape(len(x), -1)[:, 0] > 0, 1.0, 1e-3)
    data = om.Dataset(x, np.zeros(len(x), dtype=int), classes=network.classes)
    asked = om.Refit(level="outgoing", passes=10, seed=0)
    keep = masks(network, 1)
    divergence = []
    for given in (data, data.weighted(images=weights)):
        refitted, report = om.refit_network(network, keep, given, asked)
        trained, cut = network.replay(x), refitted.replay(x, {name: np.asarray(m, float) for name, m in keep.items()})
        p, q = (np.exp(o - np.logaddexp.reduce(o, axis=1, keepdims=True)) for o in (trained, cut))
        divergence.append(float((weights * (p * np.log(p / q)).sum(1)).sum() / weights.sum()))
        assert report.outgoing.after <= report.outgoing.before
    assert divergence[1] < divergence[0]


def test_elimination_with_weights_is_that_of_repeated_images(monkeypatch):
    # The classes of its importance are drawn image by image. Without it outputs count by their variance.
    monkeypatch.setattr(units, "output_importance", lambda network, *_: [NONE] * len(network.layers))
    network = om.read_network(*build("mlp"))
    one, two = (om.score(network, data, method=om.Elimination(amount=0.5)) for data in two_sets(network))
    plain = om.score(network, two_sets(network)[0].images, method=om.Elimination(amount=0.5))
    for name, error in one.options["error"].items():
        assert error == pytest.approx(two.options["error"][name], rel=1e-4)
        assert error != pytest.approx(plain.options["error"][name], rel=1e-3)
    assert all((one.by_layer[name] == two.by_layer[name]).all() for name in one.by_layer)


def test_importance_counts_images_by_their_weights():
    network = om.read_network(*build("mlp"))
    given, _ = two_sets(network)
    alone = [
        units.output_importance(network, image_stream(network, given.images[at]), 0) for at in (given.weights > 0,)
    ]
    even = om.Dataset(given.images, given.labels, classes=given.classes, weights=(given.weights > 0) * 5.0)
    for one, two in zip(alone[0], units.output_importance(network, image_stream(network, even), 0), strict=True):
        torch.testing.assert_close((one.apart, one.alike), (two.apart, two.alike))
