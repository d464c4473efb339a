"""Decoupled greedy training: what learns from what, seeds, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.training import auxiliary_classifier


@pytest.fixture(scope="module")
def few() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = np.arange(61) % 3
    return rng.normal(size=(61, 1, 8, 8)) + labels[:, None, None, None] * 0.7, labels


def chain() -> nn.Sequential:
    torch.manual_seed(0)
    first = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    return nn.Sequential(first, nn.Flatten(), nn.Linear(36, 6), nn.ReLU(), nn.Linear(6, 3)).eval()


def test_heads_are_named_by_their_layers_and_fit_what_the_layers_give(few):
    module = chain()
    result = om.train_greedy(module, *few, epochs=8, batch_size=20, threads=1)
    network = om.read_network(module, (1, 8, 8))
    assert list(result.heads) == [group.name for group in network.groups] == ["0.0", "2"]
    outputs = network.activations(few[0])
    for group in network.groups:
        head = om.read_network(result.heads[group.name], outputs[group.layers[-1]].shape[1:])
        right = (head.replay(outputs[group.layers[-1]]).argmax(axis=1) == few[1]).mean()
        assert right == pytest.approx(result.head_accuracy[group.name], abs=0.02)
    assert result.accuracy == om.accuracy(module, *few) > 0.6
    assert len(result.losses) == 8
    assert result.losses[-1] < result.losses[0]
    assert (result.recipe.seed, result.recipe.epochs) == (0, 8)
    assert not any(part.training for part in module.modules())


def test_no_gradient_passes_from_one_part_to_another(few):
    # With the output layer alone to be trained, the others stay as they were, and so do their classifiers' inputs.
    trained = {}
    for epochs in (1, 2):
        module = chain()
        for name, parameter in module.named_parameters():
            parameter.requires_grad = name.startswith("4.")
        before = {name: p.detach().clone() for name, p in module.named_parameters()}
        om.train_greedy(module, *few, epochs=epochs, batch_size=20, threads=1)
        trained[epochs] = {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}
    assert trained[1] == trained[2] == {"4.weight", "4.bias"}
    # The first layer is moved by its own classifier alone: what stands behind it changes nothing.
    firsts = []
    for width in (6, 9):
        module = nn.Sequential(chain()[0], nn.Flatten(), nn.Linear(36, width), nn.ReLU(), nn.Linear(width, 3)).eval()
        om.train_greedy(module, *few, epochs=2, batch_size=20, threads=1)
        firsts.append(module[0][0].weight.detach())
    assert torch.equal(*firsts)


def test_a_seed_gives_the_same_weights(few):
    found = []
    for seed in (3, 3, 4):
        module = chain()
        heads = om.train_greedy(module, *few, epochs=1, batch_size=20, seed=seed, threads=1).heads
        found.append((module[4].weight.detach(), heads["2"][0].weight.detach()))
    assert all(torch.equal(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(found[0], found[2], strict=True))


@pytest.mark.parametrize("side", [1, 3, 8, 17])
def test_an_auxiliary_classifier_reads_as_a_network(side):
    head = auxiliary_classifier((5, side, side), 4, seed=1)
    x = np.random.default_rng(0).normal(size=(3, 5, side, side))
    network = om.read_network(head, (5, side, side))
    with torch.no_grad():
        np.testing.assert_allclose(network.replay(x), head(torch.tensor(x, dtype=torch.float32)), atol=1e-4)
    relus = sum(layer.size for layer in network.layers if layer.activation == "relu")
    assert relus == 16 * math.ceil(side / 4) ** 2 + 32


@pytest.mark.parametrize(
    ("module", "culprit"),
    [
        (nn.Linear(64, 3), "module: got a Linear"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), "module: a hidden layer"),
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 3), nn.ReLU()), "module: a hidden layer"),
        (nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(64, 3)), "module: no layer with weights"),
    ],
)
def test_what_is_no_chain_is_refused(few, module, culprit):
    with pytest.raises(om.InputError, match=f"^{culprit}"):
        om.train_greedy(module.eval(), *few)


def test_options_and_weights_that_leave_the_numbers(few):
    with pytest.raises(om.InputError, match=r"^epochs: "):
        om.train_greedy(chain(), *few, epochs=0)
    with pytest.raises(om.InputError, match=r"^early_stop: "):
        om.train_greedy(chain(), *few, early_stop=2)
    module = chain()
    before = module[4].weight.detach().clone()
    with pytest.raises(om.OamipError, match="NaN or infinite"):
        om.train_greedy(module, *few, epochs=3, learning_rate=1e30, optimizer="sgd")
    assert torch.equal(module[4].weight, before)
