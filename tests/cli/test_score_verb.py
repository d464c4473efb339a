"""``oamip score``: what it prints, saves, and leaves with."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest

import oamip_model as om
from oamip_model.checks import spec_of
from oamip_model.cli.score import score
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.joint import whole
from oamip_model.scoring.methods import METHODS
from oamip_model.scoring.program_result import ReplayCheck

SMALL = ["--images", "6", "--sparsity", "mean", "--strategy", "joint"]


def test_options_are_the_fields_of_the_objects_and_nothing_given_means_their_defaults() -> None:
    flags = {flag for param in score.params for flag in (*param.opts, *param.secondary_opts)}
    classes = (*METHODS.values(), om.Formulation, om.TreeSearch, om.Solver, om.Run)
    specs = [spec_of(one) for cls in classes for one in fields(cls)]
    assert {flag for spec in specs for flag in (spec.flag, spec.off) if flag} <= flags
    with score.make_context("score", ["net.onnx"]) as context:
        given = {name: value for name, value in context.params.items() if any(s.key == name for s in specs)}
    assert set(given.values()) <= {None}
    for name, cls in METHODS.items():
        solver = None if name == "elimination" else om.Solver()
        assert as_objects(name) == {"method": cls(), "solver": solver, "run": om.Run()}


def test_what_is_printed_and_saved(call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    outcome = call("score", files.net, "--data", files.data, *SMALL, "--score-type", "binary", "--out", out)
    assert outcome.code == 0, outcome
    assert outcome.err == ""
    saved = om.load_scores(out)
    assert saved.proved
    assert saved.summary() in outcome.out
    for name, values in saved.by_layer.items():
        assert any(line.split()[:2] == [name, str(len(values))] for line in outcome.out.splitlines())
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_the_same_scores_as_the_function(call: Any, files: Any) -> None:
    outcome = call("score", files.net, "--data", files.data, *SMALL, "--gate", "published", "--relaxed", "--json")
    assert outcome.code == 0
    told = outcome.json()
    images = om.choose_images(om.load_dataset(files.data), n=6)
    direct = om.score(
        files.net, images, method=om.Joint(om.Formulation(sparsity="mean", gate="published", relaxed=True))
    )
    assert told["objective"] == pytest.approx(direct.objective, rel=1e-9)
    assert told["summary"] == direct.summary()
    assert (told["relaxed"], told["proved"]) == (True, False)
    for name, values in direct.by_layer.items():
        np.testing.assert_allclose(told["layers"][name]["scores"], values)


@pytest.mark.parametrize("solver", ["cbc", "scip"])
def test_another_solver_by_a_flag(solver: str, call: Any, files: Any) -> None:
    try:
        om.get_backend(solver)
    except om.SolverMissingError as error:
        pytest.skip(str(error))
    told = [call("score", files.net, "--data", files.data, *SMALL, "--solver", s, "--json") for s in ("highs", solver)]
    assert [t.code for t in told] == [0, 0]
    assert told[1].json()["solver"] == solver
    assert told[1].json()["objective"] == pytest.approx(told[0].json()["objective"], rel=2e-4)


def test_correct_only(call: Any, files: Any) -> None:
    outcome = call("score", files.net, "--data", files.data, *SMALL, "--correct-only", "--json")
    assert "classified correctly only" in outcome.json()["source"]


@pytest.mark.parametrize(("strategy", "programs"), [("batches", 3), ("per-class", 3)])
def test_averages_end_with_0(strategy: str, programs: int, call: Any, files: Any, tmp_path: Path) -> None:
    options = [*SMALL[:4], "--strategy", strategy, "--out", tmp_path / "s.json"]
    options += ["--batch-size", "2"] if strategy == "batches" else []
    assert call("score", files.net, "--data", files.data, *options).code == 0
    saved = om.load_scores(tmp_path / "s.json")
    assert len(saved.programs) == programs
    assert saved.averaged
    assert not saved.proved
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


def test_a_limit_ends_with_3(call: Any, files: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = whole.solve_program

    def stopped(*arguments: Any) -> Any:
        outcome = real(*arguments)
        result = whole.replace(outcome.result, status="feasible", gap=0.3)
        return whole.replace(outcome, result=result)

    monkeypatch.setattr(whole, "solve_program", stopped)
    outcome = call("score", files.net, "--data", files.data, *SMALL, "--out", tmp_path / "s.json")
    assert outcome.code == 3
    assert "feasible, gap 0.3" in outcome.out
    assert om.load_scores(tmp_path / "s.json").status == "feasible"


def test_a_failed_replay_ends_with_5(call: Any, files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = whole.solve_program

    def wrong(*arguments: Any) -> Any:
        outcome = real(*arguments)
        return whole.replace(outcome, result=whole.replace(outcome.result, replay=ReplayCheck(1.0, 1.0, 1e-4, False)))

    monkeypatch.setattr(whole, "solve_program", wrong)
    outcome = call("score", files.net, "--data", files.data, *SMALL)
    assert outcome.code == 5
    assert "FAILED" in outcome.out
    assert len(outcome.err.splitlines()) == 1


def test_no_scores_at_all_ends_with_1(call: Any, files: Any, tmp_path: Path) -> None:
    options = ["--loss", "margin", "--margin", "1e6", "--out", tmp_path / "s.json"]
    outcome = call("score", files.net, "--data", files.data, *SMALL, *options)
    assert (outcome.code, outcome.out) == (1, "")
    assert "infeasible" in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_missing_solver_ends_with_4(call: Any, files: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from oamip_backends.highs import Highs

    def missing(self: Any) -> None:
        raise om.SolverMissingError("highs: not here, install it with pip install highspy")

    monkeypatch.setattr(Highs, "check", missing)
    outcome = call("score", files.net, "--data", files.data, *SMALL)
    assert (outcome.code, outcome.out) == (4, "")
    assert outcome.err == "oamip: error: highs: not here, install it with pip install highspy\n"


def test_layer_by_layer_from_all_images(call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "s.json"
    options = ["--strategy", "decoupled", "--head", "linear", "--images", "all", "--amount", "0.5", "--jobs", "2"]
    outcome = call("score", files.net, "--data", files.data, *options, "--out", out)
    assert outcome.code == 0, outcome
    saved = om.load_scores(out)
    assert (saved.strategy, saved.images, saved.head) == ("decoupled", 240, "linear and rest")
    direct = om.score(
        files.net, om.load_dataset(files.data, split="train"), method=om.Decoupled(head="linear", amount=0.5)
    )
    for name, values in direct.by_layer.items():
        np.testing.assert_allclose(saved.by_layer[name], values, atol=1e-9)
    smaller = call("prune", files.net, "--scores", out, "--amount", "0.5", "--data", files.data, "--json").json()
    assert [len(layer["removed"]) for layer in smaller["layers"].values()] == [2, 2]


def test_layer_by_layer_takes_all_images_and_a_share_of_all_layers(call: Any, files: Any) -> None:
    rule = ["--strategy", "forward", "--amount", "0.3", "--scope", "global"]
    told = call("score", files.net, "--data", files.data, *rule, "--json").json()
    assert (told["strategy"], told["status"], told["proved"]) == ("forward", "optimal", False)
    assert "240 images" in told["summary"]
    assert told["options"]["method"]["scope"] == "global"


MANY = ["--images", "24", "--strategy", "batches", "--batch-size", "1", "--sparsity", "mean"]


def _stop_in_the_middle(files: Any, folder: Path, number: signal.Signals) -> subprocess.CompletedProcess[str]:
    """A run of 24 programs that gets this signal after the first is finished."""
    arguments = ["score", files.net, "--data", files.data, *MANY, "--out", str(folder / "s.json")]
    process = forked.Forked(forked.OAMIP, *arguments)
    runs = folder / "s.json.runs.jsonl"
    end = time.monotonic() + 60
    while not (runs.exists() and runs.read_bytes().count(b"\n") >= 2):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)
    process.kill(number)
    out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(arguments, process.wait(), out, err)


def test_a_killed_run_goes_on(call: Any, files: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = _stop_in_the_middle(files, tmp_path, signal.SIGKILL)
    assert stopped.returncode == -signal.SIGKILL
    assert not (tmp_path / "s.json").exists()
    runs = tmp_path / "s.json.runs.jsonl"
    finished = runs.read_bytes().count(b"\n")
    assert 2 <= finished < 24

    solved = []
    real = whole.solve_program
    monkeypatch.setattr(whole, "solve_program", lambda *a: solved.append(a[0].indices) or real(*a))
    assert call(*stopped.args).code == 0
    assert len(solved) == 24 - finished
    assert not runs.exists()
    monkeypatch.undo()

    complete = call("score", files.net, "--data", files.data, *MANY, "--json").json()
    for name, values in om.load_scores(tmp_path / "s.json").by_layer.items():
        np.testing.assert_array_equal(values, complete["layers"][name]["scores"])


def test_ctrl_c_saves_what_there_is(call: Any, files: Any, tmp_path: Path) -> None:
    stopped = _stop_in_the_middle(files, tmp_path, signal.SIGINT)
    assert stopped.returncode == 130
    assert "Traceback" not in stopped.stderr
    assert "interrupted" in stopped.stderr
    saved = om.load_scores(tmp_path / "s.json")
    assert saved.interrupted
    assert 1 <= len(saved.programs) < 24
    assert call(*stopped.args).code == 0
    assert not om.load_scores(tmp_path / "s.json").interrupted
    assert not (tmp_path / "s.json.runs.jsonl").exists()


def test_elimination_needs_no_solver_and_ends_with_0(call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    rule = ["--amount", "0.5"]
    outcome = call("score", files.net, "--data", files.data, *rule, "--out", out)
    assert outcome.code == 0, outcome
    assert "by the rule elimination, for a refit" in outcome.out
    assert "nothing is proved" in outcome.out
    named = call("score", files.net, "--data", files.data, "--strategy", "elimination", *rule, "--json").json()
    assert all(named["layers"][k]["scores"] == s.tolist() for k, s in om.load_scores(out).by_layer.items())
    assert [path.name for path in tmp_path.iterdir()] == [out.name]
    assert om.load_scores(out).images == 240
    pruned = call(
        "prune", files.net, "--scores", out, "--amount", "0.5", "--data", files.data, "--refit", "output", "--json"
    )
    assert pruned.json()["units_after"] == 5
    assert "none was asked for" not in pruned.err
    plain = call("prune", files.net, "--scores", out, "--amount", "0.5", "--data", files.data)
    assert (
        plain.err == "oamip: these scores were made for a refit, and none was asked for; --refit least-squares "
        "takes seconds\n"
    )


@pytest.mark.parametrize("options", [
    ["--solver", "highs"], ["--solver", "cbc"], ["--time-limit", "9"], ["--tolerance", "1e-3"], ["--weight", "5"],
    ["--gate", "subtractive"], ["--loss", "hinge"], ["--head", "pattern"], ["--score-type", "binary"], ["--relaxed"],
    ["--bounds", "interval"], ["--search", "solver"], ["--scope", "layer"], ["--sweeps", "1"], ["--batch-size", "10"],
])  # fmt: skip
def test_options_of_a_program_are_refused_by_elimination(call: Any, files: Any, options: Any) -> None:
    rule = ["--strategy", "elimination", "--amount", "0.5"]
    outcome = call("score", files.net, "--data", files.data, *rule, *options)
    assert outcome.code == 2
    assert f"{options[0]}: got" in outcome.err
    assert "but strategy elimination has no use for it, only " in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("option", [
    {"solver": "highs"}, {"time_limit": 60.0}, {"weight": 5.0}, {"head": "pattern"}, {"store": "runs.jsonl"},
])  # fmt: skip
def test_an_option_of_a_program_and_no_strategy_means_a_program_for_each_layer(option: Any) -> None:
    assert as_objects(**option)["method"].called == "forward"
    assert as_objects(**option) == as_objects("forward", **option)
    assert as_objects(amount=0.5, seed=1)["method"] == om.Elimination(amount=0.5, seed=1)


def test_a_solver_alone_says_which_strategy_it_gets(call: Any, files: Any) -> None:
    told = call("score", files.net, "--data", files.data, "--solver", "highs", "--json").json()
    assert (told["strategy"], told["status"]) == ("forward", "optimal")


def test_options_that_no_default_has_a_use_for_are_refused(call: Any, files: Any) -> None:
    for options in (["--gate", "subtractive"], ["--relaxed"], ["--batch-size", "10"], ["--search", "solver"]):
        outcome = call("score", files.net, "--data", files.data, *options)
        assert outcome.code == 2
        assert f"{options[0]}: got" in outcome.err
        assert "has no use for it, only " in outcome.err
        assert outcome.err.count("\n") == 1


def test_without_an_amount_the_default_ranks_units_for_any(call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "scores.json"
    assert call("score", files.net, "--data", files.data, "--out", out).code == 0
    for values in om.load_scores(out).by_layer.values():
        np.testing.assert_allclose(np.sort(values), np.arange(1, len(values) + 1) / len(values))
    for rule in (["--amount", "0.5"], ["--threshold", "0.6"], ["--macs", "0.6"]):
        refit = ["--refit", "least-squares", "--data", files.data, "--json"]
        assert call("prune", files.net, "--scores", out, *rule, *refit).code == 0
