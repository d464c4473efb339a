"""Budgets that are none, or that a network cannot meet, are refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
from pruning.conftest import build

import oamip_model as om
from oamip_model.pruning import choose_units


def draw(network: om.Network, seed: int) -> dict[str, np.ndarray]:
    pick = np.random.default_rng(seed)
    return {group.name: pick.uniform(size=group.size) for group in network.groups}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "budget: got no macs, parameters or milliseconds, at least one is needed"),
        ({"macs": 0}, "macs: got 0, accepted is a share above 0 and up to 1, or a number above 1"),
        ({"macs": -5}, "macs: got -5, accepted is a share above 0 and up to 1, or a number above 1"),
        ({"macs": float("nan")}, "macs: got nan, accepted"),
        ({"macs": True}, "macs: got True, accepted"),
        ({"macs": 0.5, "round_to": 0}, "round_to: got 0, accepted is a number of units >= 1"),
        ({"macs": 0.5, "least": {"a": 0}}, "least: got {'a': 0}, accepted are a number of units >= 1 and such numbers"),
        ({"macs": 0.5, "levels": 1}, "levels: got 1, accepted is a number from 2 to 1000"),
        ({"macs": 0.5, "solver": 3}, "solver: got 3, accepted are a solver's name and a Solver"),
    ],
)
def test_a_budget_that_is_none_is_refused(given, message):
    with pytest.raises(om.InputError) as caught:
        om.Budget(**given)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"macs": 0.01}, "macs: got 0.01, that is 1, but the smallest network that the limits allow has 10 multiply"),
        ({"parameters": 3}, "parameters: got 3, that is 3, but the smallest network that the limits allow has"),
        ({"macs": 0.5, "least": {"x": 1}}, "least: unknown layer 'x', this network scores 0, 2"),
        ({"macs": 0.5, "most": {"x": 1}}, "most: unknown layer 'x', this network scores 0, 2"),
        ({"macs": 0.5, "least": {"2": 6}}, "least: got 6 for layer 2, which has 5 units"),
        ({"macs": 0.5, "least": 4, "most": 3}, "most: got 3 for layer 0, which keeps at least 4 units"),
        (
            {"macs": 0.5, "most": 3, "round_to": 4},
            "most: of the 8 units of layer 0, a multiple of 4 from 1 to 3",
        ),
        ({"macs": 0.5, "solver": "nobody"}, "solver: got 'nobody', accepted are"),
    ],
)
def test_a_budget_that_does_not_fit_the_network_is_refused(given, message):
    module, shape = build("mlp")
    network = om.read_network(module, shape)
    with pytest.raises(om.InputError) as caught:
        choose_units(draw(network, 0), network, amount=om.Budget(**given))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_budget_goes_with_no_other_rule():
    module, shape = build("mlp")
    network = om.read_network(module, shape)
    with pytest.raises(om.InputError, match=r"^prune: exactly one of threshold and amount"):
        choose_units(draw(network, 0), network, amount=om.Budget(macs=0.5), threshold=0.5)
    with pytest.raises(om.InputError, match=r"^scope: got 'global', but a budget is of the whole network already"):
        choose_units(draw(network, 0), network, amount=om.Budget(macs=0.5), scope="global")
