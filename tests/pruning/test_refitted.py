"""Pruning with a refit: the module, smaller or masked, is the refitted network, and the report says what was done."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.pruning import prune_with_report
from oamip_model.refit.outgoing import fit


def test_removal_and_masks_give_the_same_refitted_network(case):
    name, module, shape = case
    network = om.read_network(module, shape)
    images = np.random.default_rng(0).normal(size=(80, *shape))
    scores = om.baseline_scores(network, "random", seed=1)
    keep = om.choose_units(scores, network, amount=0.4).keep
    wanted = om.refit_network(network, keep, images)[0].replay(images, {k: m.astype(float) for k, m in keep.items()})
    before = {key: value.clone() for key, value in module.state_dict().items()}
    for mode in ("remove", "mask"):
        pruned, report = prune_with_report(
            module, scores, amount=0.4, mode=mode, network=network, refit="least-squares", images=images
        )
        assert report.refit is not None
        assert "least-squares" in report.summary()
        assert report.parameters_before == sum(p.numel() for p in module.parameters())
        with torch.no_grad():
            found = pruned.double()(torch.as_tensor(images)).reshape(len(images), -1).numpy()
        np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1.0, np.abs(wanted).max()))
        if name in ("mlp", "conv", "max-pool", "residual", "projection", "average-pool", "mlp-norm"):
            assert not report.rebuilt, report.reason
            assert type(pruned) is type(module)
    assert all(torch.equal(value, module.state_dict()[key]) for key, value in before.items())


def test_files_are_refitted_too(tmp_path, module_of):
    module, shape = module_of("conv")
    path = om.save_module(module, tmp_path / "net.onnx", shape)
    images = np.random.default_rng(0).normal(size=(80, *shape))
    scores = {group.name: np.linspace(0, 1, group.size) for group in om.read_network(path).groups}
    plain, refitted = (
        om.prune(path, scores, amount=0.5, **more) for more in ({}, {"refit": "least-squares", "images": images})
    )
    wanted = om.read_network(path).replay(images)
    far = [np.abs(om.read_network(net, shape).replay(images) - wanted).mean() for net in (plain, refitted)]
    assert far[1] < far[0]


def test_a_batch_norm_with_a_scale_of_zero_makes_the_module_be_rebuilt():
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 3)
    ).eval()
    with torch.no_grad():
        module[3].weight[1] = 0.0
    images = np.random.default_rng(0).normal(size=(80, 6))
    scores = {"0": np.linspace(0, 1, 5), "2": np.linspace(0, 1, 4)}
    _, report = prune_with_report(
        module, scores, amount={"0": 0.4}, refit="least-squares", images=images, network=om.read_network(module, (6,))
    )
    assert report.rebuilt
    assert "batch norm" in report.reason


def test_an_interrupted_refit_gives_its_best_pass_with_a_warning(module_of, monkeypatch):
    module, shape = module_of("mlp")
    scores = om.baseline_scores(om.read_network(module, shape), "random", seed=1)
    asked = om.Refit(level="outgoing", passes=4)
    more = {"amount": 0.4, "network": om.read_network(module, shape), "refit": asked}
    more["images"] = np.random.default_rng(0).normal(size=(80, *shape))
    one_pass = fit._Training.one_pass

    def one_and_ended(training, planned):
        if training.made == 1:
            raise KeyboardInterrupt
        return one_pass(training, planned)

    monkeypatch.setattr(fit._Training, "one_pass", one_and_ended)
    with pytest.warns(RuntimeWarning, match="interrupted: .*of 1, interrupted before 4"):
        smaller = om.prune(module, scores, **more)
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in module.parameters())


def test_a_refit_and_its_images_go_together(module_of):
    module, _ = module_of("mlp")
    scores = {"0": np.ones(8), "2": np.ones(5)}
    with pytest.raises(om.InputError, match="images: a refit needs some"):
        om.prune(module, scores, amount=0.5, refit="least-squares", network=om.read_network(module, (6,)))
    with pytest.raises(om.InputError, match="without a refit"):
        om.prune(module, scores, amount=0.5, images=np.zeros((3, 6)), network=om.read_network(module, (6,)))
    with pytest.raises(om.InputError, match="refit: got 'all'"):
        om.prune(
            module, scores, amount=0.5, refit="all", images=np.zeros((3, 6)), network=om.read_network(module, (6,))
        )
