"""``oamip distance``: one box, and boxes around images."""

from __future__ import annotations

import pytest

import oamip_model as om


@pytest.fixture(scope="module")
def pruned(files, tmp_path_factory):
    path = tmp_path_factory.mktemp("pruned") / "small.onnx"
    network = om.read_network(files.net)
    om.save_module(om.prune(files.net, om.load_scores(files.scores), amount=0.4), path, network.input_shape)
    return str(path)


def test_one_box(files, pruned, call):
    told = call("distance", files.net, pruned, "--domain", "0,0.2", "--json").json()
    assert told["proved"]
    assert len(told["classes"]) == 3
    assert told["bound"] >= told["seen"] > 0
    assert told["same_class"] in (True, False)
    shown = call("distance", files.net, pruned, "--domain", "0,0.2", "--norm", "1").out
    assert "norm 1: at most" in shown
    assert "same class everywhere:" in shown


def test_boxes_around_images(files, pruned, call, tmp_path):
    arguments = ["distance", files.net, pruned, files.net, "--data", files.data, "--images", "3", "--clip", "0,2"]
    arguments += [
        "--radius",
        "0.001",
        "--radius",
        "0.01",
        "--store",
        tmp_path / "s.jsonl",
        "--plot",
        tmp_path / "p.png",
    ]
    told = call(*arguments, "--json").json()
    rows = told["networks"][pruned]
    assert [row["radius"] for row in rows] == [0.001, 0.01]
    assert all(row["boxes"] == 3 for row in rows)
    assert all(row["same"] == row["certified"] == 3 for row in told["networks"][files.net])
    assert (tmp_path / "p.png").exists()
    assert len((tmp_path / "s.jsonl").read_text().splitlines()) == 12
    assert call(*arguments).out.splitlines()[0].split()[:4] == ["network", "radius", "boxes", "same"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--domain"),
        (["--domain", "0,1", "--radius", "1"], "--domain"),
        (["--domain", "0,1", "--images", "3"], "--images"),
        (["--domain", "2,1"], "--domain"),
        (["--domain", "0,1", "--norm", "2"], "--norm"),
        (["--radius", "-1"], "--radius"),
        (["--radius", "nan"], "--radius"),
        (["--radius", "1", "--clip", "1"], "--clip"),
        (["--radius", "1", "--store", "s.json"], "--store"),
        (["--radius", "1", "--plot", "p.pdf"], "--plot"),
        (["--radius", "1", "--images", "0"], "--images"),
        (["--radius", "1", "--data", "missing.npz"], "missing.npz"),
    ],
)
def test_bad_input_is_told_in_one_line(files, pruned, call, arguments, said):
    done = call("distance", files.net, pruned, *arguments)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert said in done.err
