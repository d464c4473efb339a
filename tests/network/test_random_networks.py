"""Random networks of all kinds of operators: read, bounded, scored, cut, saved and read again."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from replays import assert_within, gates, passes
from thinned import examples
from torch import Tensor, nn
from torch.nn import functional as F

import oamip_model as om
from oamip_model.bounds import interval_bounds
from oamip_model.formulation import cross_entropy, sparsity_weights
from oamip_model.tightening import BOUND_METHODS

SHAPE, TINY = (2, 4, 4), (1, 2, 2)
MASK = torch.tensor([[True, False], [True, True]])


class Step(nn.Module):
    """A function of what comes before."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Beside(nn.Module):
    """What one part makes beside, or added to, or the larger of it and what another does."""

    def __init__(self, a: nn.Module, b: nn.Module, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.join = a, b, join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.a(x), self.b(x))


def side(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], 1)


class Weighed(nn.Module):
    """A function of what comes before and of weights."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor], *shape: int) -> None:
        super().__init__()
        self.function, self.weight = function, nn.Parameter(torch.randn(*shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, self.weight)


def conv(channels: int, outputs: int = 2, bent: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(nn.Conv2d(channels, outputs, 3, padding=1), nn.ReLU() if bent is None else bent)


def same(function: Callable[[Tensor], Tensor]) -> Callable[[int], tuple[nn.Module, int]]:
    return lambda c: (Step(function), c)


# Each gives a module and the number of channels that it makes; height and width are as before.
STEPS: dict[str, Callable[[int], tuple[nn.Module, int]]] = {
    "conv": lambda c: (conv(c), 2),
    "beside": lambda c: (Beside(conv(c, 2), conv(c, 1), side), 3),
    "dense block": lambda c: (Beside(nn.Identity(), conv(c, 1), side), c + 1),
    "residual": lambda c: (Beside(nn.Identity(), nn.Conv2d(c, c, 1), torch.add), c),
    "larger": lambda c: (Beside(nn.Conv2d(c, 2, 1), nn.Conv2d(c, 2, 1), torch.maximum), 2),
    "smaller": lambda c: (Beside(conv(c), nn.Conv2d(c, 2, 1), torch.minimum), 2),
    "norm": lambda c: (nn.Sequential(nn.BatchNorm2d(c), nn.ReLU()), c),
    "depthwise": lambda c: (nn.Sequential(nn.Conv2d(c, c, 3, padding=1, groups=c), nn.ReLU()), c),
    "linear on channels": lambda c: (nn.Sequential(Step(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(c, 2), nn.ReLU(),
                                                   Step(lambda x: x.permute(0, 3, 1, 2))), 2),
    "leaky": lambda c: (conv(c, 2, nn.LeakyReLU(0.2)), 2),
    "prelu": lambda c: (conv(c, 2, nn.PReLU(2)), 2),
    "relu6": lambda c: (conv(c, 2, nn.ReLU6()), 2),
    "hardtanh": lambda c: (conv(c, 2, nn.Hardtanh(-0.5, 0.3)), 2),
    "hard sigmoid": lambda c: (conv(c, 2, nn.Hardsigmoid()), 2),
    "absolute": lambda c: (conv(c, 2, Step(torch.abs)), 2),
    "there and back": lambda c: (nn.Sequential(nn.Conv2d(c, 2, 2, stride=2), nn.ReLU(),
                                               nn.ConvTranspose2d(2, 2, 2, stride=2), nn.ReLU()), 2),
    "shuffled": lambda c: (nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * c, 4, 1), nn.ReLU(), nn.PixelShuffle(2)),
                           1),
    "pooled and enlarged": lambda c: (nn.Sequential(nn.MaxPool2d(2), nn.Upsample(scale_factor=2)), c),
    "averaged and enlarged": lambda c: (nn.Sequential(nn.AvgPool2d(2), nn.Upsample(None, 2, "bilinear")), c),
    "pooled": lambda c: (nn.MaxPool2d(3, 1, 1), c),
    "bordered": lambda c: (nn.Sequential(nn.ZeroPad2d((1, 0, 0, 1)), nn.AvgPool2d(2, 1)), c),
    "einsum of channels": lambda c: (nn.Sequential(Weighed(lambda x, w: torch.einsum("bchw,co->bohw", x, w), c, 2),
                                                   nn.ReLU()), 2),
    "a matrix for each channel": lambda c: (
        nn.Sequential(Weighed(lambda x, w: (x.unflatten(3, (-1, 2)) @ w).flatten(3), c, 1, 2, 2), nn.ReLU()), c),
    "smallest of a row": same(lambda x: x + x.amin(3, keepdim=True)),
    "clamped": same(lambda x: (x + 0.2).clamp(max=0.4)),
    "in one dimension": lambda c: (nn.Sequential(
        nn.Flatten(2), nn.Conv1d(c, 2, 3, padding=1), nn.ReLU(), Step(lambda x: x.unflatten(2, (2, -1))),
        Step(lambda x: x.reshape(len(x), 2, int(x[0, 0].numel() ** 0.5), -1))), 2),
    "turned": same(lambda x: x.transpose(2, 3)),
    "flipped": same(lambda x: x.flip(1)),
    "rolled": same(lambda x: x.roll(1, 3)),
    "plus its mean": same(lambda x: x + x.mean((2, 3), keepdim=True)),
    "minus its largest": same(lambda x: x - x.amax(3, keepdim=True)),
    "a constant": same(lambda x: (x - 0.1) * 1.5),
    "masked": same(lambda x: x.masked_fill(MASK.repeat(x.shape[2] // 2, x.shape[3] // 2), 0.2)),
    "chosen": same(lambda x: torch.where(MASK.repeat(x.shape[2] // 2, x.shape[3] // 2), x, -x.flip(2))),
}  # fmt: skip


def drawn(names: tuple[str, ...], seed: int, shape: tuple[int, ...]) -> nn.Module:
    """A network of these steps, with an average and a linear layer on top."""
    torch.manual_seed(seed)
    channels, steps = shape[0], []
    for name in names:
        step, channels = STEPS[name](channels)
        steps.append(step)
    top = [conv(channels), Step(lambda x: F.avg_pool2d(x, 2)), nn.Flatten()]
    module = nn.Sequential(*steps, *top, nn.Linear(2 * shape[1] * shape[2] // 4, 3))
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.running_mean, std=0.2)
            nn.init.uniform_(part.running_var, 0.5, 2.0)
    return module.eval()


def some_steps(most: int) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=most).map(tuple)


@pytest.mark.filterwarnings("ignore")
@settings(deadline=None, derandomize=True, max_examples=examples(6, 150))
@given(names=some_steps(4), seed=st.integers(0, 999))
def test_a_random_network_is_read_cut_saved_and_read_again(
    names: tuple[str, ...], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    module = drawn(names, seed, SHAPE)
    network = om.read_network(module, SHAPE)
    images = np.random.default_rng(0).normal(size=(5, *SHAPE))
    with torch.no_grad():
        wanted = drawn(names, seed, SHAPE).double()(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(network.replay(images), wanted, rtol=1e-5, atol=1e-5)
    random = np.random.default_rng(seed)
    scores = {group.name: (random.random(group.size) > 0.4).astype(float) for group in network.groups}
    for group in scores.values():
        group[0] = 1.0
    assert scores
    mode = "mask" if seed % 3 == 0 else "remove"
    pruned, report = om.prune_with_report(module, scores, threshold=0.5, mode=mode, network=network)
    left = network.replay(images, scores)
    assert report.parameters_after <= report.parameters_before or report.rebuilt
    with torch.no_grad():
        np.testing.assert_allclose(pruned(torch.from_numpy(images).float()).numpy(), left, rtol=1e-4, atol=1e-4)
    path = tmp_path_factory.mktemp("random") / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(pruned, (torch.randn(2, *SHAPE),), path, dynamo=False)
    np.testing.assert_allclose(om.read_network(path).replay(images), left, rtol=1e-4, atol=1e-4)


@dataclass
class Tiny:
    """A network of few units."""

    network: Any
    sizes: list[int]

    def split(self, flat: np.ndarray) -> dict[str, np.ndarray]:
        parts = np.split(np.asarray(flat, dtype=float), np.cumsum(self.sizes)[:-1])
        return {group.name: part for group, part in zip(self.network.groups, parts, strict=True)}


@settings(deadline=None, derandomize=True, max_examples=examples(5, 120))
@given(names=some_steps(3), seed=st.integers(0, 999))
def test_bounds_of_a_random_network_hold_and_its_best_scores_are_those_of_all(
    names: tuple[str, ...], seed: int
) -> None:
    network = om.read_network(drawn(names, seed, TINY), TINY)
    tiny = Tiny(network, [group.size for group in network.groups])
    units = sum(tiny.sizes)
    assume(0 < units <= 8)
    random = np.random.default_rng(seed)
    images = random.normal(size=(1, *TINY))
    limits = {"mip": {"solve_limit": 0.02}}
    rungs = [om.compute_bounds(network, images, om.Tightening(name, **limits.get(name, {}))) for name in BOUND_METHODS]
    interval = interval_bounds(network, images)
    binary = [np.array(bits) for bits in itertools.product([0.0, 1.0], repeat=units)]
    for flat in (*binary[:: max(1, len(binary) // 16)], *(random.uniform(size=units) for _ in range(6))):
        for gate in gates(tiny, flat, interval):
            before, after = passes(network, images, gate)
            for bounds in rungs:
                assert_within(bounds, before, after)
    labels = network.replay(images).argmax(axis=1)
    for gate_name in ("subtractive", "switch"):
        formulation = om.Formulation(gate=gate_name, scores="binary", loss="cross-entropy", sparsity="mean", weight=5.0)
        found = om.solve_instance(
            om.build_instance(network, images, labels, formulation, bounds=rungs[1]), om.Solver(tolerance=1e-7)
        )
        weights = sparsity_weights(network, "mean")
        best = min(
            5.0 * cross_entropy(network.replay(images, tiny.split(bits)), labels).mean() + float(weights @ bits)
            for bits in binary
        )
        assert found.status == "optimal"
        assert found.objective == pytest.approx(best, rel=1e-6, abs=1e-6)
