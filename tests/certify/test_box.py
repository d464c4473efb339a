"""Boxes, bounds over them, and the program over them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_modules import FixedView, NormAfterAddition, Residual
from torch import nn

import oamip_model as om
from oamip_model.certify.box import Box
from oamip_model.certify.flat import flat
from oamip_model.certify.stable import program_until
from oamip_model.certify.substitution import bounded
from oamip_model.solving.protocol import Options
from oamip_model.solving.registry import get_backend, solve_once

KINDS = {
    "dense": (lambda: nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 2)), (3,)),
    "max pooling": (FixedView, (1, 8, 8)),
    "average pooling": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(3, 4, 2), nn.ReLU(), nn.Flatten(),
            nn.Linear(16, 2),
        ),
        (1, 6, 6),
    ),
    "residual": (lambda: Residual(True), (1, 6, 6)),
    "sum before norm": (NormAfterAddition, (6,)),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def network(request):
    torch.manual_seed(3)
    make, shape = KINDS[request.param]
    return om.read_network(make().eval(), shape)


def test_flat_networks_have_the_logits_of_the_network(network):
    x = np.random.default_rng(0).normal(size=(5, int(np.prod(network.input_shape))))
    assert np.allclose(flat(network).values(x)[-1], network.replay(x.reshape(5, *network.input_shape)), atol=1e-12)


def test_no_value_lies_beyond_its_bounds(network):
    box, net = Box.of((-0.2, 0.3), network.input_shape), flat(network)
    found = bounded(net, box)
    for low, high, seen in zip(found.low, found.high, net.values(box.sample(300)), strict=True):
        assert (low <= seen).all()
        assert (seen <= high).all()


def test_substitution_is_never_looser_than_intervals_and_somewhere_tighter(network):
    box, net = Box.of((-0.2, 0.3), network.input_shape), flat(network)
    found = bounded(net, box)
    low, high = found.of_line(found.over[-1])
    assert (found.low[-1] >= low - 1e-9).all()
    assert (found.high[-1] <= high + 1e-9).all()
    assert (found.high[-1] < high - 1e-6).any()


def test_the_program_s_optimum_is_reached_and_never_passed(network):
    box, net = Box.of((0.0, 0.1), network.input_shape), flat(network)
    program = program_until(net, bounded(net, box))
    cost = np.zeros(program.width)
    cost[program.at(len(net.nodes) - 1)[0]] = 1.0
    answer = solve_once(get_backend("highs"), program.arrays(cost, sense=-1), Options())
    best = net.values(answer.x[None, : box.size])[-1][0, 0]
    assert best == pytest.approx(answer.objective, abs=1e-5)
    assert net.values(box.sample(300))[-1][:, 0].max() <= answer.bound + 1e-6


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("1,0", "above upper"), ("a,b", "accepted are"), ("0,1,2", "accepted are"), ("0,nan", "NaN or infinite"),
        ("0,inf", "NaN or infinite"), ("nowhere.npz", "no such file"), (3, "accepted are"),
        ((np.zeros(4), np.ones(4)), "shape"), (("x", "y"), "no array of numbers"),
        ((0.0, np.ones(3) * 1j), "no array of numbers"), ("-1e308,1e308", "accepted are inputs up to 1e[+]30"),
    ],
)  # fmt: skip
def test_what_is_no_box_is_refused(given, said):
    with pytest.raises(om.InputError, match=said) as refused:
        Box.of(given, (3,))
    assert str(refused.value).startswith("domain:")


def test_a_box_around_an_image_may_not_be_larger_than_what_bounds_hold():
    with pytest.raises(om.InputError, match=r"^radius: its largest input is 1e[+]300"):
        Box.around(np.zeros(3), 1e300)


def test_bounds_that_overflow_are_refused():
    network = om.read_network(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).double().eval(), (2,))
    layers = [replace(layer, bias=np.full(2, 1e308)) for layer in network.layers]
    terms = tuple(replace(term, map=term.map.with_weights(np.full(term.map.weights.shape, 1e300)))
                  for term in network.layers[1].terms)  # fmt: skip
    huge = replace(network, layers=(layers[0], replace(layers[1], terms=terms)))
    with np.errstate(all="ignore"), pytest.raises(om.InputError, match="overflow"):
        bounded(flat(huge), Box.of((0, 1), (2,)))


def test_a_box_from_a_file_and_around_an_image(tmp_path):
    np.savez(tmp_path / "box.npz", lower=np.zeros((1, 2, 2)), upper=np.arange(4.0).reshape(1, 2, 2))
    assert Box.of(str(tmp_path / "box.npz"), (1, 2, 2)).upper.tolist() == [0, 1, 2, 3]
    around = Box.around(np.array([0.0, 0.5]), 0.1, clip=(0.0, 1.0))
    assert np.allclose(around.lower, [0, 0.4])
    assert np.allclose(around.upper, [0.1, 0.6])
