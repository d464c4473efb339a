"""The head refit: programs of what is lost after a refit, their bounds, and what each order hands on."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from pruning.conftest import NETWORKS, build

import oamip_model as om
from oamip_model.refit.elimination.layer_error import LayerError
from oamip_model.refit.elimination.units import GroupReaders
from oamip_model.refit.options import MASK_ROWS
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import image_stream
from oamip_model.refit.walk import Walk


def problem(kind: str, count: int = 200):
    network = om.read_network(*build(kind))
    images = np.random.default_rng(0).normal(size=(count, *network.input_shape))
    return network, images, network.replay(images).argmax(1)


def error_of_first_group(network, images) -> LayerError:
    options, stream = om.Refit(rows=MASK_ROWS), image_stream(network, images)
    readers = GroupReaders(network, stream, options)
    whole = {group.name: np.ones(group.size, dtype=bool) for group in network.groups}
    walk = Walk(network, slim_network(network, whole), stream)
    return LayerError(readers.systems(walk, 0), network.groups[0].size, options.ridge)


@pytest.mark.parametrize("kind", ["mlp", "residual"])
def test_binary_scores_are_the_best_mask_of_brute_force(kind):
    network, images, labels = problem(kind)
    group = network.groups[0]
    method = om.Decoupled(head="refit", amount=0.5, scores="binary")
    scores = om.score(network, images, labels, method)
    error, program = error_of_first_group(network, images), scores.programs[0]
    found = {}
    for units in combinations(range(group.size), program_size(scores, group)):
        mask = np.zeros(group.size)
        mask[list(units)] = 1.0
        found[units] = error(mask)[0]
    assert program.objective == pytest.approx(min(found.values()), rel=1e-3)
    assert program.bound <= min(found.values()) * (1 + 1e-6)
    assert program.status == "optimal"
    assert program.proof in ("certified", "claimed")
    kept = tuple(np.flatnonzero(scores.by_layer[group.name] > 0.5).tolist())
    assert found[kept] == pytest.approx(min(found.values()), rel=1e-3)
    assert program.objective <= program.heuristic * (1 + 1e-9)


def program_size(scores: om.Scores, group) -> int:
    return int((scores.by_layer[group.name] > 0.5).sum())


def test_continuous_scores_keep_to_the_amount_and_are_below_every_mask():
    network, images, labels = problem("mlp")
    scores = om.score(network, images, labels, om.Decoupled(head="refit", amount=0.5))
    for group, program in zip(network.groups, scores.programs, strict=True):
        assert scores.by_layer[group.name].sum() <= group.size - int(0.5 * group.size) + 1e-6
        assert program.bound <= program.objective <= program.heuristic
        assert program.gap < 2e-3
        assert program.proof == "certified"
        assert program.weight is None


def test_with_a_weight_a_higher_one_keeps_more():
    network, images, labels = problem("mlp")
    kept = []
    for weight in (0.1, 100.0):
        scores = om.score(network, images, labels, om.Decoupled(head="refit", weight=weight, scores="binary"))
        kept.append(sum(values.sum() for values in scores.by_layer.values()))
        assert all(p.objective == pytest.approx(p.sparsity + weight * p.loss) for p in scores.programs)
    assert kept[0] < kept[1]


def test_forward_begins_each_layer_from_the_layers_refitted_before():
    network, images, labels = problem("mlp", 300)
    method = om.Forward(head="refit", amount=0.5, scores="binary")
    scores = om.score(network, images, labels, method)
    first = network.groups[0].name
    keep = {first: scores.by_layer[first] > 0.5}
    options, stream = om.Refit(relu_passes=0), image_stream(network, images)
    readers = GroupReaders(network, stream, options)
    refitted, _ = om.refit_network(network, keep, images, options)
    whole = {group.name: keep.get(group.name, np.ones(group.size, dtype=bool)) for group in network.groups}
    walk = Walk(network, slim_network(refitted, whole), stream)
    error = LayerError(readers.systems(walk, 1), network.groups[1].size, options.ridge)
    second = scores.by_layer[network.groups[1].name]
    assert scores.programs[1].objective == pytest.approx(error(np.round(second))[0], rel=1e-4)
    assert scores.exchanged == 0


@pytest.mark.parametrize("kind", sorted(NETWORKS))
def test_it_takes_networks_of_every_kind(kind):
    network, images, labels = problem(kind, 60)
    scores = om.score(network, images, labels, om.Forward(head="refit", amount=0.4))
    assert scores.head == "refit"
    for program in scores.programs:
        assert program.bound <= program.objective + 1e-12


@pytest.mark.parametrize(
    ("method", "told"),
    [
        (lambda: om.Decoupled(head="refit", amount=0.5, scope="global"), "scope: got 'global', with head refit"),
        (lambda: om.Forward(head="refit", amount=0.5, exchanges=3), "exchanges"),
        (lambda: om.Forward(head="refit", sweeps=2), "sweeps"),
    ],
)
def test_what_the_head_has_no_use_for_is_refused(method, told):
    with pytest.raises(om.InputError, match=told):
        method()


def test_a_layer_that_no_refit_follows_is_refused(monkeypatch):
    network, images, labels = problem("mlp")
    monkeypatch.setattr("oamip_model.refit.elimination.units._readers", lambda network, owners: {0: [1]})
    told = f"head: got refit, but no layer that a refit may change reads {network.groups[1].name}"
    with pytest.raises(om.InputError, match=told):
        om.score(network, images, labels, om.Decoupled(head="refit", amount=0.5))
