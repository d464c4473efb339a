"""A network of two outputs: every verb that reads one takes --output, and uses it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

import oamip_model as om

SHAPE = (1, 3, 3)


@pytest.fixture
def two(files: Any, tmp_path: Path) -> str:
    """The tiny network with a second output, of other logits."""
    model = onnx.load(files.net)
    first = model.graph.output[0]
    model.graph.node.append(helper.make_node("Neg", [first.name], ["turned"]))
    turned = onnx.ValueInfoProto()
    turned.CopyFrom(first)
    turned.name = "turned"
    model.graph.output.append(turned)
    onnx.save(model, tmp_path / "two.onnx")
    return str(tmp_path / "two.onnx")


def commands(net: str, files: Any, folder: Path) -> list[list[str]]:
    """One of each verb that takes --output, as short as it may be."""
    data, box = ["--data", files.data], ["--domain", "0,0.1"]
    return [
        ["info", net],
        ["score", net, *data, "--strategy", "decoupled"],
        ["bounds", net, *data, "--images", "2", "--method", "interval"],
        ["baseline", "weight-norm", net, *data],
        ["prune", net, *data, "--scores", files.scores, "--amount", "0.3"],
        ["compress", net, *box, "--checker", "none", "--certificate", str(folder / "c.json")],
        ["distance", net, files.net, *box],
        ["check-certificate", str(folder / "c.json"), net, net],
        ["check-proof", str(folder / "p.json"), net, *data],
    ]


def test_every_verb_with_the_option_takes_it_and_names_it_where_it_is_wrong(
    two: str, files: Any, call: Any, tmp_path: Path
) -> None:
    from oamip_model.cli import app

    given = commands(two, files, tmp_path)
    taking = {name for name, verb in app.oamip.commands.items() if "output" in {param.name for param in verb.params}}
    assert taking == {command[0] for command in given}
    tree = ["--strategy", "joint", "--search", "tree", "--sparsity", "mean", "--images", "3"]
    made = ["score", two, "--data", files.data, *tree, "--proof", str(tmp_path / "p.json"), "--output", "turned"]
    assert call(*made).code == 0
    assert call(*given[5], "--output", "turned").code == 0
    for command in given:
        for output in ([], ["--output", "nosuch"]):
            told = call(*command, *output)
            assert (told.code, told.out, told.err.count("\n")) == (2, "", 1), command
            assert "turned" in told.err
            assert ("--output" in told.err) or not output
    for command in (given[0], given[-1]):
        assert call(*command, "--output", "turned").code == 0


def test_a_certificate_is_of_the_output_that_was_asked_for(two: str, call: Any, tmp_path: Path) -> None:
    small, certificate = tmp_path / "small.onnx", tmp_path / "c.json"
    made = ["compress", two, "--output", "turned", "--domain", "0,0.3", "--checker", "none"]
    assert call(*made, "--out", small, "--certificate", certificate).code == 0
    assert json.loads(certificate.read_text())["network"] == om.read_network(two, output="turned").fingerprint
    check = ["check-certificate", certificate, two, small, "--solver", "cbc"]
    assert call(*check, "--output", "turned").code == 0
    assert call("distance", two, small, "--output", "turned", "--domain", "0,0.3", "--json").json()["bound"] < 1e-9
