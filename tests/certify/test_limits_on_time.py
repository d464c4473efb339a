"""Whenever the time is up, what was found by then holds, or there is nothing and the error says so."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import oamip_model as om
from oamip_model.certify.box import Box
from oamip_model.certify.certificate import UncheckedError, check_certificate, check_equal
from oamip_model.certify.distances import distance
from oamip_model.clock import Deadline, TimeIsUp, within

LIMIT = om.Solver(time_limit=1000.0)
BOX = (-0.3, 0.3)


class Clock:
    """After so many looks at deadlines of this length they are over; what finishes work has its own time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.looks, self.most = 0, 10**9
        monkeypatch.setattr(Deadline, "over", lambda held, grace=0.0: held.seconds == LIMIT.time_limit and self.look())
        monkeypatch.setattr(
            Deadline, "left", lambda held: 0.0 if held.seconds == LIMIT.time_limit and self.look() else held.seconds
        )

    def look(self) -> bool:
        self.looks += 1
        return self.looks > self.most

    def moments(self, count: int) -> list[int]:
        """Numbers of looks, spread over those that there were so far, the first ones all."""
        looks, self.looks = self.looks, 0
        return sorted({*range(6), *np.linspace(6, looks, count).astype(int).tolist()})


@pytest.fixture(scope="module")
def networks() -> tuple[om.Network, om.Network]:
    torch.manual_seed(1)
    module = nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3)).eval()
    network = om.read_network(module, (4,))
    ones = {group.name: np.ones(group.size) for group in network.groups}
    ones["0"][:2] = 0.0
    return network, om.read_network(om.prune(network, ones, threshold=0.5), (4,))


def test_compression_is_equal_on_the_box_whenever_it_is_stopped(networks, monkeypatch):
    network, _ = networks
    clock = Clock(monkeypatch)
    whole = om.compress(network, BOX, solver=LIMIT, checker=None)
    x = Box.of(BOX, (4,)).sample(400, seed=5)
    ends = set()
    for moment in clock.moments(9):
        clock.looks, clock.most = 0, moment
        try:
            found = om.compress(network, BOX, solver=LIMIT, checker=None)
        except TimeIsUp:
            ends.add("nothing")
            continue
        assert np.abs(network.replay(x) - found.network.replay(x)).max() <= 1e-9
        ends.add("complete" if found.certificate.complete else "a part")
        clock.most = 10**9
        for claim, known in zip(found.certificate.claims, whole.certificate.claims, strict=True):
            assert claim.never.keys() <= known.never.keys()
            assert claim.always.keys() <= known.always.keys()
    assert {"a part", "complete"} <= ends


def test_a_checker_without_time_is_not_named(networks, monkeypatch):
    network, _ = networks

    def late(*given):
        raise UncheckedError("late")

    monkeypatch.setattr("oamip_model.certify.compression.check_certificate", late)
    assert om.compress(network, BOX, solver=LIMIT, checker="highs").checker == ""


def test_a_check_without_time_says_so_and_names_no_network(networks, monkeypatch):
    network, _ = networks
    found = om.compress(network, BOX, checker=None)
    clock = Clock(monkeypatch)
    check_certificate(network, found.network, found.certificate, LIMIT)
    ends = set()
    for moment in clock.moments(9):
        clock.looks, clock.most = 0, moment
        try:
            check_certificate(network, found.network, found.certificate, LIMIT)
            ends.add("checked")
        except UncheckedError:
            ends.add("not checked")
    assert ends == {"checked", "not checked"}


def test_distances_hold_whenever_they_are_stopped(networks, monkeypatch):
    network, pruned = networks
    clock = Clock(monkeypatch)
    whole = distance(network, pruned, BOX, solver=LIMIT)
    x = Box.of(BOX, (4,)).sample(2000, seed=9)
    apart = np.abs(network.replay(x) - pruned.replay(x)).max(axis=0)
    ends = set()
    for moment in clock.moments(9):
        clock.looks, clock.most = 0, moment
        try:
            found = distance(network, pruned, BOX, solver=LIMIT)
        except TimeIsUp:
            ends.add("nothing")
            continue
        assert (found.upper >= apart - 1e-9).all()
        assert (found.upper >= whole.upper - 1e-5).all()
        assert found.same in (whole.same, None)
        ends.add("all" if np.allclose(found.upper, whole.upper) else "a part")
    assert ends == {"nothing", "a part", "all"}


def test_networks_that_give_no_numbers_are_not_equal(networks, monkeypatch):
    network, pruned = networks
    last = pruned.layers[-1]
    broken = replace(pruned, layers=(*pruned.layers[:-1], replace(last, bias=last.bias * np.nan)))
    with pytest.raises(om.CheckError, match="differ by nan"):
        check_equal(network, broken, Box.of(BOX, (4,)), 1e-9)
    monkeypatch.setattr(Deadline, "over", lambda held, grace=0.0: True)
    with within(Deadline(1.0)), pytest.raises(TimeIsUp, match="no time to compare"):
        check_equal(network, pruned, Box.of(BOX, (4,)), 1e9)
