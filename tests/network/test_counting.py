"""Parameters and multiply-accumulates of a network, and of every choice of the units that are kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning.conftest import NETWORKS, build
from refit_masks import masks
from thinned import examples
from torch import nn

import oamip_model as om
from oamip_model.network.counting.choices import count_choices
from oamip_model.network.counting.owners import unit_owners
from oamip_model.scoring.select import Selection

UNEVEN = ("grouped",)
"""Masks of any units cannot be cut out of a convolution with groups."""


SCALED = ("norm-after-addition", "norm-after-flattening", "pool-first")
"""Their batch norm folds into no weights, and multiplies every activation."""


def by_hooks(module: nn.Module, shape: tuple[int, ...], norms: bool) -> int:
    """Multiply-accumulates of one image by torch's own shapes, in a module without functional layers."""
    found = []

    def count(part: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        found.append(part.weight.numel() * int(np.prod(output.shape[2:])))

    for part in module.modules():
        if isinstance(part, nn.Linear | nn.Conv2d):
            part.register_forward_hook(count)
        elif norms and isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.register_forward_hook(lambda part, inputs, output: found.append(output[0].numel()))
    with torch.no_grad():
        module(torch.zeros(2, *shape))
    return sum(found)


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"functional"}))
def test_multiply_accumulates_are_those_of_the_modules_that_torch_calls(name):
    module, shape = build(name)
    network = om.read_network(module, shape)
    assert network.macs == by_hooks(module, shape, name in SCALED)


def test_shared_weights_count_once_and_are_used_twice():
    module, shape = build("shared")
    network = om.read_network(module, shape)
    assert network.parameters == sum(p.numel() for p in module.parameters()) + 5  # its bias stands in both layers
    assert network.macs == 6 * 5 + 2 * 25 + 15


@pytest.mark.parametrize("name", sorted(set(NETWORKS) - set(UNEVEN)))
def test_the_count_of_a_choice_is_that_of_the_network_that_comes_out(name):
    module, shape = build(name)
    network = om.read_network(module, shape)
    drawn = [masks(network, seed) for seed in range(examples(1, 3))]
    whole = {group.name: np.ones(group.size, dtype=bool) for group in network.groups}
    counts = count_choices(network, {g: [whole[g], *(mask[g] for mask in drawn)] for g in whole})
    assert counts.at([0] * len(whole)) == network.size
    for number, mask in enumerate(drawn):
        smaller = om.prune(module, Selection(mask), network=network)
        assert counts.at([number + 1] * len(whole)) == om.read_network(smaller, shape).size
    # Groups need not have the same choice.
    mixed = {g: (whole if n % 2 else drawn[0])[g] for n, g in enumerate(whole)}
    smaller = om.prune(module, Selection(mixed), network=network)
    assert counts.at([(n + 1) % 2 for n in range(len(whole))]) == om.read_network(smaller, shape).size


def test_biases_that_are_left_as_zeros_count_as_none():
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        module[0].bias.copy_(torch.tensor([0.0, 1.0, 0.0]))
    network = om.read_network(module, (4,))
    keep = np.array([True, False, True])
    counts = count_choices(network, {"0": [keep]})
    smaller = om.prune(module, Selection({"0": keep}), network=network)
    assert counts.at([0]) == om.read_network(smaller, (4,)).size
    assert counts.at([0]).parameters == 2 * 4 + 2 * 2 + 2


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_the_units_of_scored_layers_are_their_own(name):
    module, shape = build(name)
    network = om.read_network(module, shape)
    owners = unit_owners(network)
    for layer, flat in zip(network.layers, owners.outputs, strict=True):
        if layer.group is not None and layer.units is not None:
            assert (flat == owners.starts[layer.group] + layer.units).all()
    assert (owners.outputs[-1] == -1).all()
