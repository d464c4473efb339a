"""Files in the text format of ACAS Xu's networks: the logits of their weights, and one line for others."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from one_line import one_line

import oamip_model as om

SIZES = [3, 4, 5, 2]


def parameters() -> list[tuple[np.ndarray, np.ndarray]]:
    random = np.random.default_rng(0)
    return [(random.normal(size=(b, a)), random.normal(size=b)) for a, b in itertools.pairwise(SIZES)]


def lines() -> list[str]:
    """A file's lines, with commas at their ends, as most are written."""
    rows = ["// made by a test", "//", "3,3,2,5,", "3,4,5,2,", "0,", "-1,-1,-1,", "1,1,1,", "0,0,0,0,", "1,2,3,1,"]
    for weight, bias in parameters():
        rows += [",".join(f"{number:.17e}" for number in row) + "," for row in weight]
        rows += [f"{number:.17e}," for number in bias]
    return rows


def write(path: Path, rows: list[str]) -> Path:
    path.write_text("\n".join(rows) + "\n")
    return path


def test_the_logits_are_those_of_the_weights_and_the_notes_say_what_is_left_out(tmp_path: Path) -> None:
    network = om.read_network(write(tmp_path / "net.nnet", lines()))
    images = np.random.default_rng(1).normal(size=(4, 3))
    (a, c), (b, d), (e, f) = parameters()
    wanted = np.maximum(np.maximum(images @ a.T + c, 0) @ b.T + d, 0) @ e.T + f
    np.testing.assert_allclose(network.replay(images), wanted, rtol=1e-12, atol=1e-12)
    assert [group.size for group in network.groups] == [4, 5]
    assert "normalised by the means and ranges" in network.notes[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: ["some words"], "does not begin with numbers of layers"),
        (lambda rows: [], "does not begin with numbers of layers"),
        (lambda rows: [*rows[:2], "3,3,2,5,", "3,4,2,", *rows[4:]], "do not fit together"),
        (lambda rows: [*rows[:2], "2,3,2,5,", *rows[3:]], "do not fit together"),
        (lambda rows: rows[:-1], "has 21 lines of weights and biases; its layers take 22"),
        (lambda rows: [*rows[:9], "1.0,", *rows[10:]], "other lengths than 3 in its layer 0"),
        (lambda rows: [*rows[:9], "1.0,2.0,three,", *rows[10:]], "no row of numbers: 1.0,2.0,three,"),
        (lambda rows: [*rows[:9], "1.0,2.0,nan,", *rows[10:]], "layer layer0: its weight has a value that is NaN"),
        (lambda rows: ["é"], "it is no text"),
    ],
)
def test_another_file_is_refused_in_one_line(change: object, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "net.nnet", change(lines()))  # type: ignore[operator]
    with pytest.raises(om.InputError, match=message) as error:
        om.read_network(path)
    one_line(error)


def test_another_shape_and_an_output_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nnet", lines())
    assert om.read_network(path, (3,)).input_shape == (3,)
    with pytest.raises(om.InputError, match=r"takes images of shape \(3,\)"):
        om.read_network(path, (1, 3))
    with pytest.raises(om.InputError, match=r"output: got 'y', but .* has one output without a name"):
        om.read_network(path, output="y")
