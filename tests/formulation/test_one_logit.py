"""Networks with one logit: the logistic loss of two classes and the squared error of a regression."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.formulation.losses import loss_named
from oamip_model.solving import gated_logits

ONE = ("logistic", "squared")


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(2)
    made = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 1)).eval()
    with torch.no_grad():
        for part in made.parameters():
            part.mul_(2.0)
    return made


@pytest.fixture(scope="module")
def network(module) -> om.Network:
    return om.read_network(module, input_shape=(3,))


def data_for(loss: str, network: om.Network, count: int = 5) -> om.Dataset:
    images = np.random.default_rng(0).random((count, 3))
    o = network.replay(images)[:, 0]
    labels = (o > np.median(o)).astype(np.float64) if loss == "logistic" else o + 0.1 * np.sin(40 * o)
    return om.Dataset(images, labels, source="made", classes=1)


def brute(network, data, loss, weight):
    """The least objective over all binary scores, with the sparsity "mean"."""
    units, judged = sum(group.size for group in network.groups), loss_named(loss)
    found = []
    for scores in itertools.product((0.0, 1.0), repeat=units):
        logits = gated_logits(network, data.images, network.by_group(np.array(scores)), "switch")
        found.append(weight * judged.values(logits, data.labels, 0.0).mean() + np.mean(scores))
    return min(found)


@pytest.mark.parametrize("weight", [1.0, 5.0])
@pytest.mark.parametrize("loss", ONE)
def test_the_optimum_over_binary_scores_is_that_of_brute_force(network, loss, weight):
    data = data_for(loss, network)
    program = om.Formulation(gate="switch", scores="binary", sparsity="mean", loss=loss, weight=weight)
    expected = brute(network, data, loss, weight)
    for solver in ("highs", "cbc"):
        scores = om.score(network, data, method=om.Joint(program), solver=om.Solver(solver, tolerance=1e-6))
        assert scores.proved
        assert scores.objective == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("search", ["tree"])
@pytest.mark.parametrize("loss", ONE)
def test_the_search_tree_finds_the_same(network, loss, search):
    data = data_for(loss, network)
    program = om.Formulation(gate="switch", scores="binary", sparsity="mean", loss=loss)
    scores = om.score(network, data, method=om.Joint(program, search=search))
    assert scores.objective == pytest.approx(brute(network, data, loss, 5.0), rel=2e-4)


@pytest.mark.parametrize("loss", ONE)
def test_the_last_layers_convex_program_is_the_best_fractional_score(network, loss):
    # What follows the last scored layer is affine, so the logit is affine in its scores.
    data = data_for(loss, network, 12)
    scores = om.score(network, data, method=om.Decoupled(loss=loss, weight=3.0, sparsity="mean"))
    s = scores.by_layer[network.groups[-1].name]
    judged = loss_named(loss)

    def cost(of):
        both = {network.groups[0].name: np.ones(3), network.groups[1].name: of}
        logits = gated_logits(network, data.images, both, "product") if False else product(network, data.images, both)
        return 3.0 * judged.values(logits, data.labels, 0.0).mean() + of.mean()

    draw = np.random.default_rng(1)
    others = [np.clip(s + step, 0, 1) for step in draw.normal(scale=0.3, size=(400, 3))] + list(draw.random((400, 3)))
    assert cost(s) <= min(map(cost, others)) * (1 + 1e-3)


def product(network, images, scores):
    """Logits of a dense network whose activations are multiplied by their scores."""
    h = images
    for k, layer in enumerate(network.layers):
        a = h @ layer.terms[0].map.weight.T + layer.bias
        h = np.maximum(a, 0) * scores[layer.name] if k < len(network.layers) - 1 else a
    return h


@pytest.mark.parametrize("method", [om.Forward, om.Backward, om.Decoupled])
@pytest.mark.parametrize("loss", ONE)
def test_every_order_of_layers_scores_and_prunes_one_logit(module, network, loss, method):
    data = data_for(loss, network, 40)
    scores = om.score(module, data, method=method(loss=loss, amount=0.34))
    smaller = om.prune(module, scores, amount=0.34)
    assert smaller(torch.rand(2, 3)).shape == (2, 1)


def test_exchanges_do_not_raise_the_loss_of_one_logit(network):
    data = data_for("logistic", network, 60)
    of = {name: om.score(network, data, method=om.Forward(loss="logistic", amount=0.34, exchanges=n))
          for name, n in (("with", 20), ("without", 0))}  # fmt: skip
    cost = {}
    for name, scores in of.items():
        keep = {g.name: (scores.by_layer[g.name] > np.sort(scores.by_layer[g.name])[0]) * 1.0 for g in network.groups}
        logits = product(network, data.images, keep)
        wrong = ((logits[:, 0] > 0) != data.labels).sum()
        cost[name] = wrong + loss_named("logistic").values(logits, data.labels, 0.0).sum()
    assert cost["with"] <= cost["without"] + 1e-9


@pytest.mark.parametrize("level", ["least-squares", "output", "outgoing"])
@pytest.mark.parametrize("loss", ONE)
def test_a_refit_takes_one_logit(module, network, loss, level):
    data = data_for(loss, network, 40)
    scores = om.score(module, data, method=om.Forward(loss=loss, amount=0.34))
    plain = om.prune(module, scores, amount=0.34)
    fitted = om.prune(module, scores, amount=0.34, refit=om.Refit(level=level), images=data)
    x = torch.as_tensor(data.images, dtype=torch.float32)
    with torch.no_grad():
        away = [float((smaller(x) - module(x)).square().mean()) for smaller in (plain, fitted)]
    assert away[1] <= away[0] + 1e-9


@pytest.mark.parametrize(
    ("method", "labels", "line"),
    [
        (om.Forward(), [0, 1], "loss: cross-entropy is over classes, and the network has one logit"),
        (om.Forward(loss="hinge"), [0, 1], "loss: hinge is over classes"),
        (om.Forward(loss="logistic"), [0, 2], "labels: label 1 is 2.0"),
        (om.Forward(loss="logistic", head="linear"), [0, 1], "head: linear is trained on classes"),
        (om.Joint(om.Formulation(loss="margin")), [0, 1], "loss: margin is over classes"),
        (om.Joint(om.Formulation(loss="logistic")), [0.5, 1], "labels: label 0 is 0.5"),
    ],
)
def test_what_does_not_fit_one_logit_is_one_line(network, method, labels, line):
    with pytest.raises(InputError, match=line):
        om.score(network, np.ones((2, 3)), labels, method=method)


def test_losses_of_one_logit_refuse_classes():
    classes = om.read_network(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 4)).eval(), input_shape=(3,))
    with pytest.raises(InputError, match="squared takes a network with one logit, and this one has 4"):
        om.score(classes, np.ones((2, 3)), [0, 1], method=om.Forward(loss="squared"))


def test_far_logits_neither_overflow_nor_lose_the_loss():
    o, y = np.array([[-900.0], [900.0], [30.0]]), np.array([1.0, 0.0, 1.0])
    loss = loss_named("logistic")
    np.testing.assert_allclose(loss.values(o, y, 0.0), [900.0, 900.0, np.log1p(np.exp(-30.0))], rtol=1e-9)
    gradient, level = loss.tangents(o, y, 0.0)
    assert ((np.abs(gradient) > 1e-9) | (gradient == 0)).all()
    for other in np.linspace(-50, 50, 201):
        at = np.full((3, 1), other)
        assert (loss.values(at, y, 0.0) >= (gradient * at).sum(axis=1) + level - 1e-9).all()
