"""The error of a layer after its refit, by scores: brute force, finite differences, convexity, and its bound."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from refit.test_sweep import RIDGE, error, system

from oamip_model.refit.elimination.layer_error import LayerError, _least_eigenvalue
from oamip_model.refit.elimination.sweep import eliminate

KINDS = [(1, 0), (2, 3)]


@pytest.mark.parametrize(("size", "extra"), KINDS)
def test_at_every_mask_it_is_the_error_of_ridge_with_these_units(size, extra):
    several = [system(0, 5, size, extra), system(1, 5, size, extra, outputs=2)]
    found = LayerError(several, 5, RIDGE)
    for mask in product((0.0, 1.0), repeat=5):
        wanted = sum(error(one, np.array(mask) > 0) for one in several)
        assert found(np.array(mask))[0] == pytest.approx(wanted, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("size", "extra"), KINDS)
def test_the_gradient_is_that_of_finite_differences(size, extra):
    found = LayerError([system(0, 6, size, extra), system(1, 6, size, extra)], 6, RIDGE)
    at = np.random.default_rng(0).uniform(0.1, 0.9, 6)
    step = 1e-5 * np.eye(6)
    numbers = [(found(at + e)[0] - found(at - e)[0]) / 2e-5 for e in step]
    assert found(at)[1] == pytest.approx(numbers, rel=1e-5, abs=1e-8)


def test_at_a_score_of_0_the_gradient_is_that_from_the_right():
    found = LayerError([system(0, 4)], 4, RIDGE)
    at = np.array([0.0, 1.0, 0.5, 1.0])
    right = (found(at + np.array([1e-7, 0, 0, 0]))[0] - found(at)[0]) / 1e-7
    assert found(at)[1][0] == pytest.approx(right, rel=1e-4)


def test_it_is_convex_and_its_tangents_lie_below_it():
    found = LayerError([system(0, 6), system(1, 6)], 6, RIDGE)
    pick = np.random.default_rng(0)
    for _ in range(50):
        first, second = pick.uniform(size=6), pick.integers(2, size=6).astype(float)
        value, slope = found(first)
        assert found(second)[0] >= value + slope @ (second - first) - 1e-9


def test_tangents_are_much_closer_to_masks_than_with_the_price_of_the_ridge_alone():
    given = system(0, 12)
    keep = eliminate([given], 12, 6, RIDGE, 20).keep.astype(float)
    half = np.full(12, 0.5)
    found = LayerError([given], 12, RIDGE)
    plain = LayerError([given], 12, RIDGE)
    from oamip_model.refit.elimination.layer_error import regression

    plain.parts = [regression(*given, RIDGE)]
    assert found(keep)[0] == pytest.approx(plain(keep)[0])
    assert plain(half)[0] < 0.01 * found(half)[0] < found(keep)[0]


@pytest.mark.parametrize("size", [20, 60])
def test_the_least_eigenvalue_is_approached_from_below(monkeypatch, size):
    rows = torch.as_tensor(np.random.default_rng(0).normal(size=(80, size)))
    matrix = rows.T @ rows
    wanted = float(torch.linalg.eigvalsh(matrix)[0])
    assert 0.99 * wanted < _least_eigenvalue(matrix) < wanted
    monkeypatch.setattr("oamip_model.refit.elimination.layer_error._EXACT", 1)
    assert 0.5 * wanted < _least_eigenvalue(matrix) < wanted
