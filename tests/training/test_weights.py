"""Training with weights of classes and images, and with one logit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.training.recipe import Recipe
from oamip_model.training.trainer import Trainer


def points(count=60, seed=0):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(count, 2))
    return x, (x[:, 0] > 0.8).astype(np.int64)


def fresh(outputs=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, outputs))


def weights_after(x, y, outputs=2, **options):
    module = fresh(outputs)
    # One batch an epoch, so that the order of the images does not count.
    om.train(module, x, y, epochs=5, batch_size=1000, optimizer="sgd", momentum=0.0, learning_rate=0.3, threads=1,
             **options)  # fmt: skip
    return [part.detach().numpy() for part in module.parameters()]


def same(one, other):
    return all(np.allclose(a, b, atol=1e-5) for a, b in zip(one, other, strict=True))


def test_a_whole_weight_is_an_image_that_is_there_so_often():
    x, y = points()
    often = np.random.default_rng(1).integers(0, 4, len(x))
    repeated = weights_after(np.repeat(x, often, axis=0), np.repeat(y, often))
    assert same(weights_after(x, y, weights=often), repeated)
    assert same(weights_after(x, y, weights=10 * often), repeated)
    assert not same(weights_after(x, y), repeated)


def test_class_weights_are_those_of_their_images():
    x, y = points()
    by_class = weights_after(x, y, class_weights=(1.0, 3.0))
    assert same(by_class, weights_after(x, y, weights=np.where(y == 1, 3.0, 1.0)))
    counts = np.bincount(y)
    balanced = weights_after(x, y, class_weights="balanced")
    assert same(balanced, weights_after(x, y, class_weights=(1.0 / counts[0], 1.0 / counts[1])))
    both = weights_after(x, y, class_weights=(1.0, 3.0), weights=np.arange(len(x)))
    assert same(both, weights_after(x, y, weights=np.where(y == 1, 3.0, 1.0) * np.arange(len(x))))


def test_one_logit_trains_as_the_difference_of_two():
    # Two logits of which the first stays 0 have the same cross-entropy; so has its gradient.
    x, y = points()
    module = fresh(1)
    trainer = Trainer(module, x, y, Recipe(loss="logistic"))
    o = torch.tensor([[0.3], [-2.0]], requires_grad=True)
    from oamip_model.training.objective import losses

    one = losses("logistic", o, torch.tensor([1, 0]))
    two = losses("cross-entropy", torch.cat([torch.zeros(2, 1), o], dim=1), torch.tensor([1, 0]))
    np.testing.assert_allclose(one.detach(), two.detach(), atol=1e-6)
    assert trainer.labels.tolist() == y.tolist()
    assert om.train(module, x, y, loss="logistic", epochs=30, learning_rate=1e-2, threads=1).accuracy > 0.9
    assert om.accuracy(module, x, y) > 0.9


def test_a_regression_is_trained_and_has_no_accuracy():
    x, _ = points()
    target = x[:, 0] - 0.5 * x[:, 1]
    module = fresh(1)
    found = om.train(module, x, target, loss="squared", epochs=60, learning_rate=1e-2, threads=1)
    assert found.losses[-1] < 0.3 * found.losses[0]
    assert np.isnan(found.accuracy)
    with pytest.raises(InputError, match="needs labels 0 and 1"):
        om.accuracy(module, x, target)


def test_early_stopping_weighs_the_held_out_images_too():
    x, y = points(200)
    weights = np.where(y == 1, 5.0, 1.0)
    module = fresh()
    with Trainer(module, x, y, Recipe(early_stop=2, held_out=0.5, threads=1), weights) as trainer:
        held = trainer.held_out_loss()
        with torch.no_grad():
            each = nn.functional.cross_entropy(module.eval()(trainer.held_x), trainer.held_y, reduction="none")
        expected = float((each * trainer.held_w).sum()) / trainer.held
    assert held == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("outputs", "options", "line"),
    [
        (2, {"loss": "logistic"}, "loss: got 'logistic', but the module has 2 logits; accepted are cross-entropy"),
        (1, {}, "accepted are logistic"),
        (2, {"loss": "absolute"}, "loss: got 'absolute'"),
        (2, {"class_weights": (1.0,)}, "class_weights: got 1 for 2 classes"),
        (2, {"class_weights": (1.0, -1.0)}, "class_weights: got"),
        (2, {"class_weights": "even"}, "class_weights: got 'even'"),
        (2, {"weights": [1.0, 2.0]}, "weights: got shape"),
        (2, {"weights": [0.0] * 60}, "weights: all are 0, accepted are finite numbers from 0, at least one above"),
        (1, {"loss": "squared", "class_weights": "balanced"}, "a regression has no classes"),
    ],
)
def test_weights_and_losses_that_do_not_fit_are_one_line(outputs, options, line):
    x, y = points()
    with pytest.raises(InputError, match=line):
        om.train(fresh(outputs), x, y, **options)


def test_numbers_are_chosen_without_classes():
    x, _ = points()
    chosen = om.choose_images(x, x[:, 0], n=10, seed=1)
    assert (len(chosen), chosen.classes) == (10, 1)
    assert set(chosen.labels.tolist()) <= set(x[:, 0].tolist())
    with pytest.raises(InputError, match="numbers are no classes"):
        om.choose_images(om.Dataset(x, x[:, 0], "made", 1), n=10, correct_for=fresh(1))
