from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.clock import telling
from oamip_model.errors import InputError, OamipError
from oamip_model.training import logits


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny layers gain nothing from a second thread, and wait for it where the cores are busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def blobs():
    """Three well-separated clouds of points in four dimensions."""
    rng = np.random.default_rng(0)
    labels = np.arange(121) % 3
    return np.eye(4)[labels] * 4 + rng.normal(0, 0.3, (121, 4)), labels


def dropout_net() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))


@pytest.mark.parametrize(("optimizer", "rate"), [("rmsprop", 1e-2), ("adam", 1e-2), ("sgd", 1e-1)])
def test_training_learns_what_can_be_learnt(blobs, optimizer, rate):
    module = om.make_network("dense-16", (4,), 3)
    result = om.train(module, *blobs, epochs=20, batch_size=20, optimizer=optimizer, learning_rate=rate)
    assert result.losses[-1] < 0.1 * result.losses[0]
    assert result.accuracy == om.accuracy(module, *blobs) == 1
    assert len(result.losses) == 20
    assert result.device == "cpu"
    assert not any(part.training for part in module.modules())


@pytest.mark.parametrize("optimizer", ["rmsprop", "adam", "sgd"])
def test_equal_seeds_give_equal_weights_and_the_global_state_is_left_alone(blobs, optimizer):
    trained = []
    for seed, noise in ((1, 11), (1, 12), (2, 11)):
        torch.manual_seed(noise)
        expected = torch.random.get_rng_state()
        module = dropout_net()
        om.train(module, *blobs, epochs=2, batch_size=40, seed=seed, optimizer=optimizer)
        assert torch.equal(torch.random.get_rng_state(), expected)
        trained.append(torch.cat([p.flatten() for p in module.parameters()]))
    assert torch.equal(trained[0], trained[1])
    assert not torch.equal(trained[0], trained[2])


def test_a_last_batch_of_one_image_does_not_break_batch_norm(blobs):
    assert len(om.train(dropout_net(), *blobs, epochs=1, batch_size=40).losses) == 1


def test_weight_decay_shrinks_the_weights(blobs):
    norms = []
    for decay in (0.0, 1.0):
        module = om.make_network("dense-16", (4,), 3)
        om.train(module, *blobs, epochs=5, weight_decay=decay)
        norms.append(float(module.fc1.weight.detach().norm()))
    assert norms[1] < norms[0]


def test_frozen_weights_stay(blobs):
    module = om.make_network("dense-16", (4,), 3)
    module.fc1.requires_grad_(False)
    before = module.fc1.weight.clone(), module.fc2.weight.clone()
    om.train(module, *blobs, epochs=1)
    assert torch.equal(module.fc1.weight, before[0])
    assert not torch.equal(module.fc2.weight, before[1])


def test_progress_is_told_after_each_epoch(blobs):
    told = []
    result = om.train(om.make_network("dense-4", (4,), 3), *blobs, epochs=3, progress=lambda *seen: told.append(seen))
    assert told == list(enumerate(result.losses, start=1))


def test_threads_hold_for_the_training_only(blobs):
    before, seen = torch.get_num_threads(), set()
    module = om.make_network("dense-4", (4,), 3)
    module.fc2.register_full_backward_hook(lambda *_: seen.add(torch.get_num_threads()))
    om.train(module, *blobs, epochs=1, threads=3)
    assert seen == {3}
    assert torch.get_num_threads() == before


def test_a_loss_that_is_no_number_is_said_and_undone(blobs):
    module = om.make_network("dense-16", (4,), 3)
    before = [p.clone() for p in module.parameters()]
    with pytest.raises(OamipError, match=r"in epoch [12]; try a learning_rate below 1e\+30") as error:
        om.train(module, *blobs, learning_rate=1e30, optimizer="sgd")
    assert "\n" not in str(error.value)
    assert not isinstance(error.value, InputError)
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))
    assert not module.training


def test_an_interrupted_training_leaves_eval_mode(blobs):
    module = dropout_net()

    def stop(epoch, loss):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        om.train(module, *blobs, progress=stop)
    assert not any(part.training for part in module.modules())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"epochs": 0}, "epochs: got 0"),
        ({"epochs": 1.5}, "epochs: got 1.5"),
        ({"batch_size": 0}, "batch_size: got 0"),
        ({"learning_rate": 0.0}, "learning_rate: got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate: got nan"),
        ({"weight_decay": -1.0}, "weight_decay: got -1.0"),
        ({"optimizer": "adagrad"}, "optimizer: got 'adagrad', accepted is rmsprop, adam, sgd"),
        ({"seed": -1}, "seed: got -1"),
        ({"momentum": 0.5}, "momentum: got 0.5, accepted is a number from 0 to below 1, with the optimizer sgd"),
        ({"momentum": 1.0, "optimizer": "sgd"}, "momentum: got 1.0"),
        ({"nesterov": True}, "nesterov: got True, accepted is True or False, True with the optimizer sgd"),
        ({"nesterov": True, "optimizer": "sgd", "momentum": 0}, "nesterov: got True"),
        ({"schedule": "stairs"}, "schedule: got 'stairs', accepted is constant, cosine"),
        ({"augment": "crop"}, "augment: got 'crop', accepted is none, crop-flip"),
        ({"augment": "crop-flip"}, "augment: crop-flip takes images (n, channels, height, width), got (121, 4)"),
        ({"early_stop": 0}, "early_stop: got 0"),
        ({"early_stop": 2, "held_out": 1.0}, "held_out: got 1.0"),
        ({"early_stop": 2, "held_out": 0.001}, "held_out: 0.001 of 121 images is 0"),
        ({"threads": 0}, "threads: got 0"),
        ({"device": "abacus"}, "device: got 'abacus'"),
        ({"device": "meta"}, "device: got 'meta'"),
        ({"device": "cuda:99"}, "device: torch sees no cuda:99"),
        ({"labels": np.full(121, 3)}, "labels: label 0 is 3, accepted are integers from 0 to 2"),
        ({"labels": [0, 1]}, "labels: 2 labels for 121 images"),
        ({"images": np.zeros((121, 5))}, "images: the module cannot take shape (n, 5)"),
        ({"images": np.full((121, 4), np.nan)}, "images: image 0 has a pixel that is NaN"),
        ({"images": np.zeros((0, 4))}, "images: no images"),
    ],
)
def test_bad_options_are_refused_before_anything_changes(blobs, options, words):
    module = om.make_network("dense-4", (4,), 3)
    before = [p.clone() for p in module.parameters()]
    given = {"images": blobs[0], "labels": blobs[1]} | options
    with pytest.raises(InputError) as error:
        om.train(module, **given)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), before, strict=True))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")
def test_training_on_cuda_brings_the_module_back(blobs):
    runs = [om.make_network("dense-16", (4,), 3) for _ in range(2)]
    for module in runs:
        result = om.train(module, *blobs, epochs=20, batch_size=20, learning_rate=1e-2, device="auto")
        assert result.device == "cuda:0"
        assert result.accuracy == 1
        assert module.fc1.weight.device.type == "cpu"
    assert torch.equal(runs[0].fc1.weight, runs[1].fc1.weight)


def test_accuracy_is_the_share_of_right_answers_whatever_the_batches():
    images = np.eye(3)[[0, 1, 2, 0, 1]]
    module = nn.Sequential(nn.Identity())
    assert om.accuracy(module, images, [0, 1, 2, 1, 0]) == 0.6
    assert om.accuracy(module, images, [0, 1, 2, 1, 0], batch_size=2) == 0.6


def test_a_module_and_its_network_agree():
    data = om.load_dataset(split="test")
    module = om.make_network("dense-12-6", seed=4)
    network = om.read_network(module, input_shape=(1, 28, 28))
    assert np.allclose(logits(module, data.images), logits(network, data.images, batch_size=77), atol=1e-5)
    assert om.accuracy(module, *data) == pytest.approx(om.accuracy(network, *data), abs=0.005)


def test_evaluation_uses_eval_mode_and_keeps_each_parts_own_mode():
    module = dropout_net().train()
    module[1].eval()
    x = np.random.default_rng(0).normal(size=(6, 4))
    assert np.array_equal(logits(module, x), logits(module, x))
    assert [part.training for part in module] == [True, False, True, True, True]
    assert int(module[1].num_batches_tracked) == 0


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (nn.Flatten(0), "the module gives shape"),
        (nn.LSTM(4, 2), "the module gives a tuple"),
        (nn.Conv2d(1, 1, 3), "the module cannot take shape (n, 4)"),
        (object(), "got a object"),
    ],
)
def test_what_gives_no_logits_is_refused(network, words):
    with pytest.raises(InputError) as error:
        logits(network, np.zeros((2, 4)))
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_logits_that_are_not_finite_have_no_accuracy():
    module = nn.Linear(4, 2)
    nn.init.constant_(module.bias, float("nan"))
    with pytest.raises(InputError, match="not finite"):
        om.accuracy(module, np.zeros((2, 4)), [0, 1])


def test_the_embedded_images_train_a_usable_network_in_seconds():
    data, test = om.load_dataset(), om.load_dataset(split="test")
    module = om.make_network("fc3")
    om.train(module, data.images, data.labels, epochs=5, batch_size=64, optimizer="adam", threads=1)
    assert om.accuracy(module, *test) > 0.7


@pytest.mark.parametrize("train", [om.train, om.train_greedy])
def test_who_waits_is_told_the_epoch(train, monkeypatch):
    monkeypatch.setattr("oamip_model.clock._SILENCE", 0.0)
    said: list[str] = []
    x, y = np.random.default_rng(0).uniform(size=(20, 4)), np.arange(20) % 2
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    with telling(said.append):
        train(module, x, y, epochs=2)
    assert [line for line in said if line.startswith("epoch")] == ["epoch 1 of 2", "epoch 2 of 2"]
