"""What heads see: features averaged within a budget, heads trained on them, and their columns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.scoring.layerwise.heads.columns import Columns, SharedColumns, shared_columns
from oamip_model.scoring.layerwise.heads.representation import Representation
from oamip_model.scoring.layerwise.heads.trained import train_linear_head
from oamip_model.torchnet.layers import TorchLayers


@pytest.fixture(scope="module")
def conv() -> Any:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(3 * 12, 6), nn.ReLU(), nn.Linear(6, 5),
    ).eval()  # fmt: skip
    return om.read_network(module, input_shape=(2, 8, 6))


@pytest.fixture(scope="module")
def images() -> Any:
    return np.random.default_rng(0).normal(size=(70, 2, 8, 6))


def averaged(r: np.ndarray, grid: tuple[int, int]) -> np.ndarray:
    """Adaptive average pooling by its definition: cell i covers floor(i h / p) to ceil((i + 1) h / p)."""
    height, width = r.shape[2:]
    cells = np.empty((*r.shape[:2], *grid))
    for i in range(grid[0]):
        for j in range(grid[1]):
            rows = slice(i * height // grid[0], -(-(i + 1) * height // grid[0]))
            columns = slice(j * width // grid[1], -(-(j + 1) * width // grid[1]))
            cells[:, :, i, j] = r[:, :, rows, columns].mean(axis=(2, 3))
    return cells


@pytest.mark.parametrize(("features", "grid"), [(192, None), (191, (4, 3)), (47, (2, 2)), (10, (1, 1)), (1, (1, 1))])
def test_a_grid_is_as_fine_as_the_budget_allows(conv: Any, images: Any, features: int, grid: Any) -> None:
    found = Representation(TorchLayers(conv, dtype=torch.float64), images, 0, {}, features=features)
    assert found.grid == grid
    r = conv.activations(images)[0]
    expected = r if grid is None else averaged(r, grid)
    np.testing.assert_allclose(found.tensor().numpy(), expected.reshape(70, 4, -1), atol=1e-12)


def test_all_images_together_count_as_well(conv: Any, images: Any) -> None:
    layers = TorchLayers(conv)
    assert Representation(layers, images, 0, {}, held=70 * 48).grid == (4, 3)
    assert Representation(layers, images, 0, {}, held=3).grid == (1, 1), "one feature a unit is the least"
    assert Representation(layers, images, 0, {}, held=3, pooled=False).positions == 48
    assert Representation(layers, images, 2, {}, held=3).positions == 1, "a dense layer has one feature a unit"


def test_layers_that_were_cut_before_show_in_the_features(conv: Any, images: Any) -> None:
    mask = np.array([1.0, 0.0, 1.0, 1.0])
    layers = TorchLayers(conv, dtype=torch.float64)
    found = Representation(layers, images, 1, {0: torch.tensor(mask)}).tensor()
    named = {g.name: np.ones(g.size) for g in conv.groups} | {conv.groups[0].name: mask}
    expected = conv.activations(images, named)[conv.groups[1].layers[-1]]
    np.testing.assert_allclose(found.numpy(), expected.reshape(70, 3, -1), atol=1e-12)


@pytest.mark.parametrize(("features", "form"), [(4096, Columns), (16, SharedColumns)])
def test_columns_of_a_head_are_the_head_on_the_scored_features(
    conv: Any, images: Any, features: int, form: Any
) -> None:
    layers = TorchLayers(conv, dtype=torch.float64)
    labels = conv.replay(images).argmax(axis=1)
    seen = Representation(layers, images, 0, {}, features=features)
    head = train_linear_head(seen.tensor(), labels, 5, epochs=3)
    rng = np.random.default_rng(1)
    scores = rng.random(4)
    r = conv.activations(images)[0] * scores[:, None, None]
    flat = (r if seen.grid is None else averaged(r, seen.grid)).reshape(70, -1)
    expected = flat @ head.weight.numpy().reshape(5, -1).T + head.bias.numpy()
    for known in (None, seen.tensor()):
        columns = shared_columns(seen, head.weight, head.bias, labels, known)
        assert isinstance(columns, form)
        columns.chunk = 33
        np.testing.assert_allclose(columns.logits(torch.tensor(scores), slice(None)), expected, atol=1e-10)
        direction, step = rng.normal(size=4), 1e-6
        change = (columns(scores + step * direction)[0] - columns(scores - step * direction)[0]) / (2 * step)
        assert change == pytest.approx(float(columns(scores)[1] @ direction), abs=1e-7)


def test_a_head_learns_whatever_the_scale_of_the_features() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    features = torch.tensor(np.eye(3)[labels] + 0.2 * rng.normal(size=(200, 3)))[:, :, None]
    heads = [train_linear_head(features * size, labels, 3) for size in (1e-4, 1.0, 1e4)]
    assert all(head.accuracy > 0.95 for head in heads)
    assert heads[0].epochs == 500, "two steps an epoch, a thousand steps in all"
    for head, size in zip(heads, (1e-4, 1.0, 1e4), strict=True):
        np.testing.assert_allclose(head.weight * size, heads[1].weight, atol=1e-6)
    assert train_linear_head(0 * features, labels, 3, epochs=1).accuracy == pytest.approx(1 / 3, abs=0.1)


def test_a_layer_alone_is_the_layer_of_a_whole_run_and_batches_follow_what_is_held(conv: Any, images: Any) -> None:
    layers = TorchLayers(conv, dtype=torch.float64)
    x = torch.tensor(images)
    whole = layers.run(x, {})
    for k, expected in enumerate(whole):
        np.testing.assert_array_equal(layers.output(x, {}, k), expected)
    # The widest place is the pooling: what it reads is held, and read, and its output is made.
    assert layers.batch_size(budget=1000) == 1000 // (192 + 48 + 192)
    assert layers.batch_size(0, budget=1000) == 1000 // (192 + 96)


def test_a_bad_head_is_reported(conv: Any, images: Any, tmp_path: Any) -> None:
    labels = conv.replay(images).argmax(axis=1)
    good = om.score(conv, images, labels, method=om.Decoupled(head="linear"))
    assert [p.layer for p in good.programs] == [g.name for g in conv.groups]
    assert [p.variables for p in good.programs] == [g.size + 1 for g in conv.groups]
    assert all(p.rows == p.rounds for p in good.programs), "one tangent for each call of the oracle"
    assert good.network_accuracy == 1.0
    trained = [p.trained for p in good.programs]
    assert [t is None for t in trained] == [False, False, True]
    assert (trained[0].features, trained[0].seed, trained[0].epochs) == (192, 0, 1000)
    assert good.warnings == ()
    accuracies = (0.89, 0.91, None)
    programs = tuple(
        replace(p, trained=None if a is None else replace(p.trained, accuracy=a))
        for p, a in zip(good.programs, accuracies, strict=True)
    )
    bad = replace(good, programs=programs)
    assert len(bad.warnings) == 1
    assert f"layer {conv.groups[0].name} classifies 89.0%" in bad.warnings[0]
    assert om.load_scores(bad.save(tmp_path / "scores.json")).warnings == bad.warnings
