"""``oamip prune``: the file it writes is the smaller network, and what it prints is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

import oamip_model as om
from oamip_model.refit import run
from oamip_model.refit.outgoing.checkpoint import Checkpoint, Passes


@pytest.mark.parametrize("rule", [["--threshold", "0.5"], ["--threshold", "mean"], ["--amount", "0.5"],
                                  ["--amount", "0.4", "--scope", "global"]])  # fmt: skip
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_what_is_printed_is_true_of_the_file(
    rule: list[str], suffix: str, call: Any, files: Any, tmp_path: Path
) -> None:
    out = tmp_path / f"small{suffix}"
    outcome = call("prune", files.net, "--scores", files.scores, *rule, "--data", files.data, "--out", out, "--json")
    assert outcome.code == 0, outcome
    told = outcome.json()
    if suffix == ".onnx":
        onnx.checker.check_model(str(out), full_check=True)
    smaller, test = om.read_network(out), om.load_dataset(files.data, split="test")
    assert sum(group.size for group in smaller.groups) == told["units_after"] < told["units_before"]
    assert smaller.parameters == told["parameters_after"] < told["parameters_before"]
    assert om.accuracy(smaller, *test) == told["accuracy_after"]
    assert om.accuracy(om.read_network(files.net), *test) == told["accuracy_before"]
    assert told["scores"] == om.load_scores(files.scores).summary()
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_masks_keep_the_shapes(call: Any, files: Any, tmp_path: Path) -> None:
    rule = ["--amount", "0.5", "--mode", "mask"]
    outcome = call(
        "prune", files.net, "--scores", files.scores, *rule, "--data", files.data, "--out", tmp_path / "m.onnx"
    )
    assert outcome.code == 0
    assert "masked" in outcome.out
    before, after = om.read_network(files.net), om.read_network(tmp_path / "m.onnx")
    assert [g.size for g in before.groups] == [g.size for g in after.groups]


def test_the_table(call: Any, files: Any) -> None:
    outcome = call("prune", files.net, "--scores", files.scores, "--amount", "0.5", "--data", files.data)
    assert (outcome.code, outcome.err) == (0, "")
    rows = [line.split()[:2] for line in outcome.out.splitlines()[1:3]]
    assert rows == [["before", "9"], ["after", "5"]]
    assert om.load_scores(files.scores).summary() in outcome.out
    assert "test split, 30 images" in outcome.out


@pytest.mark.parametrize("level", ["least-squares", "output", "outgoing"])
def test_a_refit_is_in_the_file_and_the_report(level: str, call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "small.onnx"
    rule = ["--scores", files.scores, "--amount", "0.5", "--data", files.data]
    told = call("prune", files.net, *rule, "--refit", level, "--images", "60", "--out", out, "--json").json()
    test = om.load_dataset(files.data, split="test")
    assert om.accuracy(om.read_network(out), *test) == told["accuracy_after"]
    assert (told["refit"]["level"], told["refit"]["images"]) == (level, 60)
    assert "60 images" in told["refit"]["summary"]
    plain = call("prune", files.net, *rule, "--json").json()
    assert plain["refit"] is None
    losses = [stage["loss"] for stage in told["refit"]["stages"]]
    assert losses[-1] < losses[0]
    outcome = call("prune", files.net, *rule, "--refit", level)
    assert "refit from 240 images" in outcome.out
    assert "proved" in outcome.out


class KilledError(Exception):
    """What ends a refit here, where a kill would."""


@pytest.mark.parametrize("ended", [KeyboardInterrupt, KilledError])
def test_the_same_command_continues_a_refit_that_was_ended(
    ended: type[BaseException], call: Any, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = ["--scores", files.scores, "--amount", "0.5", "--data", files.data, "--refit", "outgoing", "--passes", "4"]
    whole, out = tmp_path / "whole.onnx", tmp_path / "small.onnx"
    assert call("prune", files.net, *rule, "--out", whole).code == 0
    kept, put = tmp_path / "small.onnx.refit.safetensors", Checkpoint.put_pass

    def put_and_end(self: Checkpoint, passes: Passes, state: Any) -> None:
        put(self, passes, state)
        if passes.made == 2:
            raise ended

    monkeypatch.setattr(Checkpoint, "put_pass", put_and_end)
    if ended is KeyboardInterrupt:
        outcome = call("prune", files.net, *rule, "--out", out)
        assert outcome.code == 130
        assert f"interrupted; the same command continues from {kept}" in outcome.err
        assert "of 2, interrupted before 4" in outcome.out.replace("\n", " ")
        assert om.read_network(out).parameters == om.read_network(whole).parameters
    else:
        with pytest.raises(KilledError):
            call("prune", files.net, *rule, "--out", out)
        assert not out.exists()
    assert kept.exists()
    monkeypatch.setattr(Checkpoint, "put_pass", put)
    assert call("prune", files.net, *rule, "--out", out).code == 0
    assert om.read_network(out).fingerprint == om.read_network(whole).fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.onnx", "whole.onnx"]


def test_an_interruption_before_the_passes_says_where_it_continues(
    call: Any, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = ["--scores", files.scores, "--amount", "0.5", "--data", files.data, "--refit", "outgoing"]

    def ended(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "fit_outgoing", ended)
    outcome = call("prune", files.net, *rule, "--out", tmp_path / "small.onnx")
    assert outcome.code == 130
    assert "nothing was saved; the same command continues from" in outcome.err
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx.refit.safetensors"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--ridge", "0.1"], "ridge: got 0.1, but only --refit has a use for it"),
        (["--refit", "output", "--passes", "3"], "passes: got 3, but only the level outgoing has a use for it"),
        (["--refit", "outgoing", "--checkpoint", "state.txt"], "--checkpoint: state.txt is not a name ending in"),
    ],
)
def test_options_of_a_refit_without_a_use_are_refused(given: list[str], told: str, call: Any, files: Any) -> None:
    outcome = call("prune", files.net, "--scores", files.scores, "--amount", "0.5", "--data", files.data, *given)
    assert outcome.code == 2
    assert told in outcome.err
