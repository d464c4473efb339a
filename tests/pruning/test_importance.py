"""Torch-Pruning's own pruners, given scores as their importance, remove the units that this package removes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch_pruning

import oamip_model as om
from oamip_model.errors import InputError

SHAPE = (3, 16, 16)


def distinct_scores(network, seed):
    """Scores without ties, so that every ranking is the same."""
    rng = np.random.default_rng(seed)
    return {group.name: rng.permutation(group.size) / group.size for group in network.groups}


def pruned_by_torch_pruning(module, scores, network, share, shape=SHAPE):
    last = [part for part in module.modules() if isinstance(part, torch.nn.Linear)][-1]
    importance = om.ScoreImportance(module, scores, network)
    pruner = torch_pruning.BasePruner(
        module, torch.zeros(1, *shape), importance, pruning_ratio=share, ignored_layers=[last]
    )
    pruner.step()
    return module.eval()


class Flattened(torch.nn.Module):
    """Convolutions whose channels a dense layer reads at many places, two of them added up."""

    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.Conv2d(8, 8, 3, padding=1)
        self.pool, self.last = torch.nn.AvgPool2d(4), torch.nn.Linear(8 * 16, 5)

    def forward(self, images):
        """Logits of images (n, 3, 16, 16)."""
        hidden = self.first(images).relu()
        return self.last(self.pool((self.second(hidden) + hidden).relu()).flatten(1))


@pytest.mark.parametrize("make", [lambda: om.make_network("resnet20-0.5", SHAPE), Flattened])
def test_a_pruner_of_torch_pruning_removes_the_units_of_low_score(make):
    torch.manual_seed(0)
    module = make().eval()
    network = om.read_network(module, SHAPE)
    scores = distinct_scores(network, seed=1)
    images = torch.rand(4, *SHAPE)
    expected = om.prune(module, scores, amount=0.25, network=network)(images)
    found = pruned_by_torch_pruning(module, scores, network, 0.25)(images)
    assert torch.allclose(found, expected, atol=1e-5)
    assert sum(p.numel() for p in module.parameters()) < network.parameters


def test_a_second_step_would_take_other_units_and_is_refused():
    module = Flattened().eval()
    network = om.read_network(module, SHAPE)
    scores = distinct_scores(network, seed=2)
    importance = om.ScoreImportance(module, scores, network)
    pruner = torch_pruning.BasePruner(
        module, torch.zeros(1, *SHAPE), importance, pruning_ratio=0.5, iterative_steps=2, ignored_layers=[module.last]
    )
    pruner.step()
    with pytest.raises(InputError, match="units and 8 scores; accepted is one step of pruning"):
        pruner.step()


def test_scores_of_another_network_are_refused():
    module = Flattened().eval()
    network = om.read_network(module, SHAPE)
    with pytest.raises(InputError):
        om.ScoreImportance(module, {"first": [0.5] * 7}, network)
    other = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3))
    with pytest.raises(InputError, match="module: got one without first"):
        om.ScoreImportance(other, distinct_scores(network, 0), network)
