"""The networks by name that are not plain chains: read, pruned and written without a change of their function."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import oamip_model as om

pytestmark = pytest.mark.xdist_group("named networks")  # what its fixtures make takes long

CASES = {"vgg16-bn-0.03": (1, 28, 28), "resnet20-0.25": (3, 12, 12)}


@pytest.fixture(scope="module", params=CASES)
def trained(request):
    """A network with batch norm statistics that one epoch on random images gave it; and its shape."""
    shape = CASES[request.param]
    module = om.make_network(request.param, shape, classes=3, seed=1)
    rng = np.random.default_rng(0)
    om.train(module, rng.normal(0.5, 2, (12, *shape)), np.arange(12) % 3, epochs=1, batch_size=4, threads=1)
    return module, om.read_network(module, shape), shape


def units(network):
    return {group.name: group.size for group in network.groups}


def test_every_filter_is_in_a_group_and_the_additions_of_a_stage_tie_theirs(trained):
    module, network, _ = trained
    names = {name for name, part in module.named_modules() if isinstance(part, torch.nn.Conv2d | torch.nn.Linear)}
    last = [name for name in names if name.startswith("fc")]
    assert {name for group in network.groups for name in group.producers} == names - {max(last)}
    if "stage1" in dict(module.named_children()):
        tied = {group.name: set(group.producers) for group in network.groups if len(group.producers) > 1}
        assert tied["conv1"] == {"conv1", *(f"stage1.{block}.conv2" for block in range(3))}
        assert len(tied) == 3
        assert len(network.groups) == 3 + 9


def test_what_is_read_replays_as_the_module_does(trained):
    module, network, shape = trained
    images = np.random.default_rng(3).normal(0.5, 2, (5, *shape))
    with torch.no_grad():
        wanted = module.double()(torch.tensor(images)).numpy()
    module.float()
    np.testing.assert_allclose(network.replay(images), wanted, atol=1e-5 * max(1, np.abs(wanted).max()))


def test_removal_and_export_give_the_network_without_the_units(trained, tmp_path):
    module, network, shape = trained
    smaller, report = om.prune_with_report(module, om.baseline_scores(network, "random"), amount=0.5, network=network)
    assert not report.rebuilt
    assert not report.zeroed
    keep = {name: np.ones(size) for name, size in units(network).items()}
    for name, gone in report.removed.items():
        keep[name][gone] = 0.0
    images = np.random.default_rng(4).normal(0.5, 2, (5, *shape))
    wanted = network.replay(images, keep)
    for suffix in (".onnx", ".pt2"):
        again = om.read_network(om.save_module(smaller, tmp_path / f"small{suffix}", shape))
        assert sorted(units(again).values()) == sorted(int(mask.sum()) for mask in keep.values())
        np.testing.assert_allclose(again.replay(images), wanted, atol=1e-5 * max(1, np.abs(wanted).max()))
