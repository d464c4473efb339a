"""``oamip prune --macs``: the budget is met by the file that is written, and what is printed is true."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

import oamip_model as om


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    ("options", "limits"),
    [
        (["--macs", "0.5"], {"macs": 0.5}),
        (["--parameters", "40"], {"parameters": 40}),
        (["--macs", "0.8", "--parameters", "0.6", "--solver", "cbc"], {"macs": 0.8, "parameters": 0.6}),
    ],
)
def test_the_file_is_within_the_budget(
    options: list[str], limits: dict[str, float], suffix: str, call: Any, files: Any, tmp_path: Path
) -> None:
    out = tmp_path / f"small{suffix}"
    arguments = ["--scores", files.scores, "--data", files.data, *options, "--out", out, "--json"]
    outcome = call("prune", files.net, *arguments)
    assert outcome.code == 0, outcome
    told, before, after = outcome.json(), om.read_network(files.net), om.read_network(out)
    assert (told["macs_before"], told["macs_after"]) == (before.macs, after.macs)
    assert told["budget"]["after"] == {"parameters": after.parameters, "macs": after.macs}
    assert told["budget"]["optimal"] is True
    assert list(told["budget"]["kept"].values()) == [group.size for group in after.groups]
    for name, share in limits.items():
        most = int(share * getattr(before, name)) if share <= 1 else share
        assert getattr(after, name) <= most == told["budget"]["limits"][name]
    assert told["budget"]["summary"] in told["summary"]
    assert told["milliseconds"] is None


def test_limits_by_layer_and_rounding(call: Any, files: Any) -> None:
    names = [group.name for group in om.read_network(files.net).groups]
    first = ["prune", files.net, "--scores", files.scores, "--data", files.data, "--json", "--macs", "0.7"]
    told = call(*first, "--round-to", "2", "--least", f"{names[0]}=4").json()
    assert told["budget"]["kept"][names[0]] in (4, 5)
    assert told["budget"]["kept"][names[1]] in (2, 4)
    told = call(*first, "--most", f"{names[0]}=2,{names[1]}=3", "--least", "2").json()
    assert list(told["budget"]["kept"].values()) in ([2, 2], [2, 3])


def test_an_amount_has_its_counts_but_no_budget(call: Any, files: Any, tmp_path: Path) -> None:
    rest = ["--scores", files.scores, "--data", files.data, "--amount", "0.5"]
    told = call("prune", files.net, *rest, "--out", tmp_path / "a.onnx", "--json").json()
    assert told["budget"] is None
    assert told["macs_after"] == om.read_network(tmp_path / "a.onnx").macs
    shown = call("prune", files.net, *rest)
    assert shown.out.splitlines()[0].split() == ["units", "parameters", "multiply-accumulates", "accuracy"]
    assert shown.out.splitlines()[2].split()[3] == str(told["macs_after"])


def test_measured_milliseconds_are_shown(call: Any, files: Any) -> None:
    rest = ["prune", files.net, "--scores", files.scores, "--data", files.data, "--macs", "0.5", "--time"]
    told = call(*rest, "--json").json()["milliseconds"]
    engines = ["torch"] + (["onnxruntime"] if importlib.util.find_spec("onnxruntime") else [])
    for name in ("before", "after"):
        assert {engine: list(times) for engine, times in told[name].items()} == {key: ["1", "64"] for key in engines}
        assert all(value > 0 for times in told[name].values() for value in times.values())
    head = next(line for line in call(*rest).out.splitlines() if line.startswith("milliseconds"))
    assert all(f"{engine}, 1 image" in head and f"{engine}, 64 images" in head for engine in engines)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "exactly one of --threshold, --amount and a budget (--macs, --parameters, --milliseconds) is needed"),
        (["--macs", "0.5", "--amount", "0.5"], "exactly one of --threshold, --amount and a budget"),
        (
            ["--amount", "0.5", "--round-to", "8"],
            "--round-to: got 8, but only a budget (--macs, --parameters, --milliseconds) has",
        ),
        (["--amount", "0.5", "--solver", "cbc"], "--solver: got 'cbc', but only a budget"),
        (["--macs", "0"], "--macs"),
        (["--macs", "0.5", "--scope", "global"], "--scope: got 'global', but a budget is of the whole network"),
        (["--macs", "0.001"], "--macs: got 0.001, that is 0, but the smallest network that the limits allow has"),
        (["--parameters", "5"], "--parameters: got 5, that is 5, but the smallest network"),
        (["--macs", "0.5", "--least", "x=3"], "--least: unknown layer 'x', this network scores"),
        (["--macs", "0.5", "--least", "0"], "--least"),
        (["--macs", "0.5", "--most", "a=1,a=2"], "--most"),
        (["--macs", "0.5", "--most", "=2"], "--most"),
        (["--macs", "0.5", "--levels", "1"], "--levels"),
        (["--macs", "0.5", "--solver", "nobody"], "--solver: got 'nobody', accepted are"),
    ],
)
def test_bad_budgets(options: list[str], message: str, call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    outcome = call("prune", files.net, "--scores", files.scores, "--data", files.data, *options, "--out", out)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert message in outcome.err
    assert not out.exists()
