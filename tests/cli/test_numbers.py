"""Every numeric option of every verb refuses what is out of its range, before anything is trained or written."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from oamip_model.cli.app import oamip

GIVEN = ("nan", "inf", "-inf", "-1", "0", "1e400", "-0.5", str(2**31), "9" * 5000)
# What is in range all the same, by the name of the option.
ANY_INTEGRAL = {str(2**31)}
IN_RANGE = {
    "seed": {"0"}, "weight": {"0", *ANY_INTEGRAL}, "margin": {"0", *ANY_INTEGRAL}, "epsilon": {"0", *ANY_INTEGRAL},
    "cutoff": {"-1", "0", "-0.5", *ANY_INTEGRAL}, "sweeps": {"0"}, "exchanges": {"0"}, "tune": {"0"},
    "threshold": {"0"}, "grace": {"0", *ANY_INTEGRAL}, "time_limit": ANY_INTEGRAL, "solve_limit": ANY_INTEGRAL,
    "distance_limit": ANY_INTEGRAL,
    "total_time_limit": ANY_INTEGRAL, "input_shape": ANY_INTEGRAL,
    "bounds_limit": ANY_INTEGRAL, "heuristic_limit": ANY_INTEGRAL, "weights": ANY_INTEGRAL,
    "tunes": {"0"}, "radii": {"0", *ANY_INTEGRAL}, "seed_images": {"0"},
    "macs": ANY_INTEGRAL, "milliseconds": ANY_INTEGRAL, "parameters": ANY_INTEGRAL,
}  # fmt: skip
PRUNED = {"amount": {"0"}}
NOT_NUMBERS = (click.Choice, click.Path, click.types.StringParamType, click.types.BoolParamType)


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from commands(below, (*path, name))
    else:
        yield path, command


def numeric(command: click.Command) -> list[click.Option]:
    options = [p for p in command.params if isinstance(p, click.Option) and not p.is_flag]
    return [option for option in options if not isinstance(option.type, NOT_NUMBERS)]


OPTIONS = [(path, option) for path, command in commands(oamip) for option in numeric(command)]


def test_the_walk_finds_the_options_that_there_are():
    found = {(*path, option.name) for path, option in OPTIONS}
    some = [("score", "n"), ("score", "time_limit"), ("prune", "threshold"), ("tightness", "jobs"),
            ("bench", "run", "grace"), ("experiment", "pruning", "shares"), ("experiment", "images", "counts"),
            ("baseline", "seed"), ("bounds", "cutoff"), ("bench", "export", "time_limit")]  # fmt: skip
    assert set(some) <= found
    assert len(found) > 100


def _arguments(path: tuple[str, ...], files: Any, folder: Path) -> list[str]:
    """What a verb needs beside the option."""
    if path[0] == "bench":
        return {"check-files": [str(folder)], "compare": [str(folder), str(folder)]}.get(path[1], [])
    if path[0] == "experiment":
        return ["--data", files.data, "--network", "dense-3", "--seeds", "1"]
    data = ["--data", files.data]
    return {"score": [files.net, *data, "--out", "new.json"], "bounds": [files.net, *data, "--out", "new.npz"],
            "baseline": ["random", files.net, "--out", "new.json"], "tightness": [files.net, *data],
            "prune": [files.net, *data, "--scores", files.scores, "--out", "new.onnx"], "info": [files.net],
            "compress": [files.net, "--domain", "0,1", "--out", "new.onnx"],
            "check-proof": [files.scores, files.net, *data], "check-certificate": [files.scores, files.net, files.net],
            "distance": [files.net, files.net, "--radius", "0.1", "--images", "1", *data]}[path[0]]  # fmt: skip


@pytest.mark.parametrize(("path", "option"), OPTIONS, ids=[f"{' '.join(p)} {o.opts[0]}" for p, o in OPTIONS])
def test_a_number_out_of_range_is_refused_in_one_line(
    path: tuple[str, ...], option: click.Option, files: Any, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    name = option.name or ""
    fine = IN_RANGE.get(name, set()) | (PRUNED.get(name, set()) if path == ("prune",) else set())
    for given in [value for value in GIVEN if value not in fine]:
        outcome = call(*path, *_arguments(path, files, tmp_path), f"{option.opts[0]}={given}")
        assert outcome.code == 2, (given, outcome)
        assert outcome.out == ""
        assert outcome.err.startswith("oamip: error: ")
        assert outcome.err.count("\n") == 1
        assert option.opts[0] in outcome.err
        assert len(outcome.err) < 600
        assert list(work.iterdir()) == [], given


MANY = [
    ("pruning", "--training-images", "99999999"),
    ("pruning", "--training-images", "1"),
    ("images", "--images", "241"),
    ("images", "--images", "99999999"),
    ("classes", "--per-class", "81"),
    ("while-training", "--every", "99"),
]


@pytest.mark.parametrize(("study", "option", "given"), MANY)
def test_more_images_than_there_are_is_refused_before_training(
    study: str, option: str, given: str, files: Any, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = call("experiment", study, "--data", files.data, "--network", "dense-3", option, given)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (2, "", 1), outcome
    assert list(tmp_path.iterdir()) == []
