"""The least squares of a refit: no worse than before, equal to numpy's, and nothing where nothing is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from pruning.conftest import NETWORKS, build
from refit_masks import masks
from torch import nn

import oamip_model as om
from oamip_model.refit import walk as walk_module
from oamip_model.refit.least_squares import refit_layer, solve
from oamip_model.refit.moments import Design, moments
from oamip_model.refit.options import Refit
from oamip_model.refit.passed import fit_layers
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import image_stream
from oamip_model.refit.walk import Walk

KINDS = sorted(NETWORKS)


def problem(kind: str, seed: int = 0, count: int = 60):
    module, shape = build(kind, seed)
    network = om.read_network(module, shape)
    images = np.random.default_rng(seed).normal(size=(count, *shape))
    return module, network, images


def pre_activations(network, images, keep=None):
    """What each layer has before its activation, in numpy."""
    outputs = network.activations(images, keep)
    x = network.check_images(images)
    return [
        layer.pre_activation([x if t.source < 0 else outputs[t.source] for t in layer.terms])
        for layer in network.layers
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_cut_the_weights_stay(kind):
    _, network, images = problem(kind)
    whole = {group.name: np.ones(group.size, dtype=bool) for group in network.groups}
    walk = Walk(network, slim_network(network, whole), image_stream(network, images))
    for k in range(len(network.layers)):
        design = Design(walk.slim, k)
        if design.terms:
            refit_layer(walk, design, moments(design, walk, walk.inputs(k), len(images), rows=20, seed=0), 1e-4)
    for before, after in zip(network.layers, walk.current.layers, strict=True):
        np.testing.assert_allclose(after.bias, before.bias, atol=1e-6)
        for old, new in zip(before.terms, after.terms, strict=True):
            if hasattr(old.map, "weight"):
                np.testing.assert_allclose(new.map.weight, old.map.weight, atol=1e-6)
    assert om.refit_network(network, whole, images)[0].fingerprint == network.fingerprint


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_no_layer_gets_worse(kind, seed):
    _, network, images = problem(kind, seed)
    keep = masks(network, seed)
    refitted, report = om.refit_network(network, keep, images)
    cut = any(not mask.all() for mask in keep.values())
    assert bool(report.layers) == cut or kind == "shared"
    for layer in report.layers:
        assert layer.after <= layer.before * (1 + 1e-12)
        assert layer.residual < 1e-8
    scores = {name: mask.astype(float) for name, mask in keep.items()}
    wanted, found = pre_activations(network, images), pre_activations(refitted, images, scores)
    names = {layer.layer: layer for layer in report.layers}
    for k, layer in enumerate(network.layers):
        fit = names.get(layer.name)
        if fit is None or fit.rows != len(images) * int(np.prod(layer.pre_shape[1:])):
            continue
        stays = np.ones(layer.pre_shape[0], dtype=bool)
        if layer.group is not None:
            units = layer.units.reshape(layer.pre_shape[0], -1)[:, 0]
            stays = keep[network.groups[layer.group].name][units]
        target = np.moveaxis(wanted[k], 1, -1).reshape(-1, len(stays))[:, stays]
        given = np.moveaxis(found[k], 1, -1).reshape(-1, len(stays))[:, stays]
        scale = ((target - target.mean(0)) ** 2).sum()
        error = target - given
        if layer.activation == "relu":
            error = np.where(target > 0, error, np.maximum(given, 0.0))
        assert (error**2).sum() / scale == pytest.approx(fit.after, rel=1e-4, abs=1e-9)


@pytest.mark.parametrize(("kind", "layer"), [("mlp", 1), ("mlp", 2), ("conv", 1), ("conv", 2), ("residual", 2)])
def test_it_is_numpys_least_squares(kind, layer):
    _, network, images = problem(kind)
    keep = masks(network, 1)
    slim = slim_network(network, keep)
    walk = Walk(network, slim, image_stream(network, images, batch_size=7))
    ridge = 1e-3
    for k in range(layer):
        design = Design(slim, k)
        if design.refits:
            refit_layer(walk, design, moments(design, walk, walk.inputs(k), len(images), rows=20, seed=0), ridge)
    before = walk.current
    design = Design(slim, layer)
    (system,) = moments(design, walk, walk.inputs(layer), len(images), rows=10**6, seed=0)
    refit_layer(walk, design, [system], ridge)
    # The same in numpy, from the linear map's own matrix: one column a weight, by a unit vector for the weight.
    outputs, x = before.activations(images), network.check_images(images)
    term_inputs = [x if t.source < 0 else outputs[t.source] for t in before.layers[layer].terms]
    wanted = pre_activations(network, images)[layer][:, slim.stays[layer]]
    (number,) = design.terms
    term = before.layers[layer].terms[number]
    columns = []
    for at in np.ndindex(*term.map.weight.shape[1:]):
        weight = np.zeros((1, *term.map.weight.shape[1:]))
        weight[(0, *at)] = 1.0
        given = term_inputs[number].reshape(len(x), *term.input_shape)
        columns.append(replace(term.map, weight=weight).apply(given).ravel())
    phi = np.stack(columns, axis=1)
    missing = wanted - before.layers[layer].pre_activation(term_inputs)
    missing = np.moveaxis(missing, 1, -1).reshape(len(phi), -1)
    d = ((phi - phi.mean(0)) ** 2).sum(0).mean()
    stacked = np.block(
        [[phi, np.ones((len(phi), 1))], [np.sqrt(ridge * d) * np.eye(phi.shape[1]), np.zeros((phi.shape[1], 1))]]
    )
    right = np.concatenate([missing, np.zeros((phi.shape[1], missing.shape[1]))])
    change = np.linalg.lstsq(stacked, right, rcond=None)[0]
    after = walk.current.layers[layer]
    moved = (after.terms[number].map.weight - term.map.weight).reshape(len(after.bias), -1).T
    np.testing.assert_allclose(moved, change[:-1], atol=2e-5)
    np.testing.assert_allclose(after.bias - before.layers[layer].bias, change[-1], atol=2e-5)


def test_groups_of_a_convolution_are_solved_apart():
    _, network, images = problem("grouped")
    keep = masks(network, 2)
    walk = Walk(network, slim_network(network, keep), image_stream(network, images))
    design = Design(walk.slim, 1)
    assert len(design.systems) == 2
    refitted, _ = om.refit_network(network, keep, images)
    assert refitted.layers[1].terms[0].map.groups == 2


def test_constant_inputs_move_the_bias_only():
    _, network, _ = problem("mlp")
    images = np.ones((10, 6))
    keep = masks(network, 0)
    walk = Walk(network, slim_network(network, keep), image_stream(network, images))
    design = Design(walk.slim, 1)
    (system,) = moments(design, walk, walk.inputs(1), 10, rows=20, seed=0)
    system.xx[:] = torch.outer(system.x, system.x) / system.count
    found = solve(system, 1e-4)
    assert not found.change.any()
    assert found.after == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("kind", ["mlp", "residual", "projection", "max-pool", "grouped"])
def test_outputs_that_are_not_held_are_computed_anew(kind, monkeypatch):
    _, network, images = problem(kind)
    keep = masks(network, 0)
    held, _ = om.refit_network(network, keep, images)
    monkeypatch.setattr(walk_module, "HELD", 0)
    anew, _ = om.refit_network(network, keep, images)
    for one, other in zip(held.layers, anew.layers, strict=True):
        np.testing.assert_allclose(one.bias, other.bias, atol=1e-6)


def test_batches_do_not_matter_to_dense_layers():
    _, network, images = problem("mlp")
    keep = masks(network, 0)
    found = []
    for size in (7, 60):
        walk = Walk(network, slim_network(network, keep), image_stream(network, images, batch_size=size))
        fit_layers(walk, Refit())
        found.append(walk.current)
    for one, other in zip(found[0].layers, found[1].layers, strict=True):
        np.testing.assert_allclose(one.terms[0].map.weight, other.terms[0].map.weight, atol=1e-6)


def test_first_weights_never_change():
    _, network, images = problem("residual")
    keep = masks(network, 0)
    refitted, _ = om.refit_network(network, keep, images)
    assert refitted.layers[0].terms[0].map is network.layers[0].terms[0].map
    for before, after in zip(network.layers, refitted.layers, strict=True):
        if before.group is None:
            continue
        gone = ~keep[network.groups[before.group].name][before.units.reshape(before.pre_shape[0], -1)[:, 0]]
        for old, new in zip(before.terms, after.terms, strict=True):
            if hasattr(old.map, "weight"):
                np.testing.assert_array_equal(new.map.weight[gone], old.map.weight[gone])


@pytest.mark.parametrize("power", [-8, -6, -4, 8])
@pytest.mark.parametrize("seed", range(4))
def test_columns_that_vary_by_less_than_their_rounding_are_constants(power, seed):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)).double().eval()
    with torch.no_grad():
        module[0].weight *= 10.0**power
        module[0].bias.abs_()
    network, images = om.read_network(module, (4,)), np.random.default_rng(seed).normal(size=(40, 4))
    scores = om.score(network, images, method=om.Elimination(amount=0.5))
    _, report = om.refit_network(network, om.choose_units(scores, network, amount=0.5).keep, images)
    for fit in report.layers:
        assert np.isfinite(fit.after)
        assert fit.after <= fit.before * (1 + 1e-9) + 1e-12


def test_layers_behind_the_readers_of_cut_units_are_refitted_and_those_before_are_not():
    network = om.read_network(*build("mlp"))
    images = np.random.default_rng(0).normal(size=(300, 6))
    first = {"0": np.arange(8) % 2 == 0, "2": np.ones(5, dtype=bool)}
    refitted, report = om.refit_network(network, first, images)
    assert [layer.layer for layer in report.layers] == [layer.name for layer in network.layers[1:]]
    assert report.layers[1].after < report.layers[1].before
    second = {"0": np.ones(8, dtype=bool), "2": np.arange(5) < 3}
    refitted, report = om.refit_network(network, second, images)
    assert [layer.layer for layer in report.layers] == [network.layers[2].name]
    np.testing.assert_array_equal(refitted.layers[1].bias, network.layers[1].bias)
