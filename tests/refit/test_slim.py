"""A network without its cut units is the network with them masked, and widening brings its weights back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pruning.conftest import NETWORKS, build
from refit_masks import masks
from torch import nn

import oamip_model as om
from oamip_model.network.types import Network
from oamip_model.refit import slim as slim_module
from oamip_model.refit.slim import frozen_terms, slim_network

KINDS = sorted(NETWORKS)


def replayed(network: Network, keep: dict[str, np.ndarray], images: np.ndarray) -> np.ndarray:
    return network.replay(images, {name: mask.astype(float) for name, mask in keep.items()})


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_the_logits_of_the_masked_network(kind, seed):
    module, shape = build(kind)
    network = om.read_network(module, shape)
    keep = masks(network, seed)
    slim = slim_network(network, keep)
    images = np.random.default_rng(seed).normal(size=(5, *shape))
    assert not slim.gates
    assert sum(layer.size for layer in slim.network.layers) <= sum(layer.size for layer in network.layers)
    np.testing.assert_allclose(slim.network.replay(images), replayed(network, keep, images), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_widened_weights_are_those_of_the_smaller_network(kind):
    module, shape = build(kind)
    network = om.read_network(module, shape)
    keep = masks(network, 3)
    slim = slim_network(network, keep)
    pick = np.random.default_rng(0)
    frozen, layers = frozen_terms(network), []
    for k, layer in enumerate(slim.network.layers):
        terms = []
        for number, term in enumerate(layer.terms):
            if (k, number) not in frozen:
                # Only the entries that the map has: a convolution with groups has none between them.
                weight = term.map.full_weight
                made, read = network.layers[k].terms[number].map.channel_blocks
                allowed = made[slim.rows[k, number]][:, None] == read[slim.columns[k, number]]
                noise = pick.normal(size=weight.shape) * allowed.reshape(allowed.shape + (1,) * (weight.ndim - 2))
                term = replace(term, map=term.map.with_full_weight(weight + noise))
            terms.append(term)
        layers.append(replace(layer, terms=tuple(terms)))
    changed = replace(slim.network, layers=tuple(layers))
    images = pick.normal(size=(5, *shape))
    wide = slim.widen(changed)
    np.testing.assert_allclose(replayed(wide, keep, images), changed.replay(images), rtol=1e-9, atol=1e-9)
    same = slim.widen(slim.network)
    assert same.fingerprint == network.fingerprint


class ReadTwice(nn.Module):
    """A sum goes through two ReLUs, one of which no score can gate, and a pooling of the other's units is read."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 1)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a = self.conv1(x)
        return self.fc((torch.relu(a) + torch.relu(self.conv2(torch.relu(a)))).mean((2, 3)))


def test_units_that_an_addition_ties_go_together():
    torch.manual_seed(0)
    network = om.read_network(ReadTwice().eval(), (1, 5, 5))
    keep = masks(network, 0)
    images = np.random.default_rng(0).normal(size=(4, 1, 5, 5))
    slim = slim_network(network, keep)
    cut = slim.network.replay(images, None if not slim.gates else {k: m.astype(float) for k, m in keep.items()})
    np.testing.assert_allclose(cut, replayed(network, keep, images), rtol=1e-9, atol=1e-9)


def test_layers_behind_nothing_but_the_image_are_frozen():
    module, shape = build("residual")
    network = om.read_network(module, shape)
    frozen = {network.layers[k].terms[n].name for k, n in frozen_terms(network)} - {""}
    assert frozen == {"stem"}


def test_shared_weights_are_frozen():
    module, shape = build("shared")
    network = om.read_network(module, shape)
    assert {network.layers[k].terms[n].name for k, n in frozen_terms(network)} == {"first", "shared"}


@pytest.mark.parametrize("kind", ["mlp", "residual", "projection", "average-pool"])
def test_a_refit_with_masks_is_that_with_units_taken_out(kind, monkeypatch):
    module, shape = build(kind)
    network = om.read_network(module, shape)
    keep, images = masks(network, 1), np.random.default_rng(0).normal(size=(200, *shape))
    every = om.Refit(rows=10**6)
    slim, _ = om.refit_network(network, keep, images, every)

    def refuse(*_):
        raise slim_module._NotUniformError

    monkeypatch.setattr(slim_module, "_gone", refuse)
    assert slim_network(network, keep).gates
    masked, report = om.refit_network(network, keep, images, every)
    assert report.layers
    wanted = replayed(slim, keep, images)
    np.testing.assert_allclose(replayed(masked, keep, images), wanted, atol=1e-5 * np.abs(wanted).max())
