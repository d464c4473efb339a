"""--class-weight and --sample-weight: what is saved, and what is refused before anything is computed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import oamip_model as om

EACH = "1\n1\n3"


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """Files of weights for the classes, and for the images of the data."""
    (tmp_path / "classes.txt").write_text(EACH)
    (tmp_path / "images.txt").write_text("\n".join(str(k % 3) for k in range(240)) + "\n\n")
    (tmp_path / "word.txt").write_text("1\ntwo\n")
    (tmp_path / "minus.txt").write_text(EACH.replace("3", "-3"))
    (tmp_path / "zeros.txt").write_text("0\n" * 240)
    (tmp_path / "none.txt").write_text("\n")
    return tmp_path


def test_scores_and_refits_are_those_of_a_weighted_data_set(call: Any, files: Any, given: Path) -> None:
    out, weighed = given / "s.json", ["--class-weight", given / "classes.txt", "--sample-weight", given / "images.txt"]
    done = call("score", files.net, "--data", files.data, "--images", "60", "--amount", "0.5", *weighed, "--out", out)
    assert (done.code, "weighted images" in done.out) == (0, True)
    source = om.load_dataset(files.data).weighted(images=[k % 3 for k in range(240)])
    data = om.choose_images(source, n=60).weighted([1, 1, 3])
    wanted = om.score(files.net, data, method=om.Elimination(amount=0.5))
    found = om.load_scores(out)
    assert found.options["weights"] == wanted.options["weights"]
    assert all((found.by_layer[name] == values).all() for name, values in wanted.by_layer.items())
    asked = [
        "prune",
        files.net,
        "--data",
        files.data,
        "--scores",
        out,
        "--amount",
        "0.5",
        "--refit",
        "least-squares",
        "--images",
        "60",
    ]
    one, two = call(*asked, *weighed, "--json").json(), call(*asked, "--json").json()
    assert two["refit"]["weights"] is None
    assert len(one["refit"]["weights"]) == 16
    assert one["refit"]["layers"][0]["after"] != two["refit"]["layers"][0]["after"]


@pytest.mark.parametrize(
    ("option", "file", "line"),
    [
        ("--sample-weight", "word.txt", "word.txt: line 2 is 'two', accepted is a number a line"),
        ("--sample-weight", "classes.txt", "classes.txt has 3 numbers, "),
        ("--sample-weight", "zeros.txt", "--sample-weight: all are 0"),
        ("--sample-weight", "no.txt", "--sample-weight: there is no file"),
        ("--class-weight", "none.txt", "none.txt holds no numbers"),
        ("--class-weight", "images.txt", "--class-weight: got 240 for 3 classes"),
        ("--class-weight", "minus.txt", "--class-weight: weight 2 is -3.0, accepted are finite numbers from 0"),
        ("--class-weight", "no.txt", "accepted are balanced and a text file"),
    ],
)
def test_files_that_do_not_fit_are_one_line(
    call: Any, files: Any, given: Path, option: str, file: str, line: str
) -> None:
    done = call("score", files.net, "--data", files.data, "--images", "10", option, given / file)
    assert done.code == 2
    assert line in done.err
    assert done.err.count("\n") == 1


def test_what_has_no_use_for_weights_says_so(call: Any, files: Any, given: Path) -> None:
    weights, tree = ["--class-weight", given / "classes.txt"], ["--strategy", "joint", "--search", "tree"]
    proof = call(
        "score", files.net, "--data", files.data, *tree, "--sparsity", "mean", "--proof", given / "p.json", *weights
    )
    assert (proof.code, "all images alike" in proof.err) == (2, True)
    margin = call("score", files.net, "--data", files.data, "--strategy", "joint", "--loss", "margin", *weights)
    assert (margin.code, "the loss margin holds every image by rows" in margin.err) == (2, True)
    cut = call("prune", files.net, "--data", files.data, "--scores", given / "s.json", "--amount", "0.5", *weights)
    assert (cut.code, "--class-weight: only --refit has a use for it" in cut.err) == (2, True)
