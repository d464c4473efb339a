"""Networks with the layers of ACAS Xu's: their costs, their inputs, and the table of their programs."""

from __future__ import annotations

import sys

import numpy as np
import torch
from oamip_benchmarks.measures.layers import six_layers

import oamip_model as om


def test_costs_are_low_and_alike_except_near_a_collision():
    torch.manual_seed(0)
    found = six_layers.costs(torch.rand(20_000, 5) - 0.5).numpy()
    spread = np.ptp(found, axis=1)
    assert found.min() >= -six_layers.MEAN / six_layers.RANGE - 1e-6
    assert np.median(found) < -0.015
    assert np.quantile(spread, 0.8) < 0.01
    assert spread.max() > 0.5
    # Two paths that meet at once cost the whole range, whatever the manoeuvre.
    met = six_layers.costs(torch.tensor([[-0.5, 0.1, 0.2, 0.0, 0.0]]))
    assert met.min() > 0.95


def test_the_manoeuvre_of_least_cost_has_the_largest_logit_and_near_inputs_differ_more():
    module = six_layers.untrained(0, 8, "random")
    costs = om.read_network(module)
    x = np.random.default_rng(0).uniform(-0.5, 0.5, (50, 5))
    wanted, least = costs.replay(x), costs.replay(x).argmin(axis=1)
    network = om.read_network(six_layers.preferring(module, 0.5))
    np.testing.assert_allclose(network.replay(x), -0.5 * wanted, atol=1e-6)
    np.testing.assert_array_equal(network.replay(x).argmax(axis=1), least)
    (far, labels), (near, _) = (six_layers.inputs(network, 3, near) for near in (False, True))
    assert len(set(labels.tolist())) == len(far) == 3
    assert np.ptp(network.replay(near), axis=1).min() > np.median(np.ptp(network.replay(far), axis=1))


def test_rough_weights_are_as_large_as_asked():
    module = six_layers.untrained(0, 50, "rough")
    hidden, last = module[4].weight, module[-1].weight
    assert 0.4 < float(hidden.detach().std()) < 0.8
    assert float(hidden.detach().abs().max()) > 3
    assert float(last.detach().abs().max()) < 0.1


def test_the_table_has_a_line_for_each_program_and_draw(capsys, monkeypatch):
    asked = ["--weights", "random", "--width", "1", "--draw", "1", "--draw", "2", "--scale", "0.01"]
    monkeypatch.setattr(sys, "argv", ["six_layers", *asked, "--program", "default", "--program", "published"])
    six_layers.main()
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["seed", "scale", "draw"]
    assert [one.split()[2] for one in lines] == ["1", "1", "2", "2"]
    assert [one.split()[4:6] for one in lines] == [["default", "optimal"], ["published", "optimal"]] * 2
