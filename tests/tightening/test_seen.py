"""Bounds that known scores refute are withdrawn, whatever the solver says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from oamip_model.solving.registry import get_backend
from oamip_model.solving.replay import gated_activations
from oamip_model.tightening import compute_bounds, mip_bounds
from oamip_model.tightening.seen import seen


class Liar:
    """HiGHS, but the dual bounds of its integer programs are too high."""

    name, licence = "liar", "none"

    def __init__(self):
        self.highs = get_backend("highs")
        self.capabilities = self.highs.capabilities

    def version(self):
        return "1"

    def check(self):
        """Always there."""

    def solve(self, arrays, options, start=None):
        found = self.highs.solve(arrays, options, start)
        return replace(found, bound=found.bound + 50.0) if arrays.is_mip and found.bound is not None else found


def test_bounds_of_a_solver_that_lies_are_withdrawn_with_the_reason(problem_of):
    p = problem_of("deep", 1)
    images = p.images[:1]
    crown = compute_bounds(p.network, images, "crown")
    with pytest.warns(RuntimeWarning, match="bounds of the solver are withdrawn"):
        found = mip_bounds(p.network, images, crown, solver=Liar())
    for k, (least, most) in enumerate(seen(p.network, images)):
        assert (found.lower[k][0] <= least).all()
        assert (found.upper[k][0] >= most).all()


def test_what_is_seen_are_pre_activations_of_the_network(problem_of):
    p = problem_of("dense", 0)
    whole = gated_activations(p.network, p.images[:1], p.split(np.ones(p.units)), "switch")
    least, most = seen(p.network, p.images[:1])[-1]
    assert (least <= whole[-1][0] + 1e-6).all()
    assert (most >= whole[-1][0] - 1e-6).all()
