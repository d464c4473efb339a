"""Rows added to a session give what a fresh solve of all rows gives, also through relaxed rounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from oamip_model.errors import InputError
from oamip_model.solving.protocol import Capability, Options, Session, Status, append_rows
from oamip_model.solving.rebuild import RebuildSession
from oamip_model.solving.registry import open_cost_session, open_session, open_tree_session

inf = np.inf


def test_cut_rounds_agree_with_fresh_solves(backend, program):
    rng = np.random.default_rng(7)
    arrays = program(-rng.integers(1, 20, 12), rng.integers(0, 9, (2, 12)), -inf, 40, upper=3, integral=True)
    session = open_session(backend, arrays, Options())
    assert isinstance(session, Session)
    assert isinstance(session.inner, RebuildSession) != (Capability.CUT_ROUNDS in backend.capabilities)
    before = -inf
    for _ in range(4):
        assert session.solve(relaxed=True).objective <= session.solve().objective + 1e-6
        rows = sp.csr_array(rng.integers(0, 4, (2, 12)).astype(float))
        lower, upper = np.array([-inf, 1.0]), np.array([12.0, 14.0])
        session.add_rows(rows, lower, upper)
        arrays = append_rows(arrays, rows, lower, upper)
        kept, fresh = session.solve(), backend.solve(arrays, Options())
        assert (kept.status, fresh.status) == (Status.OPTIMAL, Status.OPTIMAL)
        assert kept.objective == pytest.approx(fresh.objective, abs=1e-6)
        assert arrays.violation(kept.x) <= 1e-6
        assert kept.objective >= before - 1e-6
        before = kept.objective
    session.close()


def test_relaxed_and_back(backend, program):
    session = open_session(backend, program([-1, -1], [[2, 2]], -inf, 3, upper=1, integral=True), Options())
    for _ in range(2):
        assert session.solve(relaxed=True).objective == pytest.approx(-1.5)
        assert session.solve().objective == pytest.approx(-1.0)
    session.add_rows(sp.csr_array(np.array([[1.0, 1.0]])), np.array([0.0]), np.array([0.5]))
    assert session.solve(relaxed=True).objective == pytest.approx(-0.5)
    assert session.solve().objective == pytest.approx(0.0)
    session.close()


def test_rows_that_make_it_infeasible(backend, program):
    session = open_session(backend, program([1, 1], [[1, 1]], 1, 2, upper=1), Options())
    assert session.solve().status is Status.OPTIMAL
    session.add_rows(sp.csr_array(np.array([[1.0, 1.0]])), np.array([2.5]), np.array([inf]))
    assert session.solve().status is Status.INFEASIBLE
    session.close()


def test_a_row_that_bounds_an_unbounded_program(backend, program):
    session = open_session(backend, program([-1, -1], [[1, -1]], -1, 1, integral=True), Options())
    assert session.solve().status is Status.UNBOUNDED
    session.add_rows(sp.csr_array(np.array([[1.0, 1.0]])), np.array([-inf]), np.array([6.5]))
    assert session.solve().objective == pytest.approx(-6.0)
    session.close()


def test_a_start_in_a_session(backend, market_split, needs):
    needs(Capability.MIP_START)
    arrays, planted = market_split
    session = open_session(backend, arrays, Options())
    assert session.solve(time_limit=0.4).status is Status.NO_SOLUTION
    assert session.solve(planted, time_limit=5.0).objective == 0.0
    session.close()


def test_row_duals_are_derivatives(backend, program):
    """A dual is the objective's change by the row's active bound, minimising and maximising, with added rows."""
    for sense in (1, -1):
        cost = sense * np.array([1.0, 2.0, 3.0])
        arrays = program(cost, [[1, 1, 0], [0, 1, 1], [1, 0, 0]], [1.8, 2, -inf], [inf, 2, 0.75], upper=9, sense=sense)
        session = open_session(backend, arrays, Options())
        session.add_rows(sp.csr_array(np.array([[0.0, 0.0, 1.0]])), np.array([0.5]), np.array([4.0]))
        solution = session.solve()
        session.close()
        if solution.row_duals is None:
            pytest.skip(f"{backend.name} gives no duals")
        # The optimum is x = 0.3, y = 1.5, z = 0.5: rows 0, 1 and the added one are active, row 2 is not.
        assert solution.objective == pytest.approx(sense * 4.8)
        step = 1e-3
        for row, (which, value) in enumerate([("row_lower", 1.8), ("row_lower", 2), ("row_upper", 0.75)]):
            moved = append_rows(arrays, sp.csr_array(np.array([[0.0, 0.0, 1.0]])), np.array([0.5]), np.array([4.0]))
            getattr(moved, which)[row] = value + step
            if row == 1:
                moved.row_upper[row] = value + step
            change = (backend.solve(moved, Options()).objective - solution.objective) / step
            assert solution.row_duals[row] == pytest.approx(change, abs=1e-4)
        assert solution.row_duals.shape == (4,)


def test_new_costs_agree_with_fresh_solves(backend, program):
    """Costs change, and rows come in between; each solve is that of a fresh program."""
    rng = np.random.default_rng(11)
    arrays = program(rng.integers(-9, 9, 8), rng.integers(0, 9, (3, 8)), -inf, 30, upper=4)
    session = open_cost_session(backend, arrays, Options())
    assert isinstance(session.inner, RebuildSession) != (Capability.COST_CHANGE in backend.capabilities)
    for turn in range(6):
        cost = rng.integers(-9, 9, 8).astype(float)
        session.set_cost(cost)
        arrays = replace(arrays, cost=cost)
        if turn == 3:
            rows = sp.csr_array(rng.integers(0, 4, (1, 8)).astype(float))
            session.add_rows(rows, np.array([-inf]), np.array([9.0]))
            arrays = append_rows(arrays, rows, np.array([-inf]), np.array([9.0]))
        kept, fresh = session.solve(), backend.solve(arrays, Options())
        assert (kept.status, fresh.status) == (Status.OPTIMAL, Status.OPTIMAL)
        assert kept.objective == pytest.approx(fresh.objective, abs=1e-6)
        assert kept.objective == pytest.approx(arrays.objective(kept.x), abs=1e-6)
        assert arrays.violation(kept.x) <= 1e-6
    session.close()


def test_new_bounds_and_fewer_rows_agree_with_fresh_solves(backend, program):
    """Bounds come and go, rows are added and some of them dropped; each solve is that of a fresh program."""
    rng = np.random.default_rng(12)
    bare = program(rng.integers(-9, 9, 8), rng.integers(0, 9, (3, 8)), -inf, 30, upper=4, integral=True)
    session = open_tree_session(backend, bare, Options())
    assert isinstance(session.inner, RebuildSession) != (Capability.BOUND_CHANGE in backend.capabilities)
    rows, limits = np.zeros((0, 8)), np.zeros(0)
    basis = session.basis()
    for turn in range(6):
        lower = rng.integers(0, 2, 8).astype(float)
        upper = lower + rng.integers(0, 3, 8)
        session.set_bounds(lower, upper)
        if turn % 2 == 0:
            new, limit = rng.integers(0, 4, (3, 8)).astype(float), rng.integers(20, 30, 3).astype(float)
            session.add_rows(sp.csr_array(new), np.full(3, -inf), limit)
            rows, limits = np.vstack([rows, new]), np.concatenate([limits, limit])
        if turn in (1, 3):
            keep = rng.random(len(limits)) < 0.6
            session.keep_rows(keep)
            rows, limits = rows[keep], limits[keep]
        if turn == 5:
            # No row came or went since the last turn's solve.
            session.set_basis(basis)
        arrays = replace(bare, lower=lower, upper=upper)
        if len(limits):
            arrays = append_rows(arrays, sp.csr_array(rows), np.full(len(limits), -inf), limits)
        for relaxed in (True, False):
            asked = replace(arrays, integral=arrays.integral & (not relaxed))
            fresh, kept = backend.solve(asked, Options()), session.solve(relaxed=relaxed)
            assert kept.status is fresh.status
            if fresh.status is Status.OPTIMAL:
                assert kept.objective == pytest.approx(fresh.objective, abs=1e-6)
                assert asked.violation(kept.x) <= 1e-6
            basis = session.basis() if relaxed else basis
    with pytest.raises(InputError, match="bounds: got shapes"):
        session.set_bounds(upper + 1, upper)
    session.close()
