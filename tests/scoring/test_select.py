"""Which units go."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from oamip_model import read_network
from oamip_model.errors import InputError
from oamip_model.network.types import Network
from oamip_model.pruning import baseline_scores, choose_units, prunable_units, unit_norms


def make_network(*widths: int) -> Network:
    torch.manual_seed(1)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return read_network(nn.Sequential(*layers[:-1]).eval(), (widths[0],))


NETWORK = make_network(3, 5, 4, 2)
SCORES = {"0": np.array([0.0, 0.1, 0.5, 0.9, 1.0]), "2": np.array([0.2, 0.3, 0.4, 0.5])}
unit_scores = st.floats(0, 1, allow_nan=False)


def keep(scores: Mapping[str, Any] = SCORES, network: Network = NETWORK, **rule: Any) -> dict[str, list[int]]:
    return {name: mask.astype(int).tolist() for name, mask in choose_units(scores, network, **rule).keep.items()}


def test_threshold_removes_what_is_strictly_below() -> None:
    assert keep(threshold=0.5) == {"0": [0, 0, 1, 1, 1], "2": [0, 0, 0, 1]}
    assert keep(threshold=0.0) == {"0": [1] * 5, "2": [1] * 4}


def test_mean_is_taken_by_layer() -> None:
    assert keep(threshold="mean") == {"0": [0, 0, 1, 1, 1], "2": [0, 0, 1, 1]}


def test_mean_of_equal_scores_removes_nothing_even_with_solver_noise() -> None:
    noise = 1e-9 * np.arange(5)
    assert keep({"0": 0.7 + noise, "2": np.ones(4)}, threshold="mean") == {"0": [1] * 5, "2": [1] * 4}


def test_amount_by_layer_rounds_halves_down() -> None:
    removed = prunable_units(SCORES, NETWORK, amount=0.5)
    assert [units.tolist() for units in removed.values()] == [[0, 1], [0, 1]]
    assert [len(u) for u in prunable_units(SCORES, NETWORK, amount=0.7).values()] == [3, 3]
    wide = make_network(2, 50, 2)
    assert len(prunable_units(baseline_scores(wide, "random"), wide, amount=0.07)["0"]) == 3


def test_amount_by_name_leaves_other_layers_whole() -> None:
    assert keep(amount={"2": 0.25}) == {"0": [1] * 5, "2": [0, 1, 1, 1]}


def test_global_amount_takes_the_smallest_of_all() -> None:
    assert keep(amount=4 / 9, scope="global") == {"0": [0, 0, 1, 1, 1], "2": [0, 0, 1, 1]}


def test_global_amount_spares_the_best_unit_and_takes_the_next() -> None:
    selection = choose_units({"0": SCORES["0"] / 4 + 0.6, "2": SCORES["2"]}, NETWORK, amount=4 / 9, scope="global")
    assert selection.keep["2"].tolist() == [False, False, False, True]
    assert selection.keep["0"].tolist() == [False, True, True, True, True]
    assert selection.forced == (("2", 3),)


def test_best_unit_of_a_layer_stays_and_is_named() -> None:
    selection = choose_units({"0": SCORES["0"], "2": [0.1, 0.4, 0.4, 0.2]}, NETWORK, threshold=0.45)
    norm = unit_norms(NETWORK)["2"]
    best = 1 if norm[1] > norm[2] else 2
    assert selection.forced == (("2", best),)
    assert np.flatnonzero(selection.keep["2"]).tolist() == [best]


def test_ties_go_by_weight_norm_whatever_the_solver_noise() -> None:
    norm = unit_norms(NETWORK)["0"]
    smallest = sorted(np.argsort(norm)[:2].tolist())
    for seed in range(5):
        noise = np.random.default_rng(seed).uniform(0, 1e-8, 5)
        removed = prunable_units({"0": 1 - noise, "2": SCORES["2"]}, NETWORK, amount=0.4)
        assert removed["0"].tolist() == smallest


def test_ties_of_score_and_norm_go_by_index() -> None:
    layer, last = nn.Linear(2, 4), nn.Linear(4, 2)
    for weight in (layer.weight, last.weight):
        nn.init.ones_(weight)
    network = read_network(nn.Sequential(layer, nn.ReLU(), last).eval(), (2,))
    assert prunable_units({"0": np.ones(4)}, network, amount=0.5)["0"].tolist() == [0, 1]


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    first=st.lists(unit_scores, min_size=5, max_size=5),
    second=st.lists(unit_scores, min_size=4, max_size=4),
    amount=st.floats(0, 0.99),
    scope=st.sampled_from(["layer", "global"]),
)
def test_no_unit_that_stays_scores_clearly_below_one_that_goes(
    first: list[float], second: list[float], amount: float, scope: Any
) -> None:
    scores = {"0": np.array(first), "2": np.array(second)}
    selection = choose_units(scores, NETWORK, amount=amount, scope=scope)
    assert all(mask.any() for mask in selection.keep.values())
    spared = set(selection.forced)
    pools = [("0", "2")] if scope == "global" else [("0",), ("2",)]
    for names in pools:
        units = [(n, u) for n in names for u in range(len(scores[n]))]
        gone = [scores[n][u] for n, u in units if not selection.keep[n][u]]
        stay = [scores[n][u] for n, u in units if selection.keep[n][u] and (n, u) not in spared]
        # Near ties may go either way, by at most one step of noise for each unit.
        assert not gone or not stay or max(gone) <= min(stay) + 9e-6
        size = len(units)
        wanted = min(max(0, int(np.ceil(amount * size - 0.5 - 1e-9))), size - len(names))
        assert len(gone) == wanted


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "exactly one of threshold and amount"),
        ({"threshold": 0.1, "amount": 0.1}, "exactly one of threshold and amount"),
        ({"threshold": 1.1}, "threshold: got 1.1"),
        ({"threshold": -0.1}, "threshold: got -0.1"),
        ({"threshold": float("nan")}, "threshold: got nan"),
        ({"threshold": "median"}, "threshold: got 'median'"),
        ({"threshold": True}, "threshold: got True"),
        ({"amount": 1.0}, "amount: got 1.0"),
        ({"amount": -0.5}, "amount: got -0.5"),
        ({"amount": {"0": 2}}, "amount of layer 0: got 2"),
        ({"amount": {"fc": 0.5}}, "amount: unknown layer 'fc'"),
        ({"amount": {"0": 0.5}, "scope": "global"}, "do not go with scope global"),
        ({"threshold": 0.5, "scope": "global"}, "global goes with amount"),
        ({"amount": 0.5, "scope": "net"}, "scope: got 'net'"),
    ],
)
def test_bad_rules_are_refused_in_one_line(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        choose_units(SCORES, NETWORK, **rule)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"0": SCORES["0"]}, "layer 2 is missing"),
        (SCORES | {"4": [1.0]}, "unknown layer '4'"),
        (SCORES | {"0": [1.0, 0.5]}, "layer 0 has 5 units, got scores of shape"),
        (SCORES | {"0": [1.0, float("nan"), 0, 0, 0]}, "unit 1 of layer 0 has the score NaN"),
        (SCORES | {"0": [1.5, 0, 0, 0, 0]}, r"layer 0 has scores outside \[0, 1\]"),
        (SCORES | {"0": ["a"] * 5}, "layer 0 are not a list of numbers"),
        ([0.1, 0.2], "scores: got list"),
        (SimpleNamespace(by_layer=SCORES, network="0123"), "belong to another network"),
    ],
)
def test_bad_scores_are_refused_in_one_line(scores: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        choose_units(scores, NETWORK, threshold=0.5)
    assert "\n" not in str(caught.value)


def test_network_without_scores_is_refused() -> None:
    network = read_network(nn.Sequential(nn.Linear(3, 2)).eval(), (3,))
    with pytest.raises(InputError, match="no layer carries a score"):
        choose_units({}, network, threshold=0.5)
