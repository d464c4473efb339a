"""Random networks of all kinds of operators: read, cut at random, saved and read again, with the logits of torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import oamip_model as om

SHAPE = (2, 4, 4)


class Step(nn.Module):
    """A function of what comes before, of one shape for images and of the same shape for its result."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Beside(nn.Module):
    """What one part makes, beside what another does."""

    def __init__(self, a: nn.Module, b: nn.Module) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.a(x), self.b(x)], 1)


def conv(channels: int, outputs: int = 3) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU())


STEPS: tuple[tuple[str, Callable[[int], tuple[nn.Module, int]]], ...] = (
    ("conv", lambda c: (conv(c), 3)),
    ("beside", lambda c: (Beside(conv(c, 2), conv(c, 2)), 4)),
    ("dense block", lambda c: (Beside(nn.Identity(), conv(c, 2)), c + 2)),
    ("norm", lambda c: (nn.Sequential(nn.BatchNorm2d(c), nn.ReLU()), c)),
    ("turned", lambda c: (Step(lambda x: x.transpose(2, 3)), c)),
    ("flipped", lambda c: (Step(lambda x: x.flip(1)), c)),
    ("linear on channels", lambda c: (nn.Sequential(Step(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(c, 3), nn.ReLU(),
                                                    Step(lambda x: x.permute(0, 3, 1, 2))), 3)),
    ("bent", lambda c: (nn.Sequential(nn.Conv2d(c, 3, 1), nn.LeakyReLU(0.2)), 3)),
    ("relu6", lambda c: (nn.Sequential(nn.Conv2d(c, 3, 1), nn.ReLU6()), 3)),
    ("there and back", lambda c: (nn.Sequential(nn.Conv2d(c, 2, 2, stride=2), nn.ReLU(),
                                                nn.ConvTranspose2d(2, 3, 2, stride=2), nn.ReLU()), 3)),
    ("pooled and enlarged", lambda c: (nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)), c)),
    ("plus its mean", lambda c: (Step(lambda x: x + x.mean((2, 3), keepdim=True)), c)),
    ("a constant", lambda c: (Step(lambda x: (x - 0.1) * 1.5), c)),
)  # fmt: skip


def drawn(seed: int) -> nn.Module:
    """A network of four steps that are drawn at random, with an average and a linear layer on top."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    channels, steps = SHAPE[0], []
    for number in random.integers(len(STEPS), size=4):
        step, channels = STEPS[number][1](channels)
        steps.append(step)
    module = nn.Sequential(*steps, conv(channels), Step(lambda x: F.avg_pool2d(x, 2)), nn.Flatten(), nn.Linear(12, 3))
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.2)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval()


@pytest.mark.parametrize("seed", range(10))
def test_a_random_network_is_read_cut_saved_and_read_again(seed: int, tmp_path: Path) -> None:
    module = drawn(seed)
    network = om.read_network(module, SHAPE)
    images = np.random.default_rng(0).normal(size=(5, *SHAPE))
    with torch.no_grad():
        wanted = drawn(seed).double()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(network.replay(images), wanted, rtol=1e-5, atol=1e-5)
    random = np.random.default_rng(seed)
    scores = {group.name: (random.random(group.size) > 0.4).astype(float) for group in network.groups}
    for group in scores.values():
        group[0] = 1.0
    assert scores
    smaller, report = om.prune_with_report(module, scores, threshold=0.5, network=network)
    left = network.replay(images, scores)
    assert report.parameters_after <= report.parameters_before or report.rebuilt
    with torch.no_grad():
        np.testing.assert_allclose(smaller(torch.from_numpy(images).float()).numpy(), left, rtol=1e-4, atol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(smaller, (torch.randn(2, *SHAPE),), tmp_path / "net.onnx", dynamo=False)
    again = om.read_network(tmp_path / "net.onnx")
    np.testing.assert_allclose(again.replay(images), left, rtol=1e-4, atol=1e-4)
