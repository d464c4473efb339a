"""Certified distances: equal to brute force and to a program stated plainly, and never below what an input shows."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
import torch
from small_modules import FixedView, Residual
from torch import nn

import oamip_model as om
from oamip_model.certify import pairs
from oamip_model.certify.box import Box
from oamip_model.certify.distances import distance
from oamip_model.certify.sweep import distances, plot_same, summary
from oamip_model.network.types import IMAGE


def dense(seed: int, inputs: int = 2, share: float = 0.34, factor: float = 1.1) -> tuple[om.Network, om.Network]:
    """A network, and itself without some units and with other outgoing weights."""
    torch.manual_seed(seed)
    pick = np.random.default_rng(seed)
    parts = [nn.Linear(inputs, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)]
    network = om.read_network(nn.Sequential(*parts).eval(), (inputs,))
    small = om.prune(network, {"0": pick.random(6), "2": pick.random(6)}, amount=share)
    with torch.no_grad():
        last = [part for part in small.modules() if isinstance(part, nn.Linear)][-1]
        last.weight *= factor
    return network, om.read_network(small, (inputs,))


def grid(low: float, high: float, count: int = 301) -> np.ndarray:
    line = np.linspace(low, high, count)
    return np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)


def stated_plainly(one: om.Network, two: om.Network, low: float, high: float, c: int) -> float:
    """The largest |f_c - g_c| over a box by a Pyomo model with one big number, and no other bound."""
    most = 0.0
    for sense in (1, -1):
        model = pyo.ConcreteModel()
        model.x = pyo.Var(range(int(np.prod(one.input_shape))), bounds=(low, high))
        model.rows = pyo.ConstraintList()
        model.z, model.h = pyo.VarList(domain=pyo.Binary), pyo.VarList(domain=pyo.NonNegativeReals)
        logits = []
        for net in (one, two):
            outputs: list[list] = []
            for layer in net.layers:
                (term,) = layer.terms
                read = list(model.x.values()) if term.source == IMAGE else outputs[term.source]
                weight = term.map.weight
                rows = zip(weight, layer.bias, strict=True)
                a = [sum(w * v for w, v in zip(row, read, strict=True)) + b for row, b in rows]
                if layer.activation == "relu":
                    passed = []
                    for value in a:
                        h, z = model.h.add(), model.z.add()
                        for row in (h >= value, h <= value + 50 * (1 - z), h <= 50 * z):
                            model.rows.add(row)
                        passed.append(h)
                    a = passed
                outputs.append(a)
            logits.append(outputs[-1])
        model.goal = pyo.Objective(expr=sense * (logits[0][c] - logits[1][c]), sense=pyo.maximize)
        solver = pyo.SolverFactory("appsi_highs")
        solver.solve(model)
        most = max(most, pyo.value(model.goal))
    return most


@pytest.mark.parametrize("seed", range(4))
def test_distances_are_those_of_a_fine_grid_and_of_a_program_stated_plainly(seed):
    one, two = dense(seed)
    found, x = distance(one, two, (-1.0, 1.0)), grid(-1, 1)
    apart = np.abs(one.replay(x) - two.replay(x)).max(axis=0)
    assert found.proved
    assert (found.upper >= apart).all()
    assert np.allclose(found.upper, apart, atol=2e-2)
    assert found.upper[seed % 3] == pytest.approx(stated_plainly(one, two, -1, 1, seed % 3), abs=1e-4)
    shown = np.abs(one.replay(found.points) - two.replay(found.points))
    assert np.allclose(np.diag(shown), found.lower)


@pytest.mark.parametrize("seed", range(6))
def test_the_same_class_everywhere_agrees_with_a_fine_grid(seed):
    one, two = dense(seed)
    for domain in ((-1.0, 1.0), (0.0, 0.3)):
        x = grid(*domain)
        same = bool((one.replay(x).argmax(axis=1) == two.replay(x).argmax(axis=1)).all())
        found = distance(one, two, domain, classes=False)
        assert found.same in (same, None)
        if found.differs is not None:
            point = found.differs[None]
            assert one.replay(point).argmax() != two.replay(point).argmax()
            assert (point >= domain[0]).all()
            assert (point <= domain[1]).all()
        if found.same:
            assert found.same_proof in ("certified", "claimed")


def test_no_bound_is_below_a_sampled_difference_with_any_time():
    for seed in range(6):
        one, two = dense(seed, inputs=5)
        x = Box.of((-1, 1), (5,)).sample(4000, seed=9)
        apart = np.abs(one.replay(x) - two.replay(x)).max(axis=0)
        for limit in (1e-3, 0.1, None):
            found = distance(one, two, (-1.0, 1.0), solver=om.Solver(time_limit=limit))
            assert (found.upper >= apart - 1e-9).all()


@pytest.mark.parametrize(
    ("make", "shape"),
    [(FixedView, (1, 8, 8)), (lambda: Residual(True), (1, 6, 6)), (lambda: Residual(False), (1, 6, 6))],
    ids=["max pooling", "projection", "shortcut"],
)
def test_convolutions_and_additions_are_paired_and_bounded(make, shape):
    torch.manual_seed(0)
    module = make().eval()
    network = om.read_network(module, shape)
    small = om.prune(module, {g.name: np.linspace(0, 1, g.size) for g in network.groups}, amount=0.3, network=network)
    less = om.read_network(small, shape)
    box = Box.of((0.0, 0.05), shape)
    both = pairs.twins(network, less, box)
    assert both.paired
    bounds = pairs.twin_bounds(both, box)
    x = box.sample(200, seed=4)
    change = less.replay(x.reshape(-1, *shape)) - network.replay(x.reshape(-1, *shape))
    assert (bounds.logits[0] <= change).all()
    assert (change <= bounds.logits[1]).all()
    # By node too: the pruned network's units stand where those that they came from are.
    sides = (bounds.envelope.low, bounds.envelope.high)
    for k, (low, high) in enumerate(zip(*(side[bounds.starts[2] :] for side in sides), strict=True)):
        difference = both.second.values(x)[k] - both.first.values(x)[k]
        assert (low <= difference).all()
        assert (difference <= high).all()


def test_bounds_of_differences_are_tighter_than_differences_of_bounds():
    one, two = dense(1, share=0.0, factor=1.01)
    box = Box.of((-1, 1), (2,))
    bounds = pairs.twin_bounds(pairs.twins(one, two, box), box)
    sides = (bounds.envelope.low, bounds.envelope.high)
    low, high = ([side[start - 1] for start in bounds.starts[1:]] for side in sides)
    apart = high[1] - low[0]
    assert (bounds.logits[1] < 0.5 * apart).all()


def test_networks_of_other_layers_have_a_distance_too():
    one, _ = dense(0)
    torch.manual_seed(5)
    two = om.read_network(nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 3)).eval(), (2,))
    assert not pairs.twins(one, two, Box.of((-1, 1), (2,))).paired
    found, x = distance(one, two, (-1.0, 1.0)), grid(-1, 1)
    assert np.allclose(found.upper, np.abs(one.replay(x) - two.replay(x)).max(axis=0), atol=2e-2)


def test_a_network_is_at_no_distance_from_itself():
    one, _ = dense(0)
    found = distance(one, one, (-1.0, 1.0))
    assert found.bound() < 1e-9
    assert found.proofs == ("certified",) * 3


def test_norms_and_what_does_not_fit():
    one, two = dense(0)
    found = distance(one, two, (-1.0, 1.0))
    x = grid(-1, 1)
    whole = np.abs(one.replay(x) - two.replay(x)).sum(axis=1).max()
    assert found.seen("1") <= whole <= found.bound("1")
    with pytest.raises(om.InputError, match="norm"):
        found.bound("2")
    with pytest.raises(om.InputError, match="pruned: takes inputs"):
        distance(one, dense(0, inputs=3)[1], (-1.0, 1.0))


def test_boxes_around_images_go_on_from_a_store(tmp_path):
    one, two = dense(2)
    images = np.random.default_rng(0).uniform(-1, 1, (4, 2))
    store = tmp_path / "boxes.jsonl"
    found = distances(one, two, images, (0.01, 0.1), store=store, clip=(-1, 1))
    assert [(r.radius, r.image) for r in found] == [(radius, k) for radius in (0.01, 0.1) for k in range(4)]
    lines = store.read_text().splitlines()
    assert len(lines) == 8
    store.write_text("\n".join(lines[:5]) + "\n" + lines[5][:30])
    assert [r.bound for r in distances(one, two, images, (0.01, 0.1), store=store, clip=(-1, 1))] == [
        r.bound for r in found
    ]
    assert len(store.read_text().splitlines()) == 8
    rows = summary(found)
    assert [row["boxes"] for row in rows] == [4, 4]
    assert all(row["same"] + row["differ"] + row["open"] == 4 for row in rows)
    assert rows[0]["bound"] < rows[1]["bound"]
    plot_same({0.34: rows}, tmp_path / "same.png")
    assert (tmp_path / "same.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("asked", [{"radii": ()}, {"radii": (-1.0,)}, {"radii": (float("nan"),)}, {"clip": (1, 0)}])
def test_wrong_boxes_are_refused(asked):
    one, two = dense(0)
    with pytest.raises(om.InputError, match=r"radius|clip"):
        distances(one, two, np.zeros((1, 2)), **{"radii": (0.1,), **asked})
