"""Scores without a solver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import nn

from oamip_model.errors import InputError
from oamip_model.pruning import baseline_scores, unit_norms

Case = tuple[str, nn.Module, tuple[int, ...]]


def test_baselines_score_every_unit_in_the_unit_interval(case: Case, network_of: Any) -> None:
    network = network_of(case[0])
    for method in ("random", "weight-norm"):
        scores = baseline_scores(network, method).by_layer
        assert {name: len(values) for name, values in scores.items()} == {g.name: g.size for g in network.groups}
        for values in scores.values():
            assert values.min() > 0
            assert values.max() == 1


def test_random_is_a_seeded_permutation(network_of: Any) -> None:
    network = network_of("mlp")
    first, again, other = (baseline_scores(network, "random", seed=seed).by_layer["0"] for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert sorted(first) == [(i + 1) / 8 for i in range(8)]


def test_norms_of_a_dense_layer_are_row_times_column(network_of: Any) -> None:
    network = network_of("mlp")
    first, second = (network.layers[i].terms[0].map.weight for i in (0, 1))
    expected = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=0)
    np.testing.assert_allclose(unit_norms(network)["0"], expected)


def test_norms_of_filters_before_a_flattening_count_every_position(network_of: Any) -> None:
    network = network_of("max-pool")
    weight = next(layer.terms[0].map.weight for layer in network.layers if layer.name == "2.0")
    last = network.layers[-1].terms[0].map.weight
    expected = np.linalg.norm(weight.reshape(5, -1), axis=1) * np.linalg.norm(last.reshape(3, 5, -1), axis=(0, 2))
    np.testing.assert_allclose(unit_norms(network)["2.0"], expected)


def test_norms_of_a_residual_group_count_every_producer_and_reader(network_of: Any) -> None:
    network = network_of("residual")
    weights = {t.name: t.map.weight for layer in network.layers for t in layer.terms if t.name}
    incoming = sum(np.square(weights[name]).sum(axis=(1, 2, 3)) for name in ("stem", "conv2", "conv3"))
    readers = np.square(weights["fc"]).sum(axis=0)
    readers = readers + sum(np.square(weights[name]).sum(axis=(0, 2, 3)) for name in ("conv1", "conv3"))
    np.testing.assert_allclose(unit_norms(network)["stem"], np.sqrt(incoming * readers))


def test_norms_of_a_depthwise_group_count_its_filters_once(network_of: Any) -> None:
    network = network_of("depthwise")
    weights = {t.name: t.map.weight for layer in network.layers for t in layer.terms if t.name}
    incoming = sum(np.square(weights[name]).sum(axis=(1, 2, 3)) for name in ("0.0", "1.0"))
    np.testing.assert_allclose(
        unit_norms(network)["0.0"], np.sqrt(incoming * np.square(weights["2.0"]).sum(axis=(0, 2, 3)))
    )


@pytest.mark.parametrize(("method", "seed"), [("oracle", 0), ("random", -1), ("random", 0.5), ("random", True)])
def test_unknown_methods_and_seeds_are_refused(network_of: Any, method: Any, seed: Any) -> None:
    with pytest.raises(InputError):
        baseline_scores(network_of("mlp"), method, seed=seed)
