"""Budgets of milliseconds: with clocks that a test sets, and with this machine's."""

from __future__ import annotations

import numpy as np
import pytest
from pruning.conftest import build

import oamip_model as om
from oamip_model.pruning import timing
from oamip_model.pruning.budgets import choose, timed
from oamip_model.pruning.timing import median_seconds

CONSTANT, EACH = 0.25, 1e-3
"""Milliseconds of a call, and of a multiply-accumulate."""


class Proportional:
    """Milliseconds of networks by their multiply-accumulates; whole networks take some more."""

    extra = staticmethod(lambda network: 0.0)

    def __init__(self, engine: str, images: int) -> None:
        self.engine, self.images = engine, images

    def parts(self, networks):
        return {name: CONSTANT / 10 + EACH * network.macs for name, network in networks.items()}

    def whole(self, networks):
        return {name: CONSTANT + EACH * n.macs + self.extra(n) for name, n in networks.items()}


@pytest.fixture
def network():
    return om.read_network(*build("residual"))


@pytest.fixture
def scores(network):
    return om.baseline_scores(network, "weight-l1")


@pytest.mark.parametrize("share", [0.4, 0.6, 0.8])
def test_where_time_follows_macs_the_plan_is_that_of_a_budget_of_macs(network, scores, share, monkeypatch):
    monkeypatch.setattr(choose, "Clocks", Proportional)
    limit = share * (CONSTANT + EACH * network.macs)
    found = om.choose_units(scores, network, amount=om.Budget(milliseconds=share))
    alike = om.choose_units(scores, network, amount=om.Budget(macs=int((limit - CONSTANT) / EACH)))
    for name, mask in alike.keep.items():
        np.testing.assert_array_equal(found.keep[name], mask)
    assert found.plan.timed.predicted == pytest.approx(CONSTANT + EACH * found.plan.after.macs, abs=1e-4)
    assert found.plan.timed.after <= found.plan.timed.limit == pytest.approx(limit)
    assert (found.plan.timed.tries, found.plan.optimal) == (1, True)
    assert "milliseconds measured (at most" in found.plan.summary()


def test_a_plan_that_is_measured_to_be_too_slow_is_planned_again_with_less(network, scores, monkeypatch):
    monkeypatch.setattr(choose, "Clocks", Proportional)
    # Networks between the ends take longer than their parts.
    monkeypatch.setattr(
        Proportional, "extra", lambda _, n: 0.0 if n.macs in ends else 0.6 * CONSTANT + 0.6 * EACH * n.macs
    )
    ends = {network.macs, om.choose_units(scores, network, amount=om.Budget(macs=1e9, most=1)).plan.after.macs}
    plan = om.choose_units(scores, network, amount=om.Budget(milliseconds=0.6)).plan
    assert plan.timed.tries > 1
    assert plan.timed.after > plan.timed.predicted
    assert plan.timed.after <= plan.timed.limit
    assert plan.record()["milliseconds"]["tries"] == plan.timed.tries


def test_no_other_limit_is_passed_for_it(network, scores, monkeypatch):
    monkeypatch.setattr(choose, "Clocks", Proportional)
    plan = om.choose_units(scores, network, amount=om.Budget(milliseconds=0.9, parameters=0.5)).plan
    assert plan.after.parameters <= 0.5 * network.parameters


@pytest.mark.parametrize(("budget", "message"), [
    ({"milliseconds": 1e-6}, r"milliseconds: got 1e-06, .*, but the smallest network that the limits allow takes "),
    ({"milliseconds": 0}, "milliseconds: got 0"),
    ({"macs": 0.5, "timed_in": "onnxruntime"}, "timed_in: got 'onnxruntime', but only milliseconds have a use for it"),
    ({"macs": 0.5, "timed_images": 4}, "timed_images: got 4, but only milliseconds"),
    ({"milliseconds": 0.5, "timed_in": "tensorflow"}, "timed_in: got 'tensorflow', accepted"),
])  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(network, scores, budget, message, monkeypatch):
    monkeypatch.setattr(choose, "Clocks", Proportional)
    with pytest.raises(om.InputError, match=f"^{message}[^\n]*$"):
        om.choose_units(scores, network, amount=om.Budget(**budget))


def test_without_onnxruntime_it_is_refused(network, scores, monkeypatch):
    monkeypatch.setattr(timed, "has_onnxruntime", lambda: False)
    with pytest.raises(om.InputError, match=r"^timed_in: onnxruntime is not installed"):
        om.choose_units(scores, network, amount=om.Budget(milliseconds=0.5, timed_in="onnxruntime"))


@pytest.mark.parametrize("engine", [name for name in timing.ENGINES if name == "torch" or timing.has_onnxruntime()])
def test_this_machine_measures_every_part_and_the_network_that_comes_out(scores, network, engine, monkeypatch):
    measured = []
    parts = timed.Clocks.parts
    monkeypatch.setattr(timed.Clocks, "parts", lambda self, given: measured.append(given) or parts(self, given))
    monkeypatch.setattr(timed, "_WHOLE_SECONDS", 0.02)
    budget = om.Budget(milliseconds=1e6, timed_in=engine, timed_images=2, levels=2)
    plan = om.choose_units(scores, network, amount=budget).plan
    assert len(measured) == sum(term.map.trained is not None for layer in network.layers for term in layer.terms)
    assert plan.after == network.size
    assert (plan.timed.engine, plan.timed.images, plan.timed.limit) == (engine, 2, 1e6)
    assert min(plan.timed.before, plan.timed.after, plan.timed.predicted) > 0


def test_medians_are_of_calls_in_turn_by_the_clock(monkeypatch):
    now, order = [0.0], []

    def taking(name, *seconds):
        left = iter(seconds)

        def call():
            order.append(name)
            now[0] += next(left)

        return call

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    calls = {"a": taking("a", 9, 1, 2, 6, 2), "b": taking("b", 9, 4, 4, 4, 4)}
    assert median_seconds(calls, rounds=4, seconds=100.0) == {"a": 2.0, "b": 4.0}
    assert order == ["a", "b"] * 5
    calls = {"a": taking("a", 9, 1, 2, 6, 2)}
    assert median_seconds(calls, rounds=30, seconds=0.5) == {"a": 2.0}
