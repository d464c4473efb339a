"""What a ReLU passes on: the least of it is found, and it bounds the error behind the ReLU. Importance."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pruning.conftest import build
from refit_masks import masks
from scipy.optimize import minimize
from scipy.special import log_softmax

import oamip_model as om
from oamip_model.refit import moments as moments_module
from oamip_model.refit.importance import output_importance
from oamip_model.refit.stream import image_stream


def layer_two(relu_passes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Inputs, trained and refitted pre-activations of the second layer of a small network, and the error told."""
    network = om.read_network(*build("mlp"))
    images = np.random.default_rng(0).normal(size=(200, 6))
    keep = {"0": np.arange(8) % 2 == 0, "2": np.ones(5, dtype=bool)}
    refitted, report = om.refit_network(network, keep, images, om.Refit(relu_passes=relu_passes, ridge=1e-6))
    inputs = network.activations(images)[0] * keep["0"]
    return (
        inputs, network.layers[1].pre_activation([network.activations(images)[0]]),
        refitted.layers[1].pre_activation([inputs]), report.layers[0].after,
    )  # fmt: skip


def passed(target: np.ndarray, given: np.ndarray) -> float:
    return float((np.where(target > 0, target - given, np.maximum(given, 0.0)) ** 2).sum())


def test_many_steps_reach_the_minimum_that_another_solver_finds():
    inputs, target, given, told = layer_two(400)
    phi = np.concatenate([inputs[:, ::2], np.ones((len(inputs), 1))], axis=1)
    least = 0.0
    for column in target.T:

        def error(w, column=column):
            value = phi @ w
            wrong = np.where(column > 0, value - column, np.maximum(value, 0.0))
            return (wrong**2).sum(), 2 * phi.T @ wrong

        least += minimize(error, np.zeros(phi.shape[1]), jac=True, method="BFGS", options={"gtol": 1e-8}).fun
    assert passed(target, given) == pytest.approx(least, rel=1e-3)
    assert told == pytest.approx(passed(target, given) / ((target - target.mean(0)) ** 2).sum(), rel=1e-3)


def test_less_is_passed_on_than_by_plain_least_squares():
    _, target, plain, _ = layer_two(0)
    _, _, given, _ = layer_two(10)
    assert passed(target, given) < 0.95 * passed(target, plain)
    for one in (plain, given):
        behind = ((np.maximum(target, 0.0) - np.maximum(one, 0.0)) ** 2).sum()
        assert behind <= passed(target, one) * (1 + 1e-9)


def test_rows_beyond_what_may_be_held_are_left_out_and_nothing_gets_worse(monkeypatch):
    network = om.read_network(*build("conv"))
    images = np.random.default_rng(0).normal(size=(60, *network.input_shape))
    keep = masks(network, 0)
    _, whole = om.refit_network(network, keep, images)
    monkeypatch.setattr(moments_module, "_HELD", 2_000)
    _, part = om.refit_network(network, keep, images)
    assert part.layers[0].rows < whole.layers[0].rows
    for layer in part.layers:
        assert layer.after <= layer.before


def test_importance_is_half_the_mean_squared_gradient():
    network = om.read_network(*build("mlp"))
    images = np.random.default_rng(0).normal(size=(4000, 6))
    found = output_importance(network, image_stream(network, images), seed=0)
    logits = torch.as_tensor(network.activations(images)[-1])
    share = torch.softmax(logits, dim=1)
    # Over the classes that may be drawn, the gradient at the logits has the variance p (1 - p).
    for cost in (found[-1].apart, found[-1].alike):
        np.testing.assert_allclose(cost.numpy(), (share * (1 - share)).mean(0).numpy() / 2, rtol=0.1)


def test_an_error_that_is_the_same_at_all_positions_costs_what_a_changed_bias_costs():
    network = om.read_network(*build("conv"))
    images = np.random.default_rng(0).normal(size=(3000, *network.input_shape))
    found = output_importance(network, image_stream(network, images), seed=0)
    k = next(k for k, layer in enumerate(network.layers) if len(layer.pre_shape) == 3)
    size, logits = 1e-2, network.activations(images)[-1]
    costs = []
    for channel in range(network.layers[k].pre_shape[0]):
        bias = network.layers[k].bias.copy()
        bias[channel] += size
        layers = list(network.layers)
        layers[k] = replace(layers[k], bias=bias)
        other = replace(network, layers=tuple(layers)).activations(images)[-1]
        shares, changed = (log_softmax(z.reshape(len(z), -1), axis=1) for z in (logits, other))
        costs.append(float((np.exp(shares) * (shares - changed)).sum(1).mean()) / size**2)
    np.testing.assert_allclose(found[k].alike.numpy(), costs, rtol=0.15)
    assert (found[k].apart < found[k].alike).any()
