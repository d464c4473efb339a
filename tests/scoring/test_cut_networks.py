"""What is computed of a network that is cut already is computed of the smaller network, with the same results."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning.conftest import NETWORKS, build

import oamip_model as om
from oamip_model.refit.slim import Slim
from oamip_model.scoring.layerwise.heads import columns
from oamip_model.scoring.layerwise.losses import summed_loss
from oamip_model.scoring.layerwise.spent import Spent
from oamip_model.scoring.layerwise.task import measure
from oamip_model.torchnet.layers import TorchLayers


def problem(kind: str):
    network = om.read_network(*build(kind))
    images = np.random.default_rng(0).normal(size=(12, *network.input_shape))
    labels = np.arange(12) % network.classes
    pick = np.random.default_rng(1)
    masks = {}
    for g, group in enumerate(network.groups):
        masks[g] = (pick.uniform(size=group.size) < 0.6).astype(float)
        masks[g][0] = 1.0
    return network, images, labels, masks


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_columns_of_the_smaller_network_are_those_of_the_masked_one(kind, monkeypatch):
    network, images, labels, masks = problem(kind)
    layers = TorchLayers(network, dtype=torch.float64)
    for group in masks:
        keep = {g: torch.as_tensor(mask) for g, mask in masks.items() if g != group}
        at = torch.as_tensor(masks[group])
        found = columns.pattern_columns(layers, images, labels, group, keep, at)
        with monkeypatch.context() as patch:
            patch.setattr(columns, "_without_cut", lambda layers, group, keep: (layers, group, keep))
            wanted = columns.pattern_columns(layers, images, labels, group, keep, at)
        assert torch.allclose(found.g, wanted.g, atol=1e-9)
        assert torch.allclose(found.base, wanted.base, atol=1e-9)


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_the_smaller_network_is_measured_like_the_masked_one(kind, monkeypatch):
    network, images, labels, masks = problem(kind)
    layers, loss = TorchLayers(network, dtype=torch.float64), summed_loss("cross-entropy")
    found = measure(layers, images, labels, masks, loss)
    monkeypatch.setattr(Slim, "has_all_layers", False)
    wanted = measure(layers, images, labels, masks, loss)
    assert found == pytest.approx(wanted, rel=1e-9)


def test_a_mask_without_any_unit_is_measured_too():
    network, images, labels, _ = problem("conv")
    none = {0: np.zeros(network.groups[0].size)}
    found = measure(TorchLayers(network), images, labels, none, summed_loss("cross-entropy"))
    assert np.isfinite(found.loss)


def test_seconds_are_told_by_stage_and_add_up(monkeypatch):
    network, images, labels, _ = problem("mlp")
    options = om.Forward(amount=0.5, exchanges=om.Exchanges(2, least_images=1))
    scores = om.score(network, images, labels, options)
    assert {"columns", "solve", "replay", "comparisons", "exchanges"} <= set(scores.seconds)
    # The programs that a sweep solved count, and so do those whose cut was not taken.
    once = sum(sum(program.seconds.values()) for program in scores.programs)
    assert sum(scores.seconds.values()) > once


def test_a_rest_makes_stages_add_up_to_the_whole():
    spent = Spent()
    spent.add({"solve": 2.0, "columns": 1.0})
    spent.rest("other", 3.5)
    assert sum(spent.values()) == pytest.approx(3.5)
    spent.rest("other", 3.0)
    assert sum(spent.values()) == pytest.approx(3.5)
