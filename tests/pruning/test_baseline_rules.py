"""Each simple rule against its definition, written naively, and the Scores that carry it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch_pruning
from torch import nn

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.network.types import Network
from oamip_model.pruning import BASELINES
from oamip_model.pruning.baselines.rules import WITH_IMAGES

KINDS = ("mlp", "conv", "max-pool", "residual")
"""Dense, convolutional, with batch norm and max pooling, and with filters that additions tie together."""


def images_for(network: Network, count: int = 7) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(2)
    return rng.normal(size=(count, *network.input_shape)), rng.integers(0, network.classes, count)


def losses(network: Network, images: np.ndarray, labels: np.ndarray, factors: dict[str, np.ndarray]) -> np.ndarray:
    logits = network.replay(images, factors)
    return np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(labels)), labels]


def incoming(name: str, module: nn.Module) -> dict[str, list[np.ndarray]]:
    """The weights into each unit, from the module itself: {group: one row for each unit}."""

    def rows(conv: nn.Module, norm: nn.Module | None = None) -> np.ndarray:
        weight = conv.weight.detach().double().flatten(1)
        if norm is not None:
            weight = weight * (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().double()[:, None]
        return weight.numpy()

    if name == "residual":
        tied = [rows(module.stem), rows(module.conv2, module.bn2), rows(module.conv3)]
        return {"stem": list(np.hstack(tied)), "conv1": list(rows(module.conv1, module.bn1))}
    if name == "max-pool":
        return {"0.0": list(rows(*module[0][:2])), "2.0": list(rows(*module[2][:2]))}
    layers = [(str(i), part) for i, part in enumerate(module) if isinstance(part, nn.Linear | nn.Conv2d)]
    return {path: list(rows(part)) for path, part in layers[:-1]}


@pytest.mark.parametrize("name", KINDS)
def test_rules_on_weights(name: str, module_of: Any, network_of: Any) -> None:
    network = network_of(name)
    for group, rows in incoming(name, module_of(name)[0]).items():
        l1 = np.array([sum(abs(w) for w in row) for row in rows])
        l2 = np.array([sum(w * w for w in row) ** 0.5 for row in rows])
        median = np.array([sum(((row - other) ** 2).sum() ** 0.5 for other in rows) for row in rows])
        for method, wanted in (("weight-l1", l1), ("weight-l2", l2), ("geometric-median", median)):
            found = om.baseline_scores(network, method).by_layer[group]
            np.testing.assert_allclose(found, wanted / wanted.max(), rtol=1e-5, err_msg=f"{method} {group}")


def test_norms_are_those_of_torch_pruning(module_of: Any, network_of: Any) -> None:
    module, shape = module_of("conv")
    graph = torch_pruning.DependencyGraph().build_dependency(module, torch.zeros(1, *shape))
    for order in (1, 2):
        found = om.baseline_scores(network_of("conv"), f"weight-l{order}").by_layer
        rule = torch_pruning.importance.MagnitudeImportance(p=order, group_reduction="first", normalizer=None)
        for path, prune in (
            ("0", torch_pruning.prune_conv_out_channels),
            ("5", torch_pruning.prune_linear_out_channels),
        ):
            part = module.get_submodule(path)
            units = list(range(len(part.weight)))
            theirs = rule(graph.get_pruning_group(part, prune, units)).numpy() ** (1 / order)
            np.testing.assert_allclose(found[path], theirs / theirs.max(), rtol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_rules_on_activations(name: str, network_of: Any) -> None:
    network = network_of(name)
    images, _ = images_for(network)
    outputs = network.activations(images)
    apoz = om.baseline_scores(network, "apoz", images=images, batch_size=3).by_layer
    mean = om.baseline_scores(network, "mean-activation", images=images, batch_size=3).by_layer
    for index, group in enumerate(network.groups):
        seen: list[list[float]] = [[] for _ in range(group.size)]
        for layer, output in zip(network.layers, outputs, strict=True):
            if layer.group == index:
                for unit, values in zip(layer.units, output.reshape(len(images), -1).T, strict=True):
                    seen[unit] += list(values)
        np.testing.assert_allclose(apoz[group.name], [np.mean([v > 0 for v in values]) for values in seen])
        wanted = np.array([np.mean(values) for values in seen])
        np.testing.assert_allclose(mean[group.name], wanted / wanted.max(), rtol=1e-5)


@pytest.mark.parametrize("name", KINDS)
def test_rules_on_derivatives_of_the_loss(name: str, network_of: Any) -> None:
    """The derivative by a factor on a unit's activations, by central differences in numpy."""
    network = network_of(name)
    images, labels = images_for(network)
    step = 1e-5
    taylor, snip = {}, {}
    for group in network.groups:
        slopes = np.zeros((len(images), group.size))
        for unit in range(group.size):
            sides = []
            for factor in (1 + step, 1 - step):
                factors = {g.name: np.ones(g.size) for g in network.groups}
                factors[group.name][unit] = factor
                sides.append(losses(network, images, labels, factors))
            slopes[:, unit] = (sides[0] - sides[1]) / (2 * step)
        taylor[group.name], snip[group.name] = np.abs(slopes).mean(axis=0), np.abs(slopes.mean(axis=0))
    for method, wanted in (("taylor", taylor), ("snip", snip)):
        largest = max(values.max() for values in wanted.values())
        found = om.baseline_scores(network, method, images=images, labels=labels, batch_size=3)
        for group_name, values in wanted.items():
            np.testing.assert_allclose(found.by_layer[group_name], values / largest, rtol=1e-4, atol=1e-6)
    assert any((taylor[name] > 1.01 * snip[name]).any() for name in taylor)


@pytest.mark.parametrize("method", BASELINES)
def test_every_rule_gives_scores_that_say_what_they_are(method: Any, network_of: Any, tmp_path: Path) -> None:
    network = network_of("conv")
    images, labels = images_for(network)
    scores = om.baseline_scores(network, method, images=images, labels=labels)
    assert isinstance(scores, om.Scores)
    assert (scores.strategy, scores.status, scores.proved) == (method, "no program", False)
    assert (scores.objective, scores.bound, scores.gap, scores.replay) == (None, None, None, None)
    assert f"by the rule {method}" in scores.summary()
    assert "nothing is proved" in scores.summary()
    assert scores.images == (len(images) if method in WITH_IMAGES else 0)
    for values in scores.by_layer.values():
        assert 0 <= values.min() <= values.max() <= 1
    again = om.load_scores(scores.save(tmp_path / "scores.json"))
    assert again.summary() == scores.summary()
    assert all(np.array_equal(again.by_layer[name], values) for name, values in scores.by_layer.items())
    _, report = om.prune_with_report(network, again, amount=0.5)
    assert 0 < report.units_share < 1


def test_critical_removes_what_the_scores_would_keep(network_of: Any) -> None:
    network = network_of("mlp")
    scores = om.baseline_scores(network, "random", seed=1)
    critical = om.critical_scores(scores)
    assert (critical.strategy, critical.options["of"], critical.status) == ("critical", "random", "no program")
    kept = om.choose_units(scores, network, amount=0.5).keep["0"]
    assert np.array_equal(om.choose_units(critical, network, amount=0.5).keep["0"], ~kept)
    with pytest.raises(InputError, match="scores: got dict"):
        om.critical_scores(scores.by_layer)  # type: ignore[arg-type]


def test_a_module_and_a_data_set_do_as_well(module_of: Any, network_of: Any) -> None:
    module, _ = module_of("conv")
    network = network_of("conv")
    images, labels = images_for(network)
    data = om.Dataset(images, labels, source="noise", classes=3)
    found = om.baseline_scores(module, "snip", images=data)
    assert found.source == "noise"
    wanted = om.baseline_scores(network, "snip", images=images, labels=labels).by_layer
    assert all(np.array_equal(found.by_layer[name], values) for name, values in wanted.items())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "apoz"}, "images: the baseline apoz needs some"),
        ({"method": "snip", "images": np.zeros((2, 6))}, "labels: the baseline snip needs them"),
        ({"method": "snip", "images": np.zeros((2, 6)), "labels": [0]}, "labels: 1 labels for 2 images"),
        ({"method": "taylor", "images": np.zeros((2, 6)), "labels": [0, 3]}, "labels: label 1 is 3"),
        ({"method": "apoz", "images": np.zeros((2, 5))}, "images: got shape (2, 5)"),
        ({"method": "apoz", "images": np.zeros((2, 6)), "batch_size": 0}, "batch_size: got 0"),
        ({"method": "L1"}, "baseline: unknown method 'L1', known are random, weight-norm"),
    ],
)
def test_what_a_rule_lacks_is_said(network_of: Any, options: Any, words: str) -> None:
    with pytest.raises(InputError) as error:
        om.baseline_scores(network_of("mlp"), **options)
    assert words in str(error.value)
