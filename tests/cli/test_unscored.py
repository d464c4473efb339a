"""Networks without a scored layer, or with one logit: one sentence and exit code 2, by every verb and strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import oamip_model as om

SHAPE = (1, 3, 3)
NETWORKS = {
    "linear": (lambda: [nn.Linear(9, 3)], "network: no layer carries a score; one does where"),
    "output": (lambda: [nn.Linear(9, 3), nn.ReLU()], "network: no layer carries a score; one does where"),
    "one-logit": (
        lambda: [nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 1)],
        ("--loss: ", "loss: ", "network: it has one logit; a loss over classes needs two or more"),
    ),
}
STRATEGIES = ["forward", "backward", "decoupled", "joint", "batches", "per-class"]
LOSSLESS = {"elimination", "bounds", "bounds lp", "random", "weight-norm", "weight-l1", "weight-l2",
            "geometric-median", "mean-activation", "apoz", "prune", "prune refit"}  # fmt: skip
"""Verbs and strategies that need no loss over classes, and so take one logit."""
VERBS: dict[str, list[str]] = {
    **{name: ["score", "NET", "--data", "DATA", "--strategy", name, "--out", "s.json"] for name in STRATEGIES},
    "elimination": ["score", "NET", "--data", "DATA", "--strategy", "elimination", "--amount", "0.5"],
    "amount": ["score", "NET", "--data", "DATA", "--strategy", "forward", "--amount", "0.5"],
    "global": ["score", "NET", "--data", "DATA", "--strategy", "forward", "--amount", "0.5", "--scope", "global"],
    "tree": ["score", "NET", "--data", "DATA", "--strategy", "joint", "--search", "tree"],
    "published": ["score", "NET", "--data", "DATA", "--strategy", "joint", "--gate", "published", "--relaxed"],
    "bounds": ["bounds", "NET", "--data", "DATA"],
    "bounds lp": ["bounds", "NET", "--data", "DATA", "--method", "lp"],
    "tightness": ["tightness", "NET", "--data", "DATA", "--images", "3"],
    **{
        rule: ["baseline", rule, "NET", "--data", "DATA"]
        for rule in ("random", "weight-norm", "weight-l1", "weight-l2", "geometric-median", "mean-activation", "apoz",
                     "taylor", "snip")
    },
    "prune": ["prune", "NET", "--scores", "SCORES", "--amount", "0.5", "--data", "DATA"],
    "prune refit": ["prune", "NET", "--scores", "SCORES", "--amount", "0.5", "--refit", "output", "--data", "DATA"],
}  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """For each network its file, data for it, and a file of scores."""
    folder = tmp_path_factory.mktemp("unscored")
    other = nn.Sequential(nn.Flatten(), nn.Linear(9, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    found = {}
    for name, (layers, _) in NETWORKS.items():
        module = nn.Sequential(nn.Flatten(), *layers()).eval()
        net = om.save_module(module, folder / f"{name}.onnx", SHAPE)
        labels = np.arange(12) % om.read_network(net).classes
        images = np.random.default_rng(0).uniform(size=(12, *SHAPE))
        np.savez(folder / f"{name}.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        scored = om.read_network(module if name == "one-logit" else other, SHAPE)
        om.baseline_scores(scored, "random").save(folder / f"{name}.json")
        found[name] = {"NET": str(net), "DATA": str(folder / f"{name}.npz"), "SCORES": str(folder / f"{name}.json")}
    return found


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("network", NETWORKS)
def test_one_sentence_and_nothing_written(
    network: str, verb: str, saved: Any, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    outcome = call(*(saved[network].get(part, part) for part in VERBS[verb]))
    if network == "one-logit" and verb in LOSSLESS:
        assert outcome.code == 0, outcome
        return
    assert outcome.code == 2, outcome
    assert outcome.out == ""
    (line,) = outcome.err.splitlines()
    told = NETWORKS[network][1]
    assert line.startswith(tuple(f"oamip: error: {begin}" for begin in ((told,) if isinstance(told, str) else told)))
    assert network != "one-logit" or "one logit" in line
    assert list(work.iterdir()) == []
