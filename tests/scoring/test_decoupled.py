"""Scoring layer by layer: columns, equality with the written-out program, orders, amounts, going on after a stop."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import oamip_model as om
from oamip_model.runs.store import RunStore
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.layerwise import schedule as decoupled
from oamip_model.scoring.layerwise.heads.columns import is_affine_after, pattern_columns, rest_columns
from oamip_model.scoring.layerwise.task import LayerTask
from oamip_model.torchnet.layers import TorchLayers


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.a, self.b = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 1)
        self.bn, self.head = nn.BatchNorm2d(4), nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.stem(x))
        x = F.relu(x + self.b(F.relu(self.bn(self.a(x)))))
        return self.head(F.max_pool2d(x, 3, padding=1).mean((2, 3)))


def make(kind: str, seed: int = 0) -> om.Network:
    torch.manual_seed(seed)
    if kind == "residual":
        return om.read_network(Residual().eval(), input_shape=(1, 6, 6))
    if kind == "conv":
        layers = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten()]
        return om.read_network(nn.Sequential(*layers, nn.Linear(4, 3)).eval(), input_shape=(1, 6, 6))
    sizes = {"one hidden layer": (5, 6, 3), "dense": (5, 8, 6, 3)}[kind]
    layers = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return om.read_network(nn.Sequential(*layers[:-1]).eval(), input_shape=(5,))


def data(network: om.Network, n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, *network.input_shape))
    return images, network.replay(images + 0.3 * rng.normal(size=images.shape)).argmax(axis=1)


@pytest.mark.parametrize("kind", ["one hidden layer", "dense", "conv", "residual"])
def test_layers_in_torch_are_the_network_with_scores(kind: str) -> None:
    network = make(kind)
    images, _ = data(network, 7)
    rng = np.random.default_rng(1)
    scores = [rng.random(group.size) for group in network.groups]
    layers = TorchLayers(network, dtype=torch.float64)
    ours = layers.run(torch.tensor(images), {g: torch.tensor(s) for g, s in enumerate(scores)})[-1]
    named = {group.name: s for group, s in zip(network.groups, scores, strict=True)}
    np.testing.assert_allclose(ours.numpy().reshape(7, -1), network.replay(images, named), atol=1e-10)


@pytest.mark.parametrize("kind", ["one hidden layer", "dense", "conv", "residual"])
@pytest.mark.parametrize("given", [False, True])
def test_columns_of_the_pattern_are_the_tangent_where_they_are_linearised(kind: str, given: bool) -> None:
    network = make(kind)
    rng = np.random.default_rng(5)
    images, labels = data(network, 20)
    layers = TorchLayers(network, dtype=torch.float64)
    for g, group in enumerate(network.groups):
        at = rng.random(group.size) if given else np.ones(group.size)
        columns = pattern_columns(layers, images, labels, g, {}, torch.tensor(at) if given else None)
        named = {h.name: np.ones(h.size) for h in network.groups} | {group.name: at}
        there = network.replay(images, named)
        np.testing.assert_allclose(columns.base + columns.g @ torch.tensor(at), there, atol=1e-9)
        step = 1e-7 * np.random.default_rng(g).normal(size=group.size)
        moved = network.replay(images, named | {group.name: at + step})
        np.testing.assert_allclose((columns.g @ torch.tensor(step)).numpy(), moved - there, atol=1e-10)


@pytest.mark.parametrize("kind", ["one hidden layer", "dense", "conv"])
def test_columns_of_the_rest_are_the_network_at_every_score(kind: str) -> None:
    network = make(kind)
    images, labels = data(network, 20)
    layers = TorchLayers(network, dtype=torch.float64)
    last = len(network.groups) - 1
    rng = np.random.default_rng(1)
    others = {g: (rng.random(network.groups[g].size) < 0.7).astype(float) for g in range(last)}
    masks = {g: torch.tensor(mask) for g, mask in others.items()}
    assert is_affine_after(layers, last)
    exact, tangent = (make(layers, images, labels, last, masks) for make in (rest_columns, pattern_columns))
    scores = rng.random(network.groups[last].size)
    named = {network.groups[g].name: mask for g, mask in (others | {last: scores}).items()}
    logits = exact.logits(torch.tensor(scores), slice(None))
    np.testing.assert_allclose(logits, network.replay(images, named), atol=1e-9)
    for a, b in zip(exact(scores), tangent(scores), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-9)


def test_only_the_last_dense_layer_is_affine_after() -> None:
    assert [is_affine_after(TorchLayers(make("dense")), g) for g in (0, 1)] == [False, True]
    network = make("residual")
    assert not any(is_affine_after(TorchLayers(network), g) for g in range(len(network.groups)))


@pytest.mark.thinned(8)
@pytest.mark.parametrize("solver", ["highs", "cbc"])
@pytest.mark.parametrize("kind", ["continuous", "binary"])
@pytest.mark.parametrize(
    ("sparsity", "loss"),
    [
        ("mean", "cross-entropy"),
        ("published", "cross-entropy"),
        ("parameters", "cross-entropy"),
        ("published", "hinge"),
    ],
)
def test_one_hidden_layer_has_the_optimum_of_the_program_with_a_row_for_each_image(
    solver: str, kind: str, sparsity: str, loss: str
) -> None:
    network = make("one hidden layer")
    images, labels = data(network, 15)
    common: dict[str, Any] = {"scores": kind, "sparsity": sparsity, "loss": loss, "weight": 1.5, "tolerance": 1e-6}
    written = om.score(network, images, labels, **as_objects(strategy="joint", **common))
    convex = om.score(network, images, labels, **as_objects(strategy="decoupled", solver=solver, **common))
    assert (written.status, convex.status) == ("optimal", "optimal")
    assert convex.objective == pytest.approx(written.objective, rel=1e-5)
    assert convex.bound <= written.objective + 1e-6


@pytest.mark.parametrize("strategy", ["decoupled", "forward", "backward"])
@pytest.mark.parametrize("head", ["pattern", "linear"])
def test_every_strategy_says_what_it_proved(strategy: str, head: str) -> None:
    network = make("residual")
    images, labels = data(network, 60)
    scores = om.score(network, images, labels, **as_objects(strategy=strategy, head=head, weight=2.0))
    assert list(scores.by_layer) == [group.name for group in network.groups]
    assert scores.status == "optimal"
    assert scores.gap <= 1e-3
    assert not scores.proved
    assert not scores.averaged
    assert scores.images == 60
    assert head in scores.summary()
    assert "60 images" in scores.summary()
    assert scores.objective == pytest.approx(sum(p.objective for p in scores.programs))


def test_an_amount_is_cut_well() -> None:
    network = make("dense", seed=3)
    images, labels = data(network, 300)
    scores = om.score(network, images, labels, method=om.Forward(amount=0.5))
    rng = np.random.default_rng(0)

    def accuracy(keep: dict[str, np.ndarray]) -> float:
        return float((network.replay(images, keep).argmax(axis=1) == labels).mean())

    removed = om.prune_with_report(network, scores, amount=0.5)[1].removed
    ours = {g.name: np.ones(g.size) for g in network.groups}
    for name, gone in removed.items():
        ours[name][list(gone)] = 0.0
    assert {name: int((s == 0).sum()) for name, s in ours.items()} == {"0": 4, "2": 3}
    at_random = []
    for _ in range(20):
        keep = {g.name: rng.permutation(np.arange(g.size) >= g.size // 2).astype(float) for g in network.groups}
        at_random.append(accuracy(keep))
    assert accuracy(ours) >= max(at_random)


def test_a_stopped_run_goes_on_without_solving_anything_twice(tmp_path: Path, monkeypatch: Any) -> None:
    network = make("dense")
    images, labels = data(network, 50)
    whole = om.score(network, images, labels, method=om.Forward(weight=2.0))
    solved: list[int] = []
    real = decoupled.solve_layer

    def counting(task: LayerTask, *told: Any) -> Any:
        solved.append(task.group)
        if len(solved) == 2:
            raise RuntimeError("killed")
        return real(task, *told)

    monkeypatch.setattr(decoupled, "solve_layer", counting)
    store = tmp_path / "runs.jsonl"
    with pytest.raises(RuntimeError):
        om.score(network, images, labels, method=om.Forward(weight=2.0), run=om.Run(store=store))
    assert len(RunStore(store).records) == 1
    again = om.score(network, images, labels, method=om.Forward(weight=2.0), run=om.Run(store=store))
    assert solved[:3] == [0, 1, 1], "the finished first layer is taken from the store"
    for name, values in whole.by_layer.items():
        np.testing.assert_array_equal(again.by_layer[name], values)


def test_ctrl_c_gives_back_the_layers_that_are_done(monkeypatch: Any) -> None:
    network = make("dense")
    images, labels = data(network, 50)
    real = decoupled.solve_layer

    def stopping(task: LayerTask, *told: Any) -> Any:
        if task.group == 1:
            raise KeyboardInterrupt
        return real(task, *told)

    monkeypatch.setattr(decoupled, "solve_layer", stopping)
    scores = om.score(network, images, labels, method=om.Forward(weight=2.0))
    assert scores.interrupted
    assert (scores.by_layer["2"] == 1).all()
    assert "interrupted" in scores.summary()


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"strategy": "joint", "amount": 0.5}, "amount"),
        ({"strategy": "joint", "head": "linear"}, "head"),
        ({"strategy": "forward", "gate": "published"}, "gate"),
        ({"strategy": "forward", "relaxed": True}, "relaxed"),
        ({"strategy": "forward", "loss": "margin"}, "loss"),
        ({"strategy": "forward", "amount": 1.5}, "amount"),
        ({"strategy": "forward", "amount": 0.0}, "amount"),
        ({"strategy": "forward", "sweeps": -1}, "sweeps"),
        ({"strategy": "forward", "head": "cubic"}, "head"),
        ({"relaxation": "partition-2"}, "relaxation"),
        ({"margin": 2.0}, "margin"),
        ({"scope": "global"}, "scope"),
        ({"amount": 0.5, "scope": "network"}, "scope"),
        ({"amount": 0.5, "weight": 2.0}, "weight"),
        ({"strategy": "decoupled", "sweeps": 2}, "sweeps"),
        ({"strategy": "per-class", "batch_size": 2}, "batch_size"),
    ],
)
def test_options_that_a_strategy_has_no_use_for_are_refused(options: dict[str, Any], culprit: str) -> None:
    network = make("dense")
    images, labels = data(network, 4)
    with pytest.raises(om.InputError, match=f"^{culprit}: ") as error:
        om.score(network, images, labels, **as_objects(**options))
    assert "\n" not in str(error.value)
