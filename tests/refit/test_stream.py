"""Images for a refit: arrays, data sets and loaders, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pruning.conftest import build
from refit_masks import masks
from torch.utils.data import DataLoader, TensorDataset

import oamip_model as om
from oamip_model.refit.stream import image_stream


@pytest.fixture(scope="module")
def network():
    return om.read_network(*build("mlp"))


def test_a_loader_is_the_array_that_it_reads(network):
    images = np.random.default_rng(0).normal(size=(30, 6))
    labels = torch.arange(30) % 3
    loader = DataLoader(TensorDataset(torch.as_tensor(images), labels), batch_size=7)
    keep = masks(network, 0)
    one, told = om.refit_network(network, keep, loader)
    other, plain = om.refit_network(network, keep, images)
    np.testing.assert_allclose(one.layers[1].terms[0].map.weight, other.layers[1].terms[0].map.weight, atol=1e-6)
    assert told.images == plain.images == 30
    assert plain.trained_accuracy is None
    with_labels = om.refit_network(network, keep, om.Dataset(images, labels.numpy(), "made", 3))[1]
    assert told.trained_accuracy == with_labels.trained_accuracy == om.accuracy(network, images, labels)
    assert [s.accuracy for s in told.stages] == pytest.approx([s.accuracy for s in with_labels.stages], abs=0.04)


def test_the_order_of_a_shuffled_loader_does_not_mix_images(network):
    images = torch.as_tensor(np.random.default_rng(0).normal(size=(30, 6)))
    keep = masks(network, 0)
    torch.manual_seed(0)
    one, _ = om.refit_network(network, keep, DataLoader(images, batch_size=7, shuffle=True))
    other, _ = om.refit_network(network, keep, images)
    np.testing.assert_allclose(one.layers[2].terms[0].map.weight, other.layers[2].terms[0].map.weight, atol=1e-5)


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((0, 6)), "no images"),
        (np.zeros((3, 5)), "the network takes"),
        (np.full((3, 6), np.nan), "NaN"),
        (DataLoader(torch.zeros(3, 5)), "the network takes"),
        (iter([torch.zeros(3, 6)]), "several times"),
        (DataLoader([{"a": 1}], collate_fn=lambda x: x[0]), "the loader gives a dict"),
        (DataLoader(TensorDataset(torch.zeros(2, 6), torch.tensor([0, 9]))), "accepted are integers from 0 to 2"),
        (7, "got int"),
    ],
)
def test_what_cannot_be_read_is_refused(network, images, told):
    with pytest.raises(om.InputError, match=r"images|labels") as refusal:
        om.refit_network(network, masks(network, 0), images)
    assert told in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_stream_can_be_read_again(network):
    stream = image_stream(network, np.zeros((5, 6)), batch_size=2)
    assert [len(images) for images, _ in stream] == [len(images) for images, _ in stream] == [2, 2, 1]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"level": "best"}, "level: got 'best', accepted are least-squares, output, outgoing"),
        ({"ridge": 0}, "ridge"),
        ({"ridge": 2.0}, "ridge"),
        ({"rows": 0}, "rows"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"passes": 0}, "passes"),
        ({"learning_rate": -1}, "learning_rate"),
        ({"held_out": 1.0}, "held_out"),
        ({"seed": 1.5}, "seed"),
    ],
)
def test_options_out_of_range_are_refused(options, told):
    with pytest.raises(om.InputError, match=told):
        om.Refit(**options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"passes": 3}, "passes: got 3, but only the level outgoing has a use for it"),
        ({"level": "output", "varied": False}, "varied: got False, but only the level outgoing"),
        ({"tolerance": 1e-6}, "tolerance: got 1e-06, but only the levels output and outgoing"),
    ],
)
def test_options_of_a_later_level_are_refused(options, told):
    with pytest.raises(om.InputError, match=told):
        om.Refit(**options)


def test_masks_that_do_not_fit_are_refused(network):
    images = np.zeros((3, 6))
    with pytest.raises(om.InputError, match="unknown layer 'x'"):
        om.refit_network(network, {"x": [True]}, images)
    with pytest.raises(om.InputError, match="layer 0 got a mask of shape"):
        om.refit_network(network, {"0": [True]}, images)
    with pytest.raises(om.InputError, match="with 0 units"):
        om.refit_network(network, {"0": [False] * 8}, images)
    with pytest.raises(om.InputError, match="device"):
        om.refit_network(network, masks(network, 0), images, om.Refit(device="cuda:99"))
