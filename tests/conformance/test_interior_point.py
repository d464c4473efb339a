"""A backend that has an interior point method says by it what it says otherwise, or the option is refused."""

from __future__ import annotations

import numpy as np
import pytest

from oamip_model.solving.protocol import Capability, InputError, Options, Status
from oamip_model.solving.registry import open_session

inf = np.inf
INTERIOR = Options(interior_point=True)


def test_an_interior_point_is_refused_where_there_is_none(backend, program):
    if Capability.INTERIOR_POINT not in backend.capabilities:
        for ask in (
            lambda: backend.solve(program([1]), INTERIOR),
            lambda: open_session(backend, program([1]), INTERIOR),
        ):
            with pytest.raises(InputError, match=f"interior_point: .*{backend.name}"):
                ask()


def test_an_interior_point_says_the_same(backend, program, needs):
    needs(Capability.INTERIOR_POINT)
    rng = np.random.default_rng(4)
    for sense in (1, -1):
        rows = rng.integers(0, 9, (6, 9))
        arrays = program(rng.integers(-9, 9, 9), rows, -inf, rows.sum(1) / 2, upper=3, sense=sense)
        expected, found = backend.solve(arrays, Options()), backend.solve(arrays, INTERIOR)
        assert (found.status, found.objective) == (Status.OPTIMAL, pytest.approx(expected.objective, abs=1e-6))
        assert found.row_duals == pytest.approx(expected.row_duals, abs=1e-6)
        assert arrays.violation(found.x) <= 1e-6
    assert backend.solve(program([1, 1], [[1, 1]], 3, 4, upper=1), INTERIOR).status is Status.INFEASIBLE
    assert backend.solve(program([-1, 0], [[1, -1]], -inf, 1), INTERIOR).status is Status.UNBOUNDED
    whole = program([-1, -1], [[2, 1]], -inf, 2.5, upper=1, integral=True)
    assert backend.solve(whole, INTERIOR).objective == pytest.approx(-1.0)
