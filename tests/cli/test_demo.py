"""``oamip demo``, with networks so small that it takes seconds."""

from __future__ import annotations

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import oamip_model as om

demo = importlib.import_module("oamip_examples.01_demo")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LARGE", "dense-12-8")
    monkeypatch.setattr(demo, "SMALL", "dense-8")
    monkeypatch.setattr(demo, "SHARES", (0.3, 0.6))


def test_what_it_leaves(call: Any, tmp_path: Path) -> None:
    outcome = call("demo", "--out", tmp_path / "new" / "demo", "--json")
    assert outcome.code == 0, outcome
    told = outcome.json()
    names = ["network.onnx", "scores.json", "layer-by-layer-scores.json", "pruned-50.onnx", "small.onnx"]
    names += ["small-scores.json", "scores.png"]
    assert [Path(f).name for f in told["files"]] == names
    assert {path.name for path in (tmp_path / "new" / "demo").iterdir()} == set(names)
    assert told["proved"]["proved"]
    assert told["scores"]["relaxed"]
    assert "one by one" in told["layerwise"]["summary"]
    assert all(a["agree"] for a in told["agreements"])
    assert len({s for a in told["agreements"] for s in a["solvers"]}) == 2
    network = om.read_network(told["files"][0])
    assert om.load_scores(told["files"][1]).network == network.fingerprint
    test = om.load_dataset(split="test")
    assert told["accuracy"] == pytest.approx(om.accuracy(network, *test), abs=0.003)


def test_without_matplotlib(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    outcome = call("demo", "--out", tmp_path)
    assert outcome.code == 0, outcome
    assert "no picture: matplotlib is missing, install it with" in outcome.out
    assert not (tmp_path / "scores.png").exists()


@pytest.mark.parametrize(("change", "code"), [(0.0, 0), (1e-3, 5), (None, 3)])
def test_disagreement(
    change: float | None, code: int, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = demo.compare

    def other(program: str, one: Any, two: Any) -> Any:
        if change is None:
            programs = (replace(two.programs[0], status="feasible"),)
        else:
            programs = (replace(two.programs[0], objective=two.programs[0].objective * (1 + change)),)
        return real(program, one, replace(two, programs=programs))

    monkeypatch.setattr(demo, "compare", other)
    outcome = call("demo", "--out", tmp_path)
    assert outcome.code == code
    assert ("disagree" in outcome.err) == (code == 5)
