"""Bad input: exit code 2, one line on standard error that names the culprit, nothing on standard output or on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import oamip_model as om

SHAPE, CLASSES = (1, 3, 3), 3


def _npz(path: Path, images: np.ndarray, labels: np.ndarray) -> str:
    np.savez(path, images=images, labels=labels)
    return str(path)


def _corrupt(folder: Path, files: Any) -> str:
    path = folder / "corrupt.onnx"
    path.write_bytes(Path(files.net).read_bytes()[:200])
    return str(path)


def _text_as_pt2(folder: Path, files: Any) -> str:
    (folder / "text.pt2").write_text("no network\n")
    return str(folder / "text.pt2")


def _checkpoint(folder: Path, files: Any) -> str:
    torch.save(om.make_network("dense-3", SHAPE, CLASSES).state_dict(), folder / "weights.pth")
    return str(folder / "weights.pth")


def _nan_weights(folder: Path, files: Any) -> str:
    model = onnx.load(files.net)
    first = model.graph.initializer[0]
    values = numpy_helper.to_array(first).copy()
    values.flat[0] = np.nan
    first.CopyFrom(numpy_helper.from_array(values, first.name))
    onnx.save(model, folder / "nan.onnx")
    return str(folder / "nan.onnx")


def _sigmoid(folder: Path, files: Any) -> str:
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 4), torch.nn.Sigmoid(), torch.nn.Linear(4, 3))
    path = folder / "sigmoid.onnx"
    torch.onnx.export(module.eval(), (torch.zeros(1, *SHAPE),), str(path), dynamo=False)
    return str(path)


def _images(count: int = 12, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    return np.random.default_rng(1).uniform(0, 1, (count, *shape))


def _labels(count: int = 12) -> np.ndarray:
    return np.arange(count) % CLASSES


def _wrong_shape(folder: Path, files: Any) -> str:
    return _npz(folder / "shape.npz", _images(shape=(1, 4, 4)), _labels())


def _label_out_of_range(folder: Path, files: Any) -> str:
    return _npz(folder / "label.npz", _images(), np.where(np.arange(12) == 7, 9, _labels()))


def _negative_label(folder: Path, files: Any) -> str:
    return _npz(folder / "negative.npz", _images(), np.where(np.arange(12) == 7, -1, _labels()))


def _nan_pixel(folder: Path, files: Any) -> str:
    images = _images()
    images[4, 0, 1, 1] = np.nan
    return _npz(folder / "pixel.npz", images, _labels())


def _no_images(folder: Path, files: Any) -> str:
    return _npz(folder / "none.npz", _images(0), _labels(0))


def _rare_class(folder: Path, files: Any) -> str:
    return _npz(folder / "rare.npz", _images(9), np.array([0, 0, 0, 0, 1, 1, 1, 1, 2]))


def _more_classes(folder: Path, files: Any) -> str:
    return _npz(folder / "more.npz", _images(), np.arange(12) % 4)


Make = Callable[[Path, Any], str]
NETWORKS: list[tuple[Make | str, str]] = [
    ("missing.onnx", "missing.onnx"),
    (_corrupt, "corrupt.onnx"),
    (_text_as_pt2, "text.pt2"),
    (_checkpoint, "accepted are .pt2, .onnx and .nnet"),
    (_nan_weights, "NaN"),
    (_sigmoid, "Sigmoid"),
]
DATA: list[tuple[Make | str, str]] = [
    ("missing.npz", "missing.npz"),
    ("no-such-set", "no-such-set"),
    ("digits", "(n, 1, 3, 3)"),
    (_wrong_shape, "(n, 1, 3, 3)"),
    (_label_out_of_range, "label 7 is 9"),
    (_negative_label, "label 7 is -1"),
    (_nan_pixel, "image 4"),
    (_no_images, "no images"),
    (_rare_class, "class 2"),
    (_more_classes, "accepted are integers from 0 to 2"),
]
SCORE: list[tuple[list[str], str]] = [
    (["--bogus"], "--bogus"),
    (["--solver", "nosuch"], "--solver"),
    (["--solver", "pyomo:"], "--solver"),
    (["--strategy", "nosuch"], "--strategy"),
    (["--strategy", "batches", "--batch-size", "0"], "--batch-size"),
    (["--gate", "nosuch"], "--gate"),
    (["--strategy", "joint", "--gate", "switch"], "--score-type"),
    (["--loss", "nosuch"], "--loss"),
    (["--sparsity", "nosuch"], "--sparsity"),
    (["--bounds", "nosuch"], "--bounds"),
    (["--relaxation", "nosuch"], "--relaxation"),
    (["--weight", "-1"], "--weight"),
    (["--weight", "nan"], "--weight"),
    (["--weight", "heavy"], "--weight"),
    (["--margin", "inf"], "--margin"),
    (["--epsilon", "1"], "--epsilon"),
    (["--images", "0"], "--images"),
    (["--images", "few"], "--images"),
    (["--images", "all", "--correct-only"], "--correct-only"),
    (["--head", "nosuch"], "--head"),
    (["--strategy", "joint", "--amount", "0.5"], "--amount"),
    (
        ["--gate", "published", "--relaxed"],
        "strategy forward has no use for it, only joint",
    ),
    (["--loss", "margin"], "--loss: got 'margin', but strategy forward takes cross-entropy and hinge"),
    (["--jobs", "2"], "--jobs: got 2, but strategy forward"),
    (["--scope", "global"], "--scope"),
    (["--amount", "0.5", "--weight", "2"], "--weight"),
    (["--strategy", "decoupled", "--sweeps", "2"], "--sweeps"),
    (["--strategy", "joint", "--batch-size", "5"], "--batch-size"),
    (["--strategy", "joint", "--margin", "2"], "--margin"),
    (["--relaxation", "partition-2"], "--relaxation"),
    (["--strategy", "decoupled", "--amount", "1.5"], "--amount"),
    (["--strategy", "elimination", "--exchanges", "5"], "--exchanges: got 5, but without an amount"),
    (["--strategy", "elimination", "--amount", "0.5", "--weight", "2"], "--weight"),
    (["--strategy", "elimination", "--amount", "0.5", "--store", "runs.jsonl"], "--store"),
    (["--strategy", "decoupled", "--gate", "published"], "--gate"),
    (["--strategy", "forward", "--sweeps", "-1"], "--sweeps"),
    (["--device", "cuda:99", "--strategy", "decoupled"], "--device"),
    (["--images", "1000"], "class 0 has"),
    (["--tolerance", "0"], "--tolerance"),
    (["--tolerance", "nan"], "--tolerance"),
    (["--time-limit", "0"], "--time-limit"),
    (["--threads", "0"], "--threads"),
    (["--seed", "-1"], "--seed"),
    (["--input-shape", "1,x"], "--input-shape"),
    (["--input-shape", "1,4,4"], "--input-shape"),
    (["--split", "nosuch"], "--split"),
    (["--download"], "--download"),
    (["--log-file", "nowhere/log"], "--log-file"),
    (["--out", "nowhere/scores.json"], "--out"),
    (["--out", "."], "--out"),
    (["--out", "scores.txt"], "--out"),
]
PRUNE: list[tuple[list[str], str]] = [
    ([], "--threshold"),
    (["--threshold", "0.1", "--amount", "0.5"], "--threshold"),
    (["--threshold", "1.5"], "--threshold"),
    (["--threshold", "-0.1"], "--threshold"),
    (["--threshold", "nan"], "--threshold"),
    (["--threshold", "low"], "--threshold"),
    (["--amount", "1"], "--amount"),
    (["--amount", "-0.5"], "--amount"),
    (["--threshold", "0.1", "--scope", "global"], "--scope"),
    (["--amount", "0.5", "--mode", "nosuch"], "--mode"),
    (["--amount", "0.5", "--out", "small.pth"], "--out"),
    (["--amount", "0.5", "--out", "nowhere/small.onnx"], "--out"),
    (["--amount", "0.5", "--scores", "missing.json"], "missing.json"),
    (["--amount", "0.5", "--data", "missing.npz"], "missing.npz"),
    (["--amount", "0.5", "--refit", "nosuch"], "--refit"),
    (["--amount", "0.5", "--images", "6"], "--images: only --refit"),
    (["--amount", "0.5", "--refit", "output", "--images", "few"], "--images"),
    (["--amount", "0.5", "--refit", "output", "--images", "1000"], "class 0 has"),
]


def _made(given: Make | str, folder: Path, files: Any) -> str:
    return given if isinstance(given, str) else given(folder, files)


@pytest.fixture
def refused(call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Asserts that a command, started in an empty folder, is refused as it should be."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def check(culprit: str, *arguments: str) -> None:
        outcome = call(*arguments)
        assert outcome.code == 2, outcome
        assert outcome.out == ""
        lines = outcome.err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("oamip: error: ")
        assert culprit in lines[0]
        assert list(work.iterdir()) == []

    return check


@pytest.mark.parametrize(("make", "culprit"), NETWORKS, ids=[str(getattr(m, "__name__", m)) for m, _ in NETWORKS])
@pytest.mark.parametrize("verb", ["score", "prune"])
def test_network(make: Any, culprit: str, verb: str, refused: Any, files: Any, tmp_path: Path) -> None:
    rest = ["--scores", files.scores, "--amount", "0.5"] if verb == "prune" else []
    refused(culprit, verb, _made(make, tmp_path, files), "--data", files.data, *rest)


@pytest.mark.parametrize(("make", "culprit"), DATA, ids=[str(getattr(m, "__name__", m)) for m, _ in DATA])
def test_data(make: Any, culprit: str, refused: Any, files: Any, tmp_path: Path) -> None:
    data = _made(make, tmp_path, files)
    refused(culprit, "score", files.net, "--data", data, "--images", "6", "--out", "scores.json")


@pytest.mark.parametrize(("options", "culprit"), SCORE, ids=[" ".join(o) for o, _ in SCORE])
def test_score_option(options: list[str], culprit: str, refused: Any, files: Any) -> None:
    rest = [] if "--out" in options else ["--out", "scores.json"]
    refused(culprit, "score", files.net, "--data", files.data, *options, *rest)


@pytest.mark.parametrize(("options", "culprit"), PRUNE, ids=[" ".join(o) or "nothing" for o, _ in PRUNE])
def test_prune_option(options: list[str], culprit: str, refused: Any, files: Any) -> None:
    rest = [] if "--out" in options else ["--out", "small.onnx"]
    first = ["--scores", files.scores, "--data", files.data]
    refused(culprit, "prune", files.net, *first, *options, *rest)


def test_scores_of_another_network(refused: Any, files: Any, tmp_path: Path) -> None:
    other = om.save_module(om.make_network("dense-5-4", SHAPE, CLASSES, seed=5), tmp_path / "other.onnx", SHAPE)
    refused("another network", "prune", str(other), "--scores", files.scores, "--data", files.data, "--amount", "0.5")


@pytest.mark.parametrize("text", ["", "[]", '{"format": "oamip-scores-1"}', "\x00"])
def test_damaged_scores(text: str, refused: Any, files: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(text)
    refused("bad.json", "prune", files.net, "--scores", str(tmp_path / "bad.json"), "--amount", "0.5")


def test_an_input_is_not_overwritten(refused: Any, files: Any) -> None:
    before = Path(files.net).read_bytes()
    refused(files.net, "prune", files.net, "--scores", files.scores, "--amount", "0.5", "--out", files.net)
    assert Path(files.net).read_bytes() == before


def test_more_than_a_verb(refused: Any, files: Any, tmp_path: Path) -> None:
    refused("Missing command")
    refused("nosuch", "nosuch")
    refused("--nosuch", "--nosuch")
    refused("NET", "score")
    refused("--scores", "prune", files.net)
    refused("extra", "solvers", "extra")
    (tmp_path / "file").touch()
    refused("--out", "demo", "--out", str(tmp_path / "file"))
    refused("--out", "demo", "--out", str(tmp_path / "file" / "below"))
