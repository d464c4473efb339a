"""Pruned modules: removed, masked, and the network without the units are one function."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from same_function import REBUILT, assert_same_function, count, images_for
from thinned import examples
from torch import nn

from oamip_model import read_network
from oamip_model.pruning import baseline_scores, prune, prune_with_report

Case = tuple[str, nn.Module, tuple[int, ...]]


@pytest.mark.thinned(20)
@pytest.mark.parametrize(("method", "amount"), [("random", 0.3), ("weight-norm", 0.6)])
def test_removed_masked_and_replayed_logits_are_equal(case: Case, network_of: Any, method: Any, amount: float) -> None:
    name, module, _ = case
    network = network_of(name)
    scores = baseline_scores(network, method, seed=2)
    before = copy.deepcopy(module.state_dict())
    smaller, report = prune_with_report(module, scores, amount=amount, network=network)
    masked, masked_report = prune_with_report(module, scores, amount=amount, mode="mask", network=network)
    keep = {group.name: np.ones(group.size) for group in network.groups}
    for group, units in report.removed.items():
        keep[group][units] = 0.0
    assert any(len(units) for units in report.removed.values())
    assert_same_function(smaller, network, keep)
    assert_same_function(masked, network, keep)
    assert report.rebuilt == (name in REBUILT)
    assert report.parameters_after == count(smaller) < count(module) == report.parameters_before
    assert masked_report.parameters_after == count(smaller)
    if name not in REBUILT:
        assert [p.shape for p in masked.parameters()][:1] == [p.shape for p in module.parameters()][:1]
    for key, value in module.state_dict().items():
        assert torch.equal(value, before[key])
    if name != "grouped":
        assert not report.zeroed


@pytest.mark.parametrize("name", ["mlp-norm", "max-pool", "pool-first", "residual", "norm-after-addition", "nested"])
@pytest.mark.parametrize("mode", ["remove", "mask"])
def test_a_unit_with_score_0_gives_0_bias_and_shift_included(module_of: Any, name: str, mode: Any) -> None:
    module, shape = module_of(name)
    # Shifts so large that a unit that is not removed whole would show.
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.running_mean.sub_(3.0)
    network = read_network(module, shape)
    for group in network.groups:
        scores = {g.name: np.ones(g.size) for g in network.groups}
        scores[group.name][:2] = 0.0
        result = prune(module, scores, threshold=0.5, network=network, mode=mode)
        assert_same_function(result, network, scores)


def test_masks_are_torch_masks_and_survive_training(module_of: Any) -> None:
    module, shape = module_of("max-pool")
    network = read_network(module, shape)
    scores = {g.name: np.ones(g.size) for g in network.groups}
    scores["0.0"][[0, 2]] = 0.0
    masked = prune(module, scores, threshold=0.5, network=network, mode="mask")
    assert all(torch.nn.utils.prune.is_pruned(masked.get_submodule(path)) for path in ("0.0", "0.1"))
    optimiser = torch.optim.SGD(masked.parameters(), lr=0.1)
    masked(torch.tensor(images_for(shape))).square().sum().backward()
    optimiser.step()
    masked(torch.tensor(images_for(shape)))
    for path in ("0.0", "0.1"):
        part = masked.get_submodule(path)
        assert not part.weight[[0, 2]].any()
        assert not part.bias[[0, 2]].any()
        assert part.weight[[1, 3]].all()


def test_nothing_below_the_threshold_leaves_the_module_equal(module_of: Any) -> None:
    module, shape = module_of("residual")
    network = read_network(module, shape)
    smaller, report = prune_with_report(module, {g.name: np.ones(g.size) for g in network.groups}, threshold=0.5,
                                        network=network)  # fmt: skip
    assert report.parameters_share == report.units_share == 0
    assert all(torch.equal(a, b) for a, b in zip(smaller.parameters(), module.parameters(), strict=True))


@settings(deadline=None, derandomize=True, max_examples=examples(10, 25))
@given(name=st.sampled_from(["conv", "residual", "depthwise", "grouped", "nested"]), seed=st.integers(0, 10**6))
def test_any_choice_of_units_can_be_removed(network_of: Any, module_of: Any, name: str, seed: int) -> None:
    (module, _), network = module_of(name), network_of(name)
    random = np.random.default_rng(seed)
    scores = {g.name: random.integers(0, 2, g.size).astype(float) for g in network.groups}
    smaller, report = prune_with_report(module, scores, threshold=0.5, network=network)
    keep = {name: np.array(values) for name, values in scores.items()}
    for group, unit in report.forced:
        keep[group][unit] = 1.0
    assert_same_function(smaller, network, keep)
