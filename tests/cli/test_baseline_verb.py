"""``oamip baseline``: simple rules in files that ``oamip prune`` takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oamip_model as om
from oamip_model.pruning import BASELINES
from oamip_model.pruning.baselines.rules import WITH_IMAGES


@pytest.mark.parametrize("method", BASELINES)
def test_the_file_holds_the_rules_scores(method: Any, call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "rule.json"
    outcome = call("baseline", method, files.net, "--data", files.data, "--seed", "3", "--out", out, "--json")
    assert (outcome.code, outcome.err) == (0, "")
    saved, told = om.load_scores(out), outcome.json()
    images = om.load_dataset(files.data, split="train") if method in WITH_IMAGES else None
    wanted = om.baseline_scores(files.net, method, 3, images=images)
    assert saved.summary() == wanted.summary() == told["summary"]
    for name, values in wanted.by_layer.items():
        assert np.array_equal(saved.by_layer[name], values)
        assert told["layers"][name]["scores"] == values.tolist()


def test_a_rule_prunes_as_scores_do(call: Any, files: Any, tmp_path: Path) -> None:
    out, small = tmp_path / "rule.json", tmp_path / "small.onnx"
    outcome = call("baseline", "taylor", files.net, "--data", files.data, "--images", "6", "--out", out)
    assert (outcome.code, outcome.err) == (0, "")
    assert "by the rule taylor, 6 images" in outcome.out
    pruned = call("prune", files.net, "--scores", out, "--amount", "0.5", "--data", files.data, "--out", small)
    assert (pruned.code, pruned.err) == (0, "")
    assert "nothing is proved" in pruned.out
    assert sum(group.size for group in om.read_network(small).groups) == 5


def test_critical_turns_scores_round(call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "critical.json"
    assert call("baseline", "critical", files.net, "--scores", files.scores, "--out", out).code == 0
    scores, critical = om.load_scores(files.scores), om.load_scores(out)
    assert critical.strategy == "critical"
    assert all(np.allclose(critical.by_layer[name], 1 - values) for name, values in scores.by_layer.items())


def test_bad_input_is_told_in_one_line_and_nothing_is_written(call: Any, files: Any, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    other = tmp_path / "other.json"
    om.baseline_scores(om.make_network("dense-2", (1, 3, 3), 3), "random", images=np.zeros((1, 1, 3, 3))).save(other)
    cases = [
        (["oracle", files.net], "baseline: unknown method 'oracle', known are random"),
        (["random", "missing.onnx"], "network: there is no file missing.onnx"),
        (["critical", files.net], "--scores: critical needs a file"),
        (["random", files.net, "--scores", files.scores], "--scores: critical needs a file"),
        (["critical", files.net, "--scores", "missing.json"], "--scores: there is no file missing.json"),
        (["critical", files.net, "--scores", other], "--scores: they belong to another network"),
        (["random", files.net, "--seed", "-1"], "'--seed': -1 is not in the range"),
        (["apoz", files.net], "images: got shape"),
        (["apoz", files.net, "--data", "missing.npz"], "missing.npz"),
        (["apoz", files.net, "--data", files.data, "--images", "few"], "'few' is neither a whole number nor all"),
        (["random"], "Missing argument 'NET'"),
    ]
    for arguments, words in cases:
        outcome = call("baseline", *arguments, "--out", out)
        assert (outcome.code, outcome.out) == (2, ""), arguments
        assert words in outcome.err
        assert len(outcome.err.splitlines()) == 1
    assert call("baseline", "random", files.net, "--out", tmp_path / "out.csv").code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


def test_help_names_every_rule_and_loads_nothing_heavy() -> None:
    code = "import sys; from oamip_model.cli import run; run(['baseline', '--help']); "
    code += "print([m for m in ('torch', 'pyomo', 'numpy') if m in sys.modules], file=sys.stderr)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stderr.strip() == "[]"
    words = set(found.stdout.replace(",", " ").replace(".", " ").split())
    assert {*BASELINES, "critical"} <= words
