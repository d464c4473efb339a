"""Deep networks, narrow here, go all the way: import, scores of every layer, removal, export, and the same logits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.pruning import choose_units
from oamip_model.scoring.layerwise.heads import trained as heads

torch.set_num_threads(1)
SHAPE = (3, 32, 32)


@pytest.mark.parametrize(
    ("name", "layers", "head", "scope"),
    [("vgg16-bn-0.05", 13, "linear", "layer"), ("resnet20-0.25", 19, "pattern", "global")],
)
def test_deep_networks_are_scored_and_cut(
    name: str, layers: int, head: str, scope: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "_STEPS", 50)
    module = om.make_network(name, SHAPE, classes=3)
    rng = np.random.default_rng(0)
    images, labels = rng.uniform(size=(12, *SHAPE)), np.arange(12) % 3
    module.train()
    with torch.no_grad():  # batch norm gets the statistics of these images
        for _ in range(30):
            module(torch.as_tensor(images, dtype=torch.float32))
    module.eval()
    network = om.read_network(module, SHAPE)
    convolutions = {k for group in network.groups for k in group.layers if len(network.layers[k].shape) == 3}
    assert len(convolutions) == layers
    if name.startswith("resnet"):
        tied = [len(group.layers) for group in network.groups if len(group.layers) > 1]
        assert len(tied) == 3, "the outputs of the blocks of a stage are added together"
    scores = om.score(network, images, labels, method=om.Decoupled(head=head), solver=om.Solver(tolerance=1e-2))
    assert scores.status == "optimal"
    assert [program.layer for program in scores.programs] == [group.name for group in network.groups]
    assert [program.variables for program in scores.programs] == [group.size + 1 for group in network.groups]
    smaller = om.prune(module, om.choose_units(scores, network, amount=0.3, scope=scope), network=network)
    exported = om.read_network(om.save_module(smaller, tmp_path / "smaller.onnx", SHAPE))
    keep = choose_units(scores, network, amount=0.3, scope=scope).keep
    masked = network.replay(images, {group: mask.astype(float) for group, mask in keep.items()})
    np.testing.assert_allclose(exported.replay(images), masked, atol=1e-4 * np.abs(masked).max())
    assert exported.parameters < network.parameters
