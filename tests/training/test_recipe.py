"""What each setting of a training does, and the settings of the published runs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.training import PUBLISHED, Options, Recipe, Trainer
from oamip_model.training.augment import PADDING, crop_and_flip


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def noise():
    """Points whose labels are drawn at random: all that a network can learn of them is by heart."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(80, 6)), rng.integers(0, 3, 80)


def test_every_setting_is_an_option_of_its_type():
    fields = {field.name: field.type for field in dataclasses.fields(Recipe)}
    assert {name: hint.__forward_arg__ for name, hint in Options.__annotations__.items()} == fields


def test_the_published_settings_are_those_of_the_scripts():
    recipes = {name: Recipe(**options) for name, options in PUBLISHED.items()}
    fashion = recipes["fashion-mnist"]
    assert fashion == recipes["mnist"]
    assert (fashion.optimizer, fashion.learning_rate, fashion.batch_size, fashion.epochs) == ("rmsprop", 1e-3, 128, 30)
    lenet = recipes["lenet5-cifar-10"]
    assert (lenet.learning_rate, lenet.momentum, lenet.nesterov, lenet.weight_decay) == (1e-2, 0.9, True, 5e-4)
    assert (lenet.epochs, lenet.augment) == (256, "crop-flip")
    assert (recipes["vgg16-cifar-10"].learning_rate, recipes["vgg16-cifar-10"].epochs) == (1e-1, 30)


def test_an_unknown_option_is_refused(noise):
    with pytest.raises(TypeError, match="moment"):
        om.train(om.make_network("dense-4", (6,), 3), *noise, moment=0.9)


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_takes_the_steps_of_its_definition(noise, nesterov):
    images, labels = noise
    module = om.make_network("dense-4", (6,), 3, seed=1).double()
    weights = [p.detach().clone().requires_grad_() for p in module.parameters()]
    om.train(
        module, images, labels, epochs=3, batch_size=80, optimizer="sgd", learning_rate=0.2, momentum=0.6,
        nesterov=nesterov, weight_decay=0.01,
    )  # fmt: skip
    x, y = torch.tensor(images), torch.tensor(labels)
    velocity = [torch.zeros_like(w) for w in weights]
    for _ in range(3):
        logits = torch.relu(x @ weights[0].T + weights[1]) @ weights[2].T + weights[3]
        gradients = torch.autograd.grad(nn.functional.cross_entropy(logits, y), weights)
        for w, v, g in zip(weights, velocity, gradients, strict=True):
            g = g + 0.01 * w.detach()
            v.mul_(0.6).add_(g)
            w.data.sub_(0.2 * (g + 0.6 * v if nesterov else v))
    for wanted, found in zip(weights, module.parameters(), strict=True):
        torch.testing.assert_close(found, wanted)


def test_the_cosine_falls_from_the_rate_to_0_over_all_batches(noise):
    recipe = Recipe(epochs=4, batch_size=20, learning_rate=0.5, optimizer="sgd", schedule="cosine")
    rates = []
    with Trainer(om.make_network("dense-4", (6,), 3), *noise, recipe) as trainer:
        for _ in range(4):
            trainer.epoch()
            rates.append(trainer.optimizer.param_groups[0]["lr"])
    wanted = [0.25 * (1 + np.cos(np.pi * done / 16)) for done in (4, 8, 12, 16)]
    np.testing.assert_allclose(rates, wanted, atol=1e-12)


def test_crops_are_the_image_moved_and_mirrored():
    batch = torch.arange(1, 61, dtype=torch.float32).reshape(1, 2, 5, 6).repeat(400, 1, 1, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        found = crop_and_flip(batch)
    padded = nn.functional.pad(batch[0], (PADDING,) * 4)
    crops = {}
    for top in range(2 * PADDING + 1):
        for left in range(2 * PADDING + 1):
            crop = padded[:, top : top + 5, left : left + 6]
            crops[crop.numpy().tobytes()] = (top, left, False)
            crops[crop.flip(2).contiguous().numpy().tobytes()] = (top, left, True)
    drawn = [crops[image.contiguous().numpy().tobytes()] for image in found]
    # Each of the 9 rows of crops is missing among 400 draws with a chance of (8/9)^400 = 3e-21.
    assert {top for top, _, _ in drawn} == {left for _, left, _ in drawn} == set(range(9))
    assert 160 < sum(flip for _, _, flip in drawn) < 240


def test_augmentation_is_seeded_and_changes_what_is_learnt():
    images = np.random.default_rng(1).uniform(size=(20, 1, 16, 16))
    trained = []
    for options in ({}, {"augment": "crop-flip"}, {"augment": "crop-flip"}):
        module = om.make_network("lenet5", (1, 16, 16), 2)
        om.train(module, images, np.arange(20) % 2, epochs=2, **options)
        trained.append(torch.cat([p.flatten() for p in module.parameters()]))
    assert torch.equal(trained[1], trained[2])
    assert not torch.equal(trained[0], trained[1])


def test_early_stopping_keeps_the_weights_with_the_lowest_loss_on_what_it_held_out(noise):
    """On random labels the held-out loss rises as soon as the network learns by heart."""
    told = []
    module = om.make_network("dense-64", (6,), 3)
    options = {"epochs": 60, "batch_size": 16, "learning_rate": 0.02, "held_out": 0.25, "seed": 3, "early_stop": 4}
    result = om.train(module, *noise, **options, progress=lambda *seen: told.append(seen))
    assert result.best == 1 + int(np.argmin(result.held_out))
    assert len(result.losses) == len(result.held_out) == len(told) == result.best + 4 < 60
    again = om.make_network("dense-64", (6,), 3)
    om.train(again, *noise, **(options | {"epochs": result.best, "early_stop": 60}))
    for kept, wanted in zip(module.parameters(), again.parameters(), strict=True):
        assert torch.equal(kept, wanted)


def test_images_held_out_are_not_trained_on(noise):
    images, labels = noise
    recipe = Recipe(early_stop=1, held_out=0.25, seed=2)
    with Trainer(om.make_network("dense-4", (6,), 3).double(), images, labels, recipe) as trainer:
        assert (len(trainer.held_x), len(trainer.x)) == (20, 60)
        both = torch.cat([trainer.held_x, trainer.x]).numpy()
        loss = trainer.held_out_loss()
        logits = trainer.module(trainer.held_x)
    assert sorted(map(tuple, both)) == sorted(map(tuple, images))
    assert loss == pytest.approx(nn.functional.cross_entropy(logits, trainer.held_y).item())


def test_masked_units_stay_exactly_zero(noise):
    module = om.make_network("dense-8-6", (6,), 3)
    scores = {"fc1": [0, 1] * 4, "fc2": [1, 0, 1] * 2}
    masked = om.prune(module, scores, threshold=0.5, mode="mask", network=om.read_network(module, (6,)))
    before = masked.fc1.weight[1].clone()
    om.train(masked, *noise, epochs=3, optimizer="sgd", learning_rate=0.1, weight_decay=0.1)
    masked(torch.zeros(1, 6))
    assert not masked.fc1.weight[::2].any()
    assert not masked.fc1.bias[::2].any()
    assert not masked.fc2.weight[1::3].any()
    assert not torch.equal(masked.fc1.weight[1], before)
