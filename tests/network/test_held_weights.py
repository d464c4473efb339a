"""Many weights stay in single precision until somebody uses them, and are the same numbers then."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.network import held
from oamip_model.network.readers.torch import reader as torch_reader

RANDOM = np.random.default_rng(0)


class Wide(nn.Sequential):
    """Layers with more weights than are made doubles as they are read, one of them behind a batch norm."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 116, 3), nn.BatchNorm2d(116), nn.ReLU(), nn.Conv2d(116, 2048, 2, groups=2), nn.ReLU(),
            nn.Conv2d(2048, 520, 1), nn.BatchNorm2d(520), nn.ReLU(), nn.Flatten(), nn.Linear(520 * 4, 520), nn.ReLU(),
            nn.Linear(520, 3),
        )  # fmt: skip
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                nn.init.normal_(part.running_mean, std=0.2)
                nn.init.uniform_(part.running_var, 0.5, 2.0)


@pytest.fixture(scope="module")
def wide() -> nn.Module:
    torch.manual_seed(1)
    return Wide().eval()


def held_in_single(network: om.Network) -> int:
    maps = [term.map for layer in network.layers for term in layer.terms]
    return sum(map.held is not None and map.held.dtype == np.float32 for map in maps)


@pytest.mark.parametrize("route", ["torch", "pt2", "onnx"])
def test_many_weights_stay_in_single_precision_until_they_are_used(
    route: str, wide: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "LARGE", 2**16)
    monkeypatch.setattr(torch_reader, "LARGE", 2**16)
    source: nn.Module | Path = tmp_path / f"net.{route}"
    if route == "torch":
        source = wide
    elif route == "pt2":
        torch.export.save(torch.export.export(wide, (torch.zeros(2, 3, 5, 5),)), source)
    else:
        torch.onnx.export(wide, (torch.zeros(2, 3, 5, 5),), source, dynamo=False)
    network = om.read_network(source, (3, 5, 5))
    # All but the small ones, after all that reading asks for.
    assert held_in_single(network) == 3
    assert network.size.parameters > 10**6
    assert network.fingerprint
    images = np.random.default_rng(0).normal(size=(3, 3, 5, 5))
    as_read = network.replay(images)
    assert held_in_single(network) == 3
    monkeypatch.setattr(held, "LARGE", 2**40)
    monkeypatch.setattr(torch_reader, "LARGE", 2**40)
    plain = om.read_network(source, (3, 5, 5))
    assert held_in_single(plain) == 0
    assert plain.fingerprint == network.fingerprint
    np.testing.assert_allclose(as_read, plain.replay(images), rtol=1e-12, atol=1e-12)
    for layer, other in zip(network.layers, plain.layers, strict=True):
        for term, like in zip(layer.terms, other.terms, strict=True):
            if like.map.weights is not None:
                assert term.map.weights is not None
                assert term.map.weights.dtype == np.float64
                assert term.map.weights is term.map.weights
                np.testing.assert_array_equal(term.map.weights, like.map.weights)
    assert held_in_single(network) == 0
    np.testing.assert_array_equal(network.replay(images), plain.replay(images))


def test_what_was_read_stays_when_the_module_or_the_file_changes(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(1030, 1030), nn.ReLU(), nn.Linear(1030, 3)).eval()
    with torch.no_grad():
        module[0].weight.copy_(torch.from_numpy((RANDOM.normal(size=(1030, 1030)) / 30).astype(np.float32)))
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(module, (torch.zeros(2, 1030),)), path)
    torch.onnx.export(module, (torch.zeros(2, 1030),), tmp_path / "net.onnx", dynamo=False)
    read = [om.read_network(module), om.read_network(path), om.read_network(tmp_path / "net.onnx")]
    assert [held_in_single(network) for network in read] == [1, 1, 1]
    before = read[0].fingerprint
    with torch.no_grad():
        module[0].weight.zero_()
    for name in ("net.pt2", "net.onnx"):
        with (tmp_path / name).open("r+b") as file:
            file.write(bytes(4 * 1030 * 1030))
    assert [network.fingerprint for network in read] == [before] * 3
