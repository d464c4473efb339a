"""The comparison of searches: it runs, and a bound above the other side's objective is named."""

from __future__ import annotations

import sys

import pytest
from oamip_benchmarks.measures import search


def test_small_networks_are_compared(monkeypatch, capsys):
    told = ["--part", "time", "--data", "fashion-mnist-2000", "--time-network", "dense-5-3", "--time-seed", "0"]
    told += ["--time-images", "2", "--choices", "1", "--time-epochs", "1", "--limit", "20"]
    monkeypatch.setattr(sys, "argv", ["search", *told])
    assert search.main() == 0
    printed = capsys.readouterr().out
    assert "1 programs solved by plain, 0 not; of the former 0 not solved by ours" in printed
    assert "ratio" in printed


def test_a_bound_above_the_other_sides_objective_is_named(capsys):
    right = search.Run(1.0, 0.9999, 1e-4, 3, 1.0)
    assert not search.disagree({"plain": right, "ours": search.Run(1.00005, 0.99999, 6e-5, 1, 0.1)})
    assert search.disagree({"plain": right, "ours": search.Run(1.2, 1.01, 0.16, 1, 0.1)})
    assert "the bound of ours" in capsys.readouterr().out


def test_means():
    assert search.shifted_mean([1.0, 7.0]) == pytest.approx(3.0)
    assert right_is_solved() == (True, False, False)


def right_is_solved():
    gaps = (1e-4, 2e-4, None)
    return tuple(search.Run(1.0, None, gap, None, 1.0).solved for gap in gaps)
