"""Backward elimination: its numbers are those of least squares with the units left out, and brute force is near."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import torch

from oamip_model.refit.elimination import sweep
from oamip_model.refit.elimination.sweep import Swept, eliminate
from oamip_model.refit.importance import Importance
from oamip_model.refit.moments import System

RIDGE = 1e-4


def system(seed: int, units: int, size: int = 1, extra: int = 0, outputs: int = 4) -> tuple[System, np.ndarray]:
    """Inputs that depend on each other, of ``size`` columns a unit and ``extra`` that always stay."""
    pick = np.random.default_rng(seed)
    columns = units * size + extra
    x = np.maximum(pick.normal(size=(200, max(2, columns // 2))) @ pick.normal(size=(columns // 2, columns)), 0.0)
    x += 0.1 * pick.normal(size=x.shape)
    weight = pick.normal(size=(columns, outputs))
    t = x @ weight
    tensor = torch.as_tensor
    found = System(
        np.arange(outputs), np.arange(columns), tensor(weight), len(x), tensor(x.sum(0)), torch.zeros(outputs).double(),
        tensor(t.sum(0)), tensor(x.T @ x), torch.zeros(columns, outputs).double(), torch.zeros(outputs).double(),
        tensor((t * t).sum(0)),
    )  # fmt: skip
    return found, np.concatenate([np.repeat(np.arange(units), size), np.full(extra, -1)])


def error(given: tuple[System, np.ndarray], inside: np.ndarray) -> float:
    """Share of the targets' variance that ridge with these units leaves, ridge's price included."""
    found, owners = given
    stays = np.array([owner < 0 or inside[owner] for owner in owners])
    n = found.count
    xx = found.xx.numpy() - np.outer(found.x, found.x) / n
    ridge = RIDGE * xx.diagonal().mean()
    target = xx @ found.weight.numpy()
    total = (found.weight.numpy() * target).sum()
    inner = xx[np.ix_(stays, stays)] + ridge * np.eye(stays.sum())
    return float((total - (target[stays] * np.linalg.solve(inner, target[stays])).sum()) / found.variance)


@pytest.mark.parametrize(("size", "extra"), [(1, 0), (3, 2)])
def test_flips_leave_the_error_of_the_units_that_are_in(size, extra):
    several = [system(0, 6, size, extra), system(1, 6, size, extra, outputs=2)]
    swept = Swept(several, 6, RIDGE)
    pick = np.random.default_rng(0)
    for unit in pick.integers(6, size=40):
        if swept.inside[unit] and swept.inside.sum() == 1:
            continue
        values, before = swept.values(), swept.error
        swept.flip(int(unit))
        wanted = sum(error(one, swept.inside) for one in several)
        assert swept.error == pytest.approx(wanted, rel=1e-6, abs=1e-9)
        assert abs(swept.error - before) == pytest.approx(values[unit], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_it_is_near_the_best_of_all_masks(seed):
    given, stay = system(seed, 10), 5
    found = eliminate([given], 10, stay, RIDGE, swaps=20)
    every = [np.isin(np.arange(10), part) for part in combinations(range(10), stay)]
    best = min(error(given, inside) for inside in every)
    assert found.keep.sum() == stay
    assert found.error == pytest.approx(error(given, found.keep), rel=1e-6)
    assert best * (1 - 1e-6) <= found.error <= 1.01 * best


def test_swaps_never_raise_the_error_and_sometimes_lower_it():
    lower = 0
    for seed in range(12):
        given = system(seed, 10)
        plain, swapped = (eliminate([given], 10, 4, RIDGE, swaps=n) for n in (0, 20))
        assert plain.swaps == 0
        assert plain.error == pytest.approx(plain.errors[3], rel=1e-9)
        assert swapped.error <= plain.error * (1 + 1e-9)
        lower += swapped.error < plain.error * (1 - 1e-6)
    assert lower > 0


@pytest.mark.parametrize(("size", "extra"), [(1, 0), (3, 2)])
@pytest.mark.parametrize("grown", [0.0, 1e9])
def test_one_pass_gives_the_error_of_every_number_of_units(monkeypatch, size, extra, grown):
    monkeypatch.setattr(sweep, "_GROWN", grown)
    given = system(2, 8, size, extra)
    found = eliminate([given], 8, 4, RIDGE, swaps=1)
    plain = eliminate([given], 8, 4, RIDGE, swaps=0)
    assert (found.order == plain.order).all()
    np.testing.assert_allclose(found.errors, plain.errors, rtol=1e-9, atol=1e-12)
    found = plain
    assert sorted(found.order) == list(range(8))
    assert (np.diff(found.errors) <= 1e-12).all()
    for left in range(1, 9):
        inside = np.ones(8, dtype=bool)
        inside[found.order[: 8 - left]] = False
        assert found.errors[left - 1] == pytest.approx(error(given, inside), rel=1e-6, abs=1e-9)
    assert set(np.flatnonzero(found.keep)) == set(found.order[4:])


def test_errors_have_both_weights_for_every_number_of_units():
    given = system(0, 6, size=2, extra=1)
    apart, alike = torch.tensor([1.0, 2.0, 0.5, 3.0]).double(), torch.tensor([4.0, 0.0, 1.0, 2.0]).double()
    given[0].importance = Importance(apart, alike)
    found = eliminate([given], 6, 3, RIDGE, 0)
    given[0].importance = Importance(alike, alike)
    inside = np.ones(6, dtype=bool)
    for left in range(6, 0, -1):
        swept = Swept([given], 6, RIDGE)
        for unit in np.flatnonzero(~inside):
            swept.flip(int(unit))
        assert found.alike[left - 1] == pytest.approx(swept.error, rel=1e-6, abs=1e-9)
        inside[found.order[6 - left]] = False
    given[0].importance = Importance(apart, apart)
    np.testing.assert_allclose(eliminate([given], 6, 3, RIDGE, 0).alike, found.errors, rtol=1e-6, atol=1e-9)
