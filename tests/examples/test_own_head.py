"""A head from outside the package does what those inside it do."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import oamip_model as om
from oamip_model.formulation import cross_entropy
from oamip_model.scoring.layerwise.heads import HEADS, register_head
from oamip_model.scoring.layerwise.heads.mixed import MixedHead
from oamip_model.scoring.layerwise.heads.tail import rest_tail

WEIGHT = 3.0


@pytest.fixture
def own(example):
    return example("own_head")


def small_problem():
    random = np.random.default_rng(2)
    network = om.read_network(_module(), (4,))
    return network, random.normal(size=(30, 4)), np.arange(30) % 3


def _module():
    import torch

    torch.manual_seed(1)
    layers = [torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 4), torch.nn.ReLU(), torch.nn.Linear(4, 3)]
    return torch.nn.Sequential(*layers).eval()


def test_the_example_runs(own, capsys):
    own.main()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["pattern", "prototypes"]
    assert all("optimal" in line and float(line.split()[-1]) > 0.8 for line in lines)


def test_its_optimum_is_that_of_all_binary_scores(own):
    network, images, labels = small_problem()
    method = om.Decoupled(head="prototypes", scores="binary", sparsity="mean", weight=WEIGHT)
    found = om.score(network, images, labels, method, solver=om.Solver(tolerance=1e-5))
    r = network.activations(images)[0]
    means = np.stack([r[labels == c].mean(axis=0) for c in range(3)])
    costs = []
    for bits in itertools.product([0.0, 1.0], repeat=5):
        logits = 2.0 * (r * bits) @ means.T - (means**2).sum(axis=1)
        costs.append(WEIGHT * float(cross_entropy(logits, labels).mean()) + np.mean(bits))
    program = found.programs[0]
    assert program.objective == pytest.approx(min(costs), rel=1e-4)
    assert program.bound <= min(costs) + 1e-4
    accuracy = np.mean((2.0 * r @ means.T - (means**2).sum(axis=1)).argmax(axis=1) == labels)
    assert program.trained.accuracy == pytest.approx(accuracy, abs=1e-6)
    # Behind the last layer nothing but the loss is non-linear, so there the network itself is the head.
    assert program.replay is None
    assert found.programs[1].replay.passed


def test_its_name_is_accepted_where_a_heads_name_is(own):
    with pytest.raises(om.InputError, match=r"^head: got 'nothing', accepted are .*auxiliary, .*prototypes$"):
        om.Forward(head="nothing")
    with pytest.raises(om.InputError, match=r"^program_images: got 5, but head prototypes has no use for it$"):
        om.Forward(head="prototypes", program_images=5)


def test_without_it_the_name_is_refused():
    with pytest.raises(om.InputError, match=rf"^head: got 'prototypes', accepted are {', '.join(HEADS.own)}$"):
        om.Forward(head="prototypes")


def test_a_mixed_head_from_outside_takes_the_options_of_mixed_programs():
    class Same(MixedHead):
        name = "same"

        def tail(self, part, trained):
            return rest_tail(part.network, part.images, part.group, part.others)

    register_head(Same)
    network, images, labels = small_problem()
    both = [
        om.score(network, images, labels, om.Decoupled(head=head, program_images=4, bounds="crown", scores="binary"))
        for head in ("same", "rest")
    ]
    assert both[0].programs[0].objective == both[1].programs[0].objective
    assert both[0].programs[0].replay.passed
    for name in ("0", "2"):
        np.testing.assert_array_equal(both[0].by_layer[name], both[1].by_layer[name])
