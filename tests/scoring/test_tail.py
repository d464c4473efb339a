"""Tails: the layers after a scored one, as a network of their own, are the network with that layer's scores."""

from __future__ import annotations

import numpy as np
import pytest
from replays import KINDS

import oamip_model as om
from oamip_model.scoring.layerwise.heads.tail import head_tail, named_scores, rest_tail
from oamip_model.solving import gated_logits


def masks(network, rng, but):
    """Random masks of the other groups, one of them left out."""
    found = {g: (rng.random(entry.size) < 0.6).astype(float) for g, entry in enumerate(network.groups) if g != but}
    if found and rng.random() < 0.5:
        found.pop(int(rng.choice(list(found))))
    return found


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_a_tail_replays_as_the_network_with_the_scores(name, problem_of, seed):
    p = problem_of(name, seed, 2)
    rng = np.random.default_rng(seed)
    for group, entry in enumerate(p.network.groups):
        keep = masks(p.network, rng, group)
        tail = rest_tail(p.network, p.images, group, keep)
        for s in (rng.random(entry.size), np.round(rng.random(entry.size)), np.ones(entry.size)):
            ours = tail.network.replay(tail.inputs, {entry.name: s})
            theirs = p.network.replay(p.images, named_scores(p.network, keep | {group: s}))
            np.testing.assert_allclose(ours, theirs, atol=1e-9)
            if len(entry.layers) == 1:
                # The pre-activation is a number, so a fractional score means the same in both gates.
                for gate in ("subtractive", "switch"):
                    gated = gated_logits(tail.network, tail.inputs, {entry.name: s}, gate)
                    np.testing.assert_allclose(gated, theirs, atol=1e-9)


@pytest.mark.parametrize("name", KINDS)
def test_bounds_of_a_tail_hold_and_its_first_layer_has_no_state(name, problem_of):
    p = problem_of(name, 1, 2)
    rng = np.random.default_rng(5)
    for group, entry in enumerate(p.network.groups):
        tail = rest_tail(p.network, p.images, group, masks(p.network, rng, group))
        for method in ("interval", "crown", "lp"):
            bounds = om.compute_bounds(tail.network, tail.inputs, method)
            outputs = tail.network.activations(tail.inputs, {entry.name: np.round(rng.random(entry.size))})
            for k, h in enumerate(outputs):
                flat = h.reshape(len(h), -1)
                assert (bounds.output_lower[k] - 1e-9 <= flat).all()
                assert (flat <= bounds.output_upper[k] + 1e-9).all()
        instance = om.build_instance(tail.network, tail.inputs, p.labels)
        first = tail.network.layers[0].name
        assert not any(layer == first for _, layer, _ in [*instance.PRE, *instance.STATE])


def test_columns_after_a_convolution_are_units_and_not_positions(problem_of):
    p = problem_of("conv", 0, 2)
    tail = rest_tail(p.network, p.images, 0, {})
    instance = om.build_instance(tail.network, tail.inputs, p.labels)
    scores = len(instance.s)
    assert scores == p.network.groups[0].size
    rows = instance.layout.value.pre_rows
    second = [k for k, (_, layer, _) in enumerate(instance.layout.value.pre) if layer == p.network.groups[1].name]
    assert second
    assert (rows.matrix[second].indices < scores).all()


def test_units_that_are_cut_leave_no_variable(problem_of):
    p = problem_of("dense", 0, 2)
    gone = np.zeros(p.network.groups[1].size)
    tail = rest_tail(p.network, p.images, 0, {1: gone})
    instance = om.build_instance(tail.network, tail.inputs, p.labels)
    assert len(instance.PRE) == len(instance.ACT) == 0


def test_a_head_takes_the_representation_with_its_scores(problem_of):
    p = problem_of("conv", 0, 2)
    head = problem_of("dense", 0, 2).network
    with pytest.raises(om.InputError, match=r"^head: "):
        head_tail(p.network, p.images, 0, {}, head)
    last = len(p.network.groups) - 1
    entry = p.network.groups[last]
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(entry.size, 3), torch.nn.ReLU(), torch.nn.Linear(3, 3)).eval()
    head = om.read_network(module)
    tail = head_tail(p.network, p.images, last, {}, head)
    s = np.random.default_rng(0).random(entry.size)
    r = p.network.activations(p.images)[entry.layers[-1]] * s
    np.testing.assert_allclose(tail.network.replay(tail.inputs, {entry.name: s}), head.replay(r), atol=1e-10)
    assert [group.name for group in tail.network.groups] == [entry.name]
