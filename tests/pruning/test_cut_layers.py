"""Which units leave which layers: groups, grouped convolutions, shared weights, and the last unit of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from same_function import assert_same_function, count
from torch import nn

from oamip_model import read_network
from oamip_model.pruning import baseline_scores, prune, prune_with_report, to_module

Case = tuple[str, nn.Module, tuple[int, ...]]


def test_removed_units_are_gone_from_every_layer(case: Case, network_of: Any) -> None:
    name, module, shape = case
    network = network_of(name)
    smaller, report = prune_with_report(module, baseline_scores(network, "random"), amount=0.5, network=network)
    again = read_network(smaller, shape)
    sizes = [group.size for group in again.groups]
    left = [g.size - len(report.removed[g.name]) + len(report.zeroed.get(g.name, ())) for g in network.groups]
    assert sizes == left, name


def test_a_single_unit_saves_what_its_group_says() -> None:
    torch.manual_seed(0)
    convolutional = nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Conv2d(3, 4, 2, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(36, 3)
    ).eval()
    for module, shape in (
        (nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3)).eval(), (6,)),
        (convolutional, (1, 6, 6)),
    ):
        network = read_network(module, shape)
        for group in network.groups:
            scores = {g.name: np.ones(g.size) for g in network.groups}
            scores[group.name][1] = 0.0
            smaller = prune(module, scores, threshold=0.5, network=network)
            assert count(module) - count(smaller) == group.parameters[1]


def test_grouped_convolution_is_cut_evenly_and_the_rest_is_zeroed_and_named(module_of: Any) -> None:
    module, shape = module_of("grouped")  # 1 to 6 channels, then 6 to 8 in two groups
    network = read_network(module, shape)
    first, second = (group.name for group in network.groups)
    scores = {first: np.array([0, 1, 0, 0, 1, 1.0]), second: np.array([0, 0, 1, 1, 0, 1, 1, 1.0])}
    smaller, report = prune_with_report(module, scores, threshold=0.5, network=network)
    convolutions = [part for part in smaller.modules() if isinstance(part, nn.Conv2d)]
    # Inputs 0 and 3 have the same place in their groups; outputs leave one from each group.
    assert [part.out_channels for part in convolutions] == [4, 6]
    assert {name: units.tolist() for name, units in report.zeroed.items()} == {first: [2], second: [1]}
    assert_same_function(smaller, network, scores)
    assert "zeroed" in report.summary()


def test_a_grouped_convolution_that_cannot_be_cut_is_zeroed_whole(module_of: Any) -> None:
    module, shape = module_of("grouped")
    network = read_network(module, shape)
    first, second = (group.name for group in network.groups)
    scores = {first: np.array([0, 1, 1, 1, 1, 1.0]), second: np.ones(8)}
    smaller, report = prune_with_report(module, scores, threshold=0.5, network=network)
    assert report.zeroed[first].tolist() == [0]
    assert not report.rebuilt
    assert report.parameters_after == report.parameters_before
    assert_same_function(smaller, network, scores)


def test_residual_group_is_cut_in_all_of_its_layers(module_of: Any) -> None:
    module, shape = module_of("projection")
    network = read_network(module, shape)
    group = next(g for g in network.groups if len(g.producers) == 3)
    scores = {g.name: np.ones(g.size) for g in network.groups}
    scores[group.name][[1, 4]] = 0.0
    smaller = prune(module, scores, threshold=0.5, network=network)
    assert [smaller.get_submodule(name).out_channels for name in group.producers] == [4, 4, 4]
    assert smaller.bn2.num_features == 4
    assert smaller.conv1.out_channels == 5


def test_one_unit_of_each_layer_stays_and_is_reported(module_of: Any) -> None:
    module, shape = module_of("mlp")
    network = read_network(module, shape)
    smaller, report = prune_with_report(module, {"0": np.zeros(8), "2": np.zeros(5)}, threshold=1.0, network=network)
    assert [p.shape[0] for p in smaller.parameters()] == [1, 1, 1, 3, 3]
    assert {name for name, _ in report.forced} == {"0", "2"}
    assert "best of its layer" in report.summary()


@pytest.mark.parametrize("name", ["shared", "tied"])
def test_shared_weights_are_counted_once(module_of: Any, name: str) -> None:
    module, shape = module_of(name)
    network = read_network(module, shape)
    group = network.groups[0]
    scores = {g.name: np.ones(g.size) for g in network.groups}
    scores[group.name][0] = 0.0
    assert count(to_module(network)) - count(module) in (0, 5)  # a bias that is used twice is two
    smaller, report = prune_with_report(module, scores, threshold=0.5, network=network)
    assert report.parameters_after == count(smaller) < count(module)
