"""The levels after least squares: a convex output layer within its gap, and training that never does worse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning.conftest import build
from refit_masks import masks
from scipy.optimize import minimize
from torch import nn

import oamip_model as om
from oamip_model.refit import outgoing, shown
from oamip_model.refit.output import fit_output
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import image_stream
from oamip_model.refit.walk import Walk


def problem(kind: str, count: int = 200):
    module, shape = build(kind)
    network = om.read_network(module, shape)
    return network, np.random.default_rng(0).normal(size=(count, *shape)), masks(network, 1)


@pytest.mark.parametrize("kind", ["mlp", "conv", "residual", "average-pool", "grouped"])
def test_each_level_is_no_worse_than_the_one_before(kind):
    network, images, keep = problem(kind)
    _, report = om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=3))
    assert [stage.name for stage in report.stages] == ["removal", "least-squares", "output", "outgoing"]
    assert report.output is not None
    assert report.outgoing is not None
    assert report.output.after <= report.output.before
    assert 0 <= report.output.gap <= 1e-4
    assert report.outgoing.after <= report.outgoing.before
    assert report.outgoing.held_out == 20
    # The price of the change counts too, so that the divergence alone may exceed the objective by no more than that.
    assert report.stages[2].loss <= report.output.after + 1e-6
    assert report.stages[2].loss <= report.stages[1].loss + 1e-6
    text = report.summary()
    assert "outgoing" in text
    assert "nats of its optimum" in text


def test_the_gap_holds():
    network, images, keep = problem("mlp")
    walk = Walk(network, slim_network(network, keep), image_stream(network, images))
    features = walk.current.activations(images)[-2]
    before = walk.current.layers[-1]
    found = fit_output(walk, om.Refit(level="output", ridge=1e-2, tolerance=1e-9))
    loose = Walk(network, slim_network(network, keep), image_stream(network, images))
    rough = fit_output(loose, om.Refit(level="output", ridge=1e-2, tolerance=1e-3))
    assert rough.after - found.after <= rough.gap + 1e-12
    # The same program by another solver, from the definition.
    trained = network.replay(images)
    target = np.exp(trained - trained.max(1, keepdims=True))
    target /= target.sum(1, keepdims=True)
    z = features - features.mean(0)
    z = np.concatenate([z / np.sqrt((z**2).mean()), np.ones((len(z), 1))], axis=1)
    base = features @ before.terms[0].map.weight.T + before.bias

    def objective(v):
        logits = base + z @ v.reshape(z.shape[1], -1)
        log = logits - logits.max(1, keepdims=True)
        log = log - np.log(np.exp(log).sum(1, keepdims=True))
        return (target * (np.log(target) - log)).sum(1).mean() + 1e-2 / 2 * (v**2).sum()

    other = minimize(objective, np.zeros(z.shape[1] * 3), method="BFGS", options={"gtol": 1e-7})
    assert found.after == pytest.approx(other.fun, abs=1e-6)


def test_training_leaves_what_may_not_change():
    network, images, keep = problem("residual")
    refitted, _ = om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=2))
    assert refitted.layers[0].terms[0].map is network.layers[0].terms[0].map
    assert refitted.layers[0].bias is network.layers[0].bias


def test_the_same_seed_gives_the_same_weights():
    network, images, keep = problem("conv")
    prints = [
        om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=2, seed=seed))[0].fingerprint
        for seed in (3, 3, 4)
    ]
    assert prints[0] == prints[1] != prints[2]


def test_steps_of_training_are_a_share_of_the_weights_of_each_layer(monkeypatch):
    network, images, keep = problem("conv")
    first: list[list[float]] = []
    real = torch.optim.Adam.step

    def step(self):
        sizes = [float(entry["params"][0].detach().square().mean().sqrt()) for entry in self.param_groups]
        first.append([entry["lr"] / size for entry, size in zip(self.param_groups, sizes, strict=True)])
        return real(self)

    monkeypatch.setattr(torch.optim.Adam, "step", step)
    om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=1, learning_rate=0.01))
    assert len(first[0]) > 2
    assert first[0] == pytest.approx([first[0][0]] * len(first[0]), rel=1e-5)
    assert 0.0 < first[0][0] <= 0.01


@pytest.mark.parametrize("kind", ["conv", "residual"])
def test_the_price_of_hidden_layers_is_their_distance_as_a_share_of_their_variance(kind):
    network, images, keep = problem(kind, 50)
    walk = Walk(network, slim_network(network, keep), image_stream(network, images))
    x = torch.as_tensor(images, dtype=torch.float32)
    hidden = outgoing._Hidden(walk, x)
    outputs = walk.cut.run(x, {})
    found = float(hidden.loss(x, outputs, 2.0, None) - hidden.loss(x, outputs, 0.0, None))
    trained = network.activations(images)
    cut = network.activations(images, {name: np.asarray(mask, dtype=float) for name, mask in keep.items()})
    shares = []
    for k, layer in enumerate(network.layers[:-1]):
        if layer.activation != "none":
            at = walk.slim.stays[k]
            shares.append(np.square(cut[k] - trained[k])[:, at].mean() / trained[k][:, at].var(ddof=1))
    assert found == pytest.approx(2 * np.mean(shares), rel=1e-4)
    assert found > 0
    with pytest.raises(om.InputError, match="hidden: got -1"):
        om.Refit(hidden=-1.0)


def test_passes_that_do_not_help_are_undone():
    network, images, keep = problem("mlp")
    plain, _ = om.refit_network(network, keep, images, "output")
    wild, report = om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=1, learning_rate=1.0))
    assert report.outgoing is not None
    assert (report.outgoing.passes, report.outgoing.kept) == (1, 0)
    for one, other in zip(plain.layers, wild.layers, strict=True):
        np.testing.assert_allclose(one.terms[0].map.weight, other.terms[0].map.weight, atol=1e-6)


def test_training_says_how_many_images_it_could_hold(monkeypatch):
    network, images, keep = problem("mlp", 1100)
    monkeypatch.setattr(shown.walks, "HELD", 700 * 6)
    _, report = om.refit_network(network, keep, images, om.Refit(level="outgoing", passes=1))
    assert report.images == 1100
    assert report.outgoing is not None
    assert report.outgoing.images + report.outgoing.held_out == 500


def test_networks_that_do_not_end_in_a_dense_layer_are_refused():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    network, images = om.read_network(module, (1, 5, 5)), np.random.default_rng(0).normal(size=(9, 1, 5, 5))
    _, report = om.refit_network(network, {"0": [True, True, False, True]}, images)
    assert len(report.layers) == 1
    with pytest.raises(om.InputError, match="accepted here are the levels least-squares and outgoing"):
        om.refit_network(network, {"0": [True, True, False, True]}, images, "output")
    with pytest.raises(om.InputError, match="at least 2"):
        om.refit_network(om.read_network(*build("mlp")), {"0": [True] * 7 + [False]}, np.zeros((1, 6)), "outgoing")
