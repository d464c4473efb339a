"""``oamip bounds``: what it prints and saves, and that ``oamip score`` takes the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import oamip_model as om

FEW = ["--images", "6"]


def test_each_method_reports_every_layer(files: Any, call: Any) -> None:
    told = call("bounds", files.net, "--data", files.data, *FEW, "--method", "lp", "--json")
    assert (told.code, told.err) == (0, "")
    found = told.json()
    network = om.read_network(files.net)
    names = [layer.name for layer in network.layers if layer.activation == "relu"]
    assert [(r["method"], r["layer"]) for r in found["layers"]] == [
        (method, name) for method in ("interval", "crown", "lp") for name in names
    ]
    relus = sum(layer.size for layer in network.layers if layer.activation == "relu")
    assert sum(found["relus"].values()) == 6 * relus
    assert sum(r["decided"] for r in found["layers"]) == found["relus"]["off"] + found["relus"]["on"]
    table = call("bounds", files.net, "--data", files.data, *FEW, "--method", "lp").out.splitlines()
    assert len(table) == 1 + len(found["layers"])


def test_score_takes_the_file_and_refuses_it_for_other_images(files: Any, call: Any, tmp_path: Path) -> None:
    out = tmp_path / "bounds.npz"
    told = call("bounds", files.net, "--data", files.data, *FEW, "--out", out)
    assert (told.code, f"saved to {out}" in told.out) == (0, True)
    options = ["--data", files.data, "--strategy", "joint", "--score-type", "binary", "--sparsity", "mean", "--json"]
    by_file = call("score", files.net, *FEW, *options, "--bounds", out)
    by_name = call("score", files.net, *FEW, *options, "--bounds", "crown")
    assert (by_file.code, by_name.code) == (0, 0)
    assert by_file.json()["objective"] == pytest.approx(by_name.json()["objective"])
    for other in (["--images", "5"], [*FEW, "--seed", "1"], [*FEW, "--gate", "published"]):
        refused = call("score", files.net, *options, *other, "--bounds", out)
        assert refused.code == 2
        assert refused.err.startswith("oamip: error: --bounds: computed for ")
        assert refused.err.count("\n") == 1


def test_score_refuses_bounds_of_other_weights_or_another_box(files: Any, call: Any, tmp_path: Path) -> None:
    out, other = tmp_path / "bounds.npz", tmp_path / "other.onnx"
    om.save_module(om.make_network("dense-5-4", (1, 3, 3), 3, seed=1), other, (1, 3, 3))
    published = ["--gate", "published", "--method", "interval", "--epsilon", "1e-4"]
    for made, used, culprit in (
        ([], [other], "network"), (published, [files.net, "--gate", "published", "--relaxed"], "epsilon"),
    ):  # fmt: skip
        told = call("bounds", files.net, "--data", files.data, *FEW, *made, "--out", out)
        assert told.code == 0
        joint = ["--strategy", "joint", "--out", tmp_path / "scores.json"]
        refused = call("score", *used, "--data", files.data, *FEW, *joint, "--bounds", out)
        assert (refused.code, refused.out) == (2, "")
        assert refused.err.startswith(f"oamip: error: --bounds: computed for {culprit} ")
        assert refused.err.count("\n") == 1
        assert not (tmp_path / "scores.json").exists()


def test_the_published_gate_has_bounds_of_the_trained_network(files: Any, call: Any) -> None:
    told = call("bounds", files.net, "--data", files.data, *FEW, "--gate", "published", "--json").json()
    assert (told["validity"], told["epsilon"]) == ("trained network", 1e-5)


def test_score_takes_bounds_up_to_a_cutoff_for_their_program_only(files: Any, call: Any, tmp_path: Path) -> None:
    out, data = tmp_path / "bounds.npz", ["--data", files.data, "--json"]
    program = ["--sparsity", "mean", "--weight", "2"]
    options = [*FEW, *data, "--strategy", "joint", "--score-type", "binary", *program]
    free = call("score", files.net, *options).json()
    cutoff = ["--method", "lp", "--cutoff", str(free["objective"]), *program]
    told = call("bounds", files.net, *FEW, *data, *cutoff, "--out", out).json()
    assert told["cutoff"]["objective"] == free["objective"]
    told = call("bounds", files.net, *FEW, "--data", files.data, *cutoff).out.splitlines()[-1]
    assert told.endswith("(loss cross-entropy, weight 2, sparsity mean)")
    found = call("score", files.net, *options, "--bounds", out).json()
    assert found["status"] == "optimal"
    assert found["objective"] == pytest.approx(free["objective"], rel=2e-4)
    assert found["options"]["method"]["bounds"]["as"] == f"lp up to {free['objective']!r}"
    refused = call("score", files.net, *options, "--weight", "3", "--bounds", out)
    assert (refused.code, refused.out) == (2, "")
    assert "--bounds: computed with a cutoff for weight 2.0, the program has weight 3.0" in refused.err


@pytest.mark.parametrize(("arguments", "culprit"), [
    (["--weight", "2"], "--weight: got 2.0, but bounds depend on the objective only where --cutoff is given"),
    (["--cutoff", "5"], "--cutoff: got 5, but the method crown has no use for it"),
    (["--cutoff", "nan", "--method", "lp"], "'--cutoff': nan is not a finite number"),
    (["--cutoff", "-9", "--method", "lp"], "--cutoff: got -9, but no scores have an objective as low"),
    (["--cutoff", "9", "--method", "lp", "--weight", "-1"], "'--weight': -1.0 is not in the range"),
    (["--cutoff", "9", "--method", "lp", "--gate", "published"], "bounds: lp holds for every score"),
    (["--method", "guess"], "--method"), (["--jobs", "0"], "'--jobs': 0 is not in the range"),
    (["--images", "0"], "--images"),
    (["--time-limit", "-1"], "'--time-limit': -1.0 is not in the range"),
    (["--epsilon", "0.1"], "--epsilon: only the gate published"),
    (["--out", "bounds.json"], "--out: bounds.json is not a name ending in .npz"),
    (["--method", "lp", "--gate", "published"], "bounds: lp holds for every score"),
    (["--method", "lp", "--solver", "nobody"], "--solver: got 'nobody'"),
    (["--images", "all", "--correct-only"], "--correct-only"),
])  # fmt: skip
def test_bad_input_is_one_line(arguments: list[str], culprit: str, files: Any, call: Any) -> None:
    told = call("bounds", files.net, "--data", files.data, *arguments)
    assert (told.code, told.out) == (2, "")
    assert culprit in told.err
    assert told.err.count("\n") == 1
