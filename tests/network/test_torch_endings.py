"""What a torch module has behind its logits is left out as in an .onnx file of it, and said in the same words."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from one_line import one_line
from torch import Tensor, nn
from torch.nn import functional as F

import oamip_model as om


class Ended(nn.Module):
    """Two layers and an ending."""

    def __init__(self, ending: Callable[[Tensor], Any], outputs: int = 3) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, outputs))
        self.ending = ending

    def forward(self, x: Tensor) -> Any:
        return self.ending(self.body(x))


# Each with the logits that are read, as a function of what the body gives.
ENDINGS: dict[str, tuple[Callable[[Tensor], Any], Callable[[Tensor], Tensor]]] = {
    "softmax": (lambda z: z.softmax(1), lambda z: z),
    "log softmax": (lambda z: F.log_softmax(z, -1), lambda z: z),
    "logarithm of a softmax": (lambda z: torch.log(torch.softmax(z, 1)), lambda z: z),
    "sigmoid": (torch.sigmoid, lambda z: z),
    "sigmoid, clipped": (lambda z: torch.sigmoid(z).clamp(1e-6, 1 - 1e-6), lambda z: z),
    "tanh": (torch.tanh, lambda z: z),
    "tanh of an actor, scaled and shifted": (lambda z: torch.tanh(z) * 2.0 - 1.0, lambda z: 2 * z - 1),
    "softplus": (F.softplus, lambda z: z),
    "argmax": (lambda z: z.argmax(1), lambda z: z),
    "softmax, then argmax": (lambda z: z.softmax(1).argmax(dim=-1), lambda z: z),
    "the place of the largest": (lambda z: torch.max(z, 1)[1], lambda z: z),
    "the places of the largest two": (lambda z: z.topk(2)[1], lambda z: z),
    "a threshold, as numbers": (lambda z: (torch.sigmoid(z) > 0.5).float(), lambda z: z),
    "sign": (torch.sign, lambda z: z),
    "softmax, reshaped": (lambda z: z.softmax(1).reshape(-1, 3, 1).squeeze(2), lambda z: z),
    "in place": (lambda z: z.sigmoid_().mul_(2.0), lambda z: 2 * z),
}  # fmt: skip


def of_file(module: nn.Module, path: Path) -> om.Network:
    torch.export.save(torch.export.export(module, (torch.zeros(2, 4),)), path)
    return om.read_network(path)


def left_out(network: om.Network) -> list[str]:
    return [note for note in network.notes if "left out" in note]


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_ending_is_left_out_of_modules_and_files_alike(ending: str, tmp_path: Path) -> None:
    function, logits = ENDINGS[ending]
    module = Ended(function).eval()
    networks = [om.read_network(module, (4,)), of_file(module, tmp_path / "net.pt2")]
    x = np.random.default_rng(0).normal(size=(5, 4))
    with torch.no_grad():
        wanted = logits(Ended(function).double().body(torch.from_numpy(x))).numpy()
    for network in networks:
        np.testing.assert_allclose(network.replay(x), wanted, rtol=1e-5, atol=1e-6)
        assert "at the end left out: the outputs are its inputs" in network.notes[0]
    assert networks[0].fingerprint == networks[1].fingerprint
    if ending in ("in place", "the places of the largest two"):  # which the exporter writes in other operators
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.zeros(2, 4),), tmp_path / "net.onnx", dynamo=False)
    written = om.read_network(tmp_path / "net.onnx")
    assert written.fingerprint == networks[0].fingerprint
    assert left_out(written) == left_out(networks[0])


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda z: torch.tanh(z).abs(), "tanh"),
        (lambda z: torch.sigmoid(z) * z, "sigmoid"),
        (lambda z: torch.softmax(z, 0), "softmax"),
        (lambda z: (torch.softmax(z, 1) * 9).int().float(), "softmax"),
        (lambda z: torch.log(torch.relu(z) + 1), "log"),
    ],
    ids=["abs", "product", "along the batch", "whole numbers", "no probabilities"],
)
def test_what_is_no_ending_is_refused_by_name(function: Callable[[Tensor], Tensor], reason: str) -> None:
    with pytest.raises(om.InputError) as told:
        om.read_network(Ended(function).eval(), (4,))
    assert reason in one_line(told).lower()


def test_a_clip_at_the_end_that_no_probability_comes_before_is_read() -> None:
    network = om.read_network(Ended(lambda z: z.clamp(-0.2, 0.3)).eval(), (4,))
    assert not network.notes
    x = np.random.default_rng(0).normal(size=(50, 4))
    assert np.unique(network.replay(x)).min() == pytest.approx(-0.2, abs=1e-6)


def test_two_classes_by_one_sigmoid_are_0_and_its_input(tmp_path: Path) -> None:
    def both(z: Tensor) -> Tensor:
        s = torch.sigmoid(z)
        return torch.cat([1 - s, s], 1)

    module = Ended(both, 1).eval()
    x = np.random.default_rng(0).normal(size=(5, 4))
    with torch.no_grad():
        wanted = Ended(both, 1).double()(torch.from_numpy(x)).numpy()
    for network in (om.read_network(module, (4,)), of_file(module, tmp_path / "net.pt2")):
        found = network.replay(x)
        assert (found[:, 0] == 0).all()
        np.testing.assert_allclose(np.exp(found) / np.exp(found).sum(axis=1, keepdims=True), wanted, atol=1e-6)
        assert network.notes[0].startswith("Sigmoid of two classes at the end left out")


def test_outputs_of_the_same_logits_need_no_name_and_others_do() -> None:
    module = Ended(lambda z: (z.argmax(1), z.softmax(1))).eval()
    plain = om.read_network(Ended(lambda z: z).eval(), (4,))
    network = om.read_network(module, (4,))
    assert network.fingerprint == plain.fingerprint
    assert network.notes[0] == "its outputs (0, 1) all come from the same logits, which are read"
    assert om.read_network(module, (4,), output="0").fingerprint == plain.fingerprint
    with pytest.raises(om.InputError, match="gives 2 outputs"):
        om.read_network(Ended(lambda z: (z, z.sum(1, keepdim=True).softmax(1))).eval(), (4,))
