"""What docs/how-to/own-objects.md shows does what it says, as it stands there."""

from __future__ import annotations

import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.solving import gated_logits

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "own-objects.md"
WEIGHT = 2.0


@pytest.fixture
def shown(monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(blocks) == 5
    page = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", page)
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), vars(page))
    return page


def best_of_all(p):
    brier, rising = loss_named("brier"), sparsity_named("rising")
    return min(
        WEIGHT * brier.values(p.network.replay(p.images, p.split(bits)), p.labels, 0.0).mean()
        + rising.value(p.network, bits)
        for bits in p.all_binary()
    )


@pytest.mark.parametrize("search", ["solver", "tree"])
def test_score_takes_all_three_and_proves_what_brute_force_finds(shown, problem_of, search):
    p = problem_of("dense", 1, 2)
    program = om.Formulation(gate="cubic", scores="binary", loss="brier", sparsity="rising", weight=WEIGHT)
    found = om.score(p.network, p.images, p.labels, om.Joint(program, search=search))
    assert (found.status, found.gate, found.proved) == ("optimal", "cubic", True)
    assert found.replay.passed
    assert found.objective == pytest.approx(best_of_all(p), rel=1e-3)
    logits = gated_logits(p.network, p.images, found.by_layer, "cubic")
    np.testing.assert_allclose(logits, p.network.replay(p.images, found.by_layer), atol=1e-9)


def test_scores_layer_by_layer_take_the_loss_and_the_sparsity(shown, problem_of):
    p = problem_of("dense", 1, 2)
    found = om.score(p.network, p.images, p.labels, om.Decoupled(loss="brier", sparsity="rising", weight=WEIGHT))
    assert found.status == "optimal"
    for program in found.programs:
        assert program.replay.passed
        assert program.bound <= program.objective + 1e-9
    last = found.programs[-1]
    layer = found.by_layer[last.layer]
    # Behind the last scored layer all is affine: no scores of that layer alone are better.
    brier = loss_named("brier")
    scores = {group.name: np.ones(group.size) for group in p.network.groups}
    for tried in [*np.random.default_rng(0).uniform(0, 1, (200, len(layer))), np.ones(len(layer))]:
        logits = p.network.replay(p.images, scores | {last.layer: tried})
        value = WEIGHT * brier.values(logits, p.labels, 0.0).mean() + tried.mean()
        assert value >= last.bound - 1e-5


def test_its_map_is_read_cut_and_proved(shown):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(1, 3, 2), nn.ReLU(), shown.Turned(), nn.Flatten(), nn.Linear(27, 3)).eval()
    network = om.read_network(module, (1, 4, 4))
    images, labels = np.random.default_rng(0).uniform(size=(2, 1, 4, 4)), np.array([0, 1])
    program = om.Formulation(gate="switch", scores="binary", sparsity="mean", weight=WEIGHT)
    found = om.score(network, images, labels, om.Joint(program))
    assert found.proved
    scores = [network.by_group(np.array(bits, dtype=float)) for bits in np.ndindex(2, 2, 2)]
    loss = loss_named("cross-entropy")
    costs = [WEIGHT * loss.values(network.replay(images, s), labels, 0.0).mean() + s["0"].mean() for s in scores]
    assert found.objective == pytest.approx(min(costs), rel=1e-3)
    smaller = om.prune(module, {"0": [1.0, 0.0, 1.0]}, threshold=0.5, network=network)
    assert isinstance(smaller[2], shown.Turned)
    assert om.read_network(smaller, (1, 4, 4)).groups[0].size == 2


def test_its_head_scores_every_layer(shown, problem_of):
    p = problem_of("dense", 1, 6)
    found = om.score(p.network, p.images, p.labels, om.Decoupled(head="blind"))
    assert found.status == "optimal"
    assert set(found.by_layer) == {group.name for group in p.network.groups}
