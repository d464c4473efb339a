"""Exchanges of units keep the numbers of units, never do more harm, and end where no pair gains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oamip_model as om
from oamip_model.formulation import hinge
from oamip_model.pruning import choose_units
from oamip_model.scoring.asked import as_objects
from oamip_model.scoring.layer_options import Exchanges
from oamip_model.scoring.layerwise import exchange
from oamip_model.scoring.layerwise import schedule as decoupled
from oamip_model.scoring.layerwise.exchange import Exchanged, affordable_images, exchange_units
from oamip_model.torchnet.layers import TorchLayers

KINDS = ["dense", "deep", "conv", "residual", "relu-pool", "norm"]


def problem(problem_of: Any, kind: str, n: int, seed: int = 0) -> tuple[om.Network, np.ndarray, np.ndarray]:
    """A network, images, and labels that it gives to images near them."""
    network = problem_of(kind, seed, 1).network
    rng = np.random.default_rng(seed)
    images = rng.normal(size=(n, *network.input_shape))
    return network, images, network.replay(images + 0.3 * rng.normal(size=images.shape)).argmax(axis=1)


def half(network: om.Network, seed: int) -> dict[int, np.ndarray]:
    """Masks that keep half of each layer's units, rounded up."""
    rng = np.random.default_rng(seed)
    return {
        g: rng.permutation(np.arange(group.size) < (group.size + 1) // 2).astype(float)
        for g, group in enumerate(network.groups)
    }


def harm(network: om.Network, images: np.ndarray, labels: np.ndarray, keep: dict[int, np.ndarray]) -> float:
    named = {group.name: keep[g] for g, group in enumerate(network.groups)}
    logits = network.replay(images, named)
    return float(hinge(logits, labels, 1.0).mean() + (logits.argmax(axis=1) != labels).mean())


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_as_many_units_go_and_no_more_harm_is_done(problem_of: Any, kind: str, across: bool) -> None:
    network, images, labels = problem(problem_of, kind, 60)
    gains = []
    for seed in range(3):
        keep = half(network, seed)
        found = exchange_units(TorchLayers(network), images, labels, keep, across=across)
        assert all(set(mask.tolist()) <= {0.0, 1.0} for mask in found.keep.values())
        counts = [[mask.sum() for mask in masks.values()] for masks in (keep, found.keep)]
        assert sum(counts[0]) == sum(counts[1])
        assert across or counts[0] == counts[1]
        assert min(counts[1]) >= 1
        assert found.before == pytest.approx(harm(network, images, labels, keep), rel=1e-4, abs=1e-5)
        assert found.after == pytest.approx(harm(network, images, labels, found.keep), rel=1e-4, abs=1e-5)
        assert found.after <= found.before
        assert (found.pairs > 0) == (found.after < found.before)
        gains.append(found.before - found.after)
    assert max(gains) > 0


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize("kind", ["deep", "conv"])
def test_where_every_pair_is_tried_none_is_left_that_gains(problem_of: Any, kind: str, across: bool) -> None:
    every = Exchanges(candidates=1000, pairs=10**6)
    network, images, labels = problem(problem_of, kind, 40)
    found = exchange_units(TorchLayers(network), images, labels, half(network, 1), across=across, options=every)
    units = [(g, u) for g, mask in found.keep.items() for u in range(len(mask))]
    for g, u in units:
        for h, v in units:
            stays = found.keep[g][u] == 1 and (g == h or found.keep[g].sum() > 1)
            if not stays or found.keep[h][v] == 1 or (g != h and not across):
                continue
            other = {k: mask.copy() for k, mask in found.keep.items()}
            other[g][u], other[h][v] = 0.0, 1.0
            assert harm(network, images, labels, other) >= found.after - 1e-5


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_scores_rank_by_the_masks_and_say_so(
    problem_of: Any, scope: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, images, labels = problem(problem_of, "deep", 1000, seed=1)
    options: dict[str, Any] = {"amount": 0.5, "scope": scope, "store": tmp_path / "runs.jsonl"}
    plain = om.score(network, images, labels, **as_objects(**options, exchanges=0))
    assert plain.exchanged == 0
    assert "exchanged" not in plain.summary()
    seen: list[Exchanged] = []

    def spy(*given: Any, **named: Any) -> Exchanged:
        seen.append(exchange_units(*given, **named))
        return seen[-1]

    monkeypatch.setattr(decoupled, "exchange_units", spy)
    found = om.score(network, images, labels, **as_objects(**options))
    assert found.exchanged == seen[0].pairs > 0
    assert f"then {found.exchanged} pairs of units exchanged by local search" in found.summary()
    assert "nor the exchanges" in found.summary()
    keep = choose_units(found, network, amount=0.5, scope=scope).keep
    for g, group in enumerate(network.groups):
        np.testing.assert_array_equal(keep[group.name], seen[0].keep[g] > 0.5)
        assert ((found.by_layer[group.name] >= 0.5) | ~keep[group.name]).all()
    again = om.score(network, images, labels, **as_objects(**options))
    assert len(seen) == 1, "a finished search is taken from the store"
    assert om.load_scores(found.save(tmp_path / "scores.json")).exchanged == again.exchanged == found.exchanged
    for name, values in found.by_layer.items():
        np.testing.assert_array_equal(again.by_layer[name], values)


def test_scores_of_rank_whatever_they_were(problem_of: Any) -> None:
    network = problem_of("deep", 0, 1).network
    rng = np.random.default_rng(0)
    for scope in ("layer", "global"):
        for _ in range(20):
            keep = half(network, int(rng.integers(1000)))
            before = [rng.choice([0.0, 1.0, rng.uniform()], group.size) for group in network.groups]
            scores = {g.name: exchange.scores_of(keep[k], before[k]) for k, g in enumerate(network.groups)}
            gone = 1 - sum(mask.sum() for mask in keep.values()) / sum(len(mask) for mask in keep.values())
            chosen = choose_units(scores, network, amount=0.5 if scope == "layer" else gone, scope=scope).keep
            for k, group in enumerate(network.groups):
                np.testing.assert_array_equal(chosen[group.name], keep[k] > 0.5)


def test_ctrl_c_keeps_the_exchanges_so_far(problem_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    network, images, labels = problem(problem_of, "deep", 1000, seed=1)

    def stopped(*given: Any, progress: Any, **named: Any) -> Exchanged:
        progress(exchange_units(*given, progress=None, **named))
        raise KeyboardInterrupt

    monkeypatch.setattr(decoupled, "exchange_units", stopped)
    found = om.score(network, images, labels, method=om.Forward(amount=0.5))
    assert found.interrupted
    assert found.exchanged > 0


def test_few_images_and_large_networks_are_left_alone(problem_of: Any) -> None:
    network, images, labels = problem(problem_of, "deep", 1000, seed=1)
    assert om.score(network, images[:999], labels[:999], method=om.Forward(amount=0.5)).exchanged == 0
    wide = om.read_network(om.make_network("vgg16-bn", input_shape=(3, 32, 32)), input_shape=(3, 32, 32))
    assert affordable_images(wide, 60_000) == 0


def test_the_search_ends_when_its_work_is_spent(problem_of: Any) -> None:
    network, images, labels = problem(problem_of, "conv", 60)
    found = {}
    for work in (1e12, 1):
        options, layers = Exchanges(work=work), TorchLayers(network)
        found[work] = [
            exchange_units(layers, images, labels, half(network, seed), across=True, options=options).pairs
            for seed in range(4)
        ]
    assert max(found[1e12]) > 1
    assert found[1] == [min(pairs, 1) for pairs in found[1e12]]


@pytest.mark.parametrize(
    ("options", "culprit"),
    [
        ({"amount": 0.5, "exchanges": -1}, "exchanges: got -1, accepted is a number of rounds"),
        ({"amount": 0.5, "exchanges": 1.5}, "exchanges: got 1.5, accepted is a number of rounds"),
        ({"exchanges": 3}, "exchanges: got 3, but without an amount"),
        ({"strategy": "decoupled", "amount": 0.5, "exchanges": 3}, "exchanges: got 3, but strategy decoupled"),
        ({"strategy": "joint", "exchanges": 3}, "exchanges: got 3, but strategy joint has no use for it"),
    ],
)
def test_bad_options_are_named(problem_of: Any, options: dict[str, Any], culprit: str) -> None:
    network, images, labels = problem(problem_of, "dense", 5)
    with pytest.raises(om.InputError, match=f"^{culprit}[^\n]*$"):
        om.score(network, images, labels, **as_objects(**options))
