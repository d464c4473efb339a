"""Reparametrised and wrapped modules are read, pruned and saved as the plain modules that they compute."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm

import oamip_model as om


class Positive(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


def _positive(layer: nn.Module) -> nn.Module:
    parametrize.register_parametrization(layer, "weight", Positive())
    return layer


NORMS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "old weight norm": weight_norm,
    "old weight norm of the whole": lambda layer: weight_norm(layer, dim=None),
    "old spectral norm": spectral_norm,
    "weight norm": parametrizations.weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "own parametrisation": _positive,
}


def _module(norm: Callable[[nn.Module], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    conv, dense = norm(nn.Conv2d(1, 4, 3)), norm(nn.Linear(64, 5))
    module = nn.Sequential(conv, nn.ReLU(), nn.Flatten(), dense, nn.ReLU(), nn.Linear(5, 3))
    module(torch.randn(2, 1, 6, 6))  # a step of the power iteration
    return module.eval()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", NORMS)
def test_reparametrised_modules_are_read_pruned_and_saved(kind: str, tmp_path: Path) -> None:
    module = _module(NORMS[kind])
    images = torch.randn(3, 1, 6, 6)
    with torch.no_grad():
        wanted = module(images)
    network = om.read_network(module, (1, 6, 6))
    torch.testing.assert_close(torch.tensor(network.replay(images.numpy())).float(), wanted, rtol=1e-5, atol=1e-5)
    assert [group.name for group in network.groups] == ["0", "3"]
    smaller, report = om.prune_with_report(module, om.baseline_scores(network, "random"), amount=0.5, network=network)
    assert not report.rebuilt
    for suffix in (".onnx", ".pt2"):
        assert om.read_network(om.save_module(module, tmp_path / f"net{suffix}", (1, 6, 6))).groups[1].size == 5
        small = om.read_network(om.save_module(smaller, tmp_path / f"small{suffix}", (1, 6, 6)))
        assert small.fingerprint == om.read_network(smaller, (1, 6, 6)).fingerprint
    # The module itself is as it was.
    with torch.no_grad():
        torch.testing.assert_close(module(images), wanted)
    assert any(name.endswith(("_g", "_orig", "original", "original0")) for name, _ in module.named_parameters())


@pytest.mark.parametrize("wrap", [nn.DataParallel, torch.optim.swa_utils.AveragedModel, torch.compile])
def test_wrapped_modules_are_what_they_wrap(wrap: Callable[[nn.Module], nn.Module], tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).eval()
    network, wrapped = om.read_network(module), wrap(module).eval()
    assert om.read_network(wrapped).fingerprint == network.fingerprint
    smaller = om.prune(wrapped, {"0": [0.0, 1.0, 1.0]}, threshold=0.5, network=om.read_network(wrapped, (4,)))
    assert isinstance(smaller, nn.Sequential)
    for suffix in (".onnx", ".pt2"):
        found = om.read_network(om.save_module(wrapped, tmp_path / f"net{suffix}", (4,)))
        assert found.fingerprint == network.fingerprint


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_modules_of_other_precisions_are_saved_and_read_again(dtype: torch.dtype, tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).to(dtype).eval()
    network = om.read_network(module)
    for suffix in (".onnx", ".pt2"):
        found = om.read_network(om.save_module(module, tmp_path / f"net{suffix}", (4,)))
        assert found.fingerprint == network.fingerprint


class Computes(nn.Module):
    """A module whose forward pass is one function of its two dense layers and the image."""

    def __init__(self, function: Callable[..., Any], second: nn.Module | None = None) -> None:
        super().__init__()
        self.function, self.a, self.b = function, nn.Linear(4, 5), second or nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def _by_weights(module: Computes, x: Tensor) -> Tensor:
    return module.b(functional.linear(x, functional.dropout(module.a.weight, 0.5, False), module.a.bias).relu())


ODD: dict[str, Callable[[], nn.Module]] = {
    "output in a dictionary": lambda: Computes(lambda s, x: {"logits": s.b(s.a(x).relu())}),
    "output in a list": lambda: Computes(lambda s, x: [s.b(s.a(x).relu())]),
    "weights without their module": lambda: Computes(_by_weights),
    "two precisions": lambda: Computes(lambda s, x: s.b(s.a(x).relu()), nn.Linear(5, 3).double()),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ODD)
def test_odd_modules_are_pruned(kind: str) -> None:
    torch.manual_seed(0)
    module = ODD[kind]().eval()
    network = om.read_network(module, (4,))
    scores = om.baseline_scores(network, "weight-l1")
    smaller = om.prune(module, scores, amount=0.4, network=network)
    mask = om.choose_units(scores, network, amount=0.4).keep
    images = np.random.default_rng(0).normal(size=(5, 4))
    wanted = network.replay(images, {name: kept.astype(float) for name, kept in mask.items()})
    np.testing.assert_allclose(om.read_network(smaller, (4,)).replay(images), wanted, rtol=1e-5, atol=1e-6)


def test_a_module_with_two_outputs_is_not_pruned() -> None:
    module = Computes(lambda s, x: (s.b(s.a(x).relu()), s.a(x))).eval()
    network = om.read_network(module, (4,), output="0")
    with pytest.raises(om.InputError, match=r"^module: Computes gives 2 outputs, accepted is one tensor$"):
        om.prune(module, om.baseline_scores(network, "weight-l1"), amount=0.4, network=network)
