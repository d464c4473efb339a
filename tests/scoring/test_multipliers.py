"""Multipliers of single images' programs: their sum stays, and the programs promise more than before."""

from __future__ import annotations

import numpy as np
import pytest

from oamip_model.formulation import Formulation, cross_entropy, sparsity_weights
from oamip_model.scoring.joint import multipliers as room
from oamip_model.scoring.joint.multipliers import ImageMinima, ascend
from oamip_model.solving.registry import get_backend

WEIGHT = 5.0


@pytest.fixture(autouse=True)
def few_iterations(monkeypatch):
    monkeypatch.setattr(room, "_ITERATIONS", 4)
    monkeypatch.setattr(room, "_FIRST", 30)
    monkeypatch.setattr(room, "_STEPS", 15)


def minima(p, settings, time_limit=None):
    parts = [(p.images[k : k + 1], p.labels[k : k + 1]) for k in range(len(p.images))]
    return [ImageMinima(p.network, x, y, settings, np.ones(p.units), 0, time_limit) for x, y in parts]


def proved(p, prices):
    """Mean of the images' least objectives over all binary scores."""
    bits = np.array(list(p.all_binary()))
    logits = np.stack([p.network.replay(p.images, scores=p.split(one)) for one in bits])
    losses = np.stack([cross_entropy(one, p.labels) for one in logits])
    return (WEIGHT * losses + bits @ prices.T).min(axis=0).mean()


@pytest.mark.parametrize("name", ["dense", "residual"])
def test_the_images_prove_more_and_the_sum_stays(problem_of, monkeypatch, name):
    monkeypatch.setattr(room, "_MOVED", 1.0)
    p = problem_of(name, 1, 3)
    settings = Formulation(
        gate="switch", relaxation="hull", scores="binary", loss="cross-entropy", sparsity="mean", weight=WEIGHT
    )
    cost = sparsity_weights(p.network, "mean")
    pick = np.random.default_rng(2)
    begun = cost + 0.1 * pick.normal(size=(3, p.units))
    begun += cost - begun.mean(axis=0)
    found = ascend(minima(p, settings), begun, get_backend("highs"), None)
    np.testing.assert_allclose(found.mean(axis=0), cost, atol=1e-8)
    assert proved(p, found) > proved(p, begun) + 1e-3


def test_only_a_part_of_the_way_is_gone(problem_of, monkeypatch):
    p = problem_of("dense", 1, 2)
    settings = Formulation(
        gate="switch", relaxation="hull", scores="binary", loss="cross-entropy", sparsity="mean", weight=WEIGHT
    )
    begun = np.tile(sparsity_weights(p.network, "mean"), (2, 1))
    found = {}
    for share in (0.3, 1.0):
        monkeypatch.setattr(room, "_MOVED", share)
        found[share] = ascend(minima(p, settings), begun, get_backend("highs"), None) - begun
    assert np.abs(found[1.0]).max() > 0
    np.testing.assert_allclose(found[0.3], 0.3 * found[1.0], atol=1e-9)


def test_without_time_nothing_moves(problem_of):
    p = problem_of("dense", 1, 2)
    settings = Formulation(
        gate="subtractive", relaxation="hull", scores="continuous", loss="cross-entropy", sparsity="mean", weight=WEIGHT
    )
    begun = np.tile(sparsity_weights(p.network, "mean"), (2, 1))
    np.testing.assert_array_equal(ascend(minima(p, settings, 0.0), begun, get_backend("highs"), 0.0), begun)
