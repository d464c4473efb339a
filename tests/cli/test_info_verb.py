"""``oamip info``: layers, groups and size of a network, and what was left out."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import oamip_model as om


class Two(nn.Module):
    """Probabilities, and the positive parts that they come from."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        h = torch.relu(self.norm(self.a(x)))
        return torch.softmax(self.b(h), 1), h


@pytest.fixture
def net(tmp_path: Path) -> str:
    torch.manual_seed(0)
    path = tmp_path / "net.onnx"
    module = Two()
    nn.init.normal_(module.norm.running_mean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module.eval(), (torch.randn(2, 4),), path, output_names=["p", "h"], dynamo=False)
    return str(path)


def test_layers_groups_and_what_was_left_out_are_shown(net: str, call: Any) -> None:
    told = call("info", net, "--output", "p")
    assert (told.code, told.err) == (0, "")
    assert "Softmax at the end left out" in told.out
    assert "takes 4, gives 2 outputs; 18 multiply-accumulates" in told.out
    found = call("info", net, "--output", "p", "--json").json()
    network = om.read_network(net, output="p")
    assert found["parameters"] == network.parameters == 23
    assert [layer["name"] for layer in found["layers"]] == ["a", "b"]
    assert [(group["name"], group["units"]) for group in found["groups"]] == [("a", 3)]
    assert found["notes"] == list(network.notes)
    other = call("info", net, "--output", "h", "--json").json()
    assert (other["outputs"], other["groups"], other["unscored"]) == (3, [], ["a"])


def test_an_output_must_be_named_where_there_are_several(net: str, call: Any) -> None:
    told = call("info", net)
    assert told.code == 2
    assert "gives 2 outputs (p, h); accepted is one, named by output" in told.err
    assert call("info", net, "--output", "q").err.startswith("oamip: error: --output: got 'q'")


def test_a_pickle_is_refused_with_the_way_to_a_file_that_is_read(tmp_path: Path, call: Any) -> None:
    path = tmp_path / "net.pt"
    torch.save(nn.Linear(2, 2).state_dict(), path)
    told = call("info", path)
    assert told.code == 2
    assert "torch.export.save" in told.err
    assert len(told.err.splitlines()) == 1
