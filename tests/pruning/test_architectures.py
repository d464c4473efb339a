"""Unmodified modules of well-known architectures: scored, pruned, refitted and exported, equal to masking."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from architectures import ARCHITECTURES, architecture

import oamip_model as om
from oamip_model.pruning import prune_with_report

SHAPE = (2, 8, 8)
REFITS = {"none": None, "least-squares": "least-squares", "outgoing": om.Refit(level="outgoing", passes=2)}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.thinned(4)
@pytest.mark.parametrize("mode", ["remove", "mask"])
@pytest.mark.parametrize("refit", REFITS)
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_pruned_is_the_network_with_masks(name: str, refit: str, mode: str, tmp_path: Path) -> None:
    module = architecture(name)
    network = om.read_network(module, SHAPE)
    images = np.random.default_rng(0).normal(size=(20, *SHAPE))
    # All of their ReLUs are scored, but for the one whose convolution makes the logits.
    free = [layer.name for layer in network.layers[:-1] if layer.activation == "relu" and layer.group is None]
    assert len(free) == (name == "SqueezeNet")
    scores = om.baseline_scores(network, "random", seed=1)
    keep = om.choose_units(scores, network, amount=0.4).keep
    assert sum(int((~kept).sum()) for kept in keep.values()) > 5
    fitted, more = network, {}
    if refit != "none":
        fitted, more = om.refit_network(network, keep, images, REFITS[refit])[0], {"refit": REFITS[refit]}
        more["images"] = images
    wanted = fitted.replay(images, {group: mask.astype(float) for group, mask in keep.items()})
    most = 1e-5 * max(1.0, float(np.abs(wanted).max()))
    pruned, report = prune_with_report(module, scores, amount=0.4, mode=mode, network=network, **more)
    with torch.no_grad():
        found = pruned(torch.as_tensor(images, dtype=torch.float32)).flatten(1).numpy()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=most)
    assert report.zeroed == {}
    assert report.parameters_after < report.parameters_before
    if mode == "remove":
        suffix = ".onnx" if refit == "outgoing" else ".pt2"
        again = om.read_network(om.save_module(pruned, tmp_path / f"net{suffix}", SHAPE))
        np.testing.assert_allclose(again.replay(images), wanted, rtol=0, atol=most)
