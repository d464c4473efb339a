"""What a solver says is checked before it is handed on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from oamip_backends.highs import Highs
from oamip_backends.shared.checks import breach, tidy
from oamip_backends.shared.common import CheckedRun
from oamip_backends.shared.outcome import Outcome, cut_short

from oamip_model.solving.protocol import Arrays, InputError, Options, Status


@pytest.fixture
def arrays() -> Arrays:
    """max x + y with x + 1000 y <= 1500, x continuous in [0, 1000], y integral in [0, 3]."""
    matrix = sp.csr_array(np.array([[1.0, 1000.0]]))
    limits = np.array([0.0, 0.0]), np.array([1000.0, 3.0])
    sides = np.array([-np.inf]), np.array([1500.0])
    return Arrays(matrix, np.ones(2), *limits, *sides, np.array([False, True]), 0.0, -1)


class Liar(CheckedRun):
    """Says what it is told to say."""

    outcome: Outcome

    def run(self, start, relaxed, time_limit):
        return self.outcome


def said(arrays: Arrays, outcome: Outcome, **solve):
    run = Liar(Highs(), arrays, Options())
    run.outcome = outcome
    return run.solve(**solve)


def test_a_fractional_point_at_a_limit_is_no_incumbent(arrays):
    solution = said(arrays, Outcome(Status.FEASIBLE, np.array([0.0, 1.5]), bound=500.0))
    assert (solution.status, solution.x, solution.objective, solution.bound) == (Status.NO_SOLUTION, None, None, 500.0)
    assert "integrality by 0.5" in solution.message


def test_a_claimed_optimum_that_breaks_the_program_is_an_error(arrays):
    for x in ([0.0, 1.5], [600.0, 1.0], [-1.0, 1.0], [np.nan, 1.0]):
        solution = said(arrays, Outcome(Status.OPTIMAL, np.array(x), bound=500.0))
        assert (solution.status, solution.x, solution.bound) == (Status.ERROR, None, None)
        assert "highs gave a point that breaks" in solution.message


def test_a_relaxation_may_be_fractional(arrays):
    solution = said(arrays, Outcome(Status.OPTIMAL, np.array([0.0, 1.5])), relaxed=True)
    assert (solution.status, solution.objective) == (Status.OPTIMAL, 1.5)


def test_small_errors_are_tidied_where_that_keeps_the_rows(arrays):
    solution = said(arrays, Outcome(Status.OPTIMAL, np.array([500.0 + 1e-9, 1.0 - 1e-9])))
    np.testing.assert_array_equal(solution.x[1], 1.0)
    assert said(arrays, Outcome(Status.OPTIMAL, np.array([-1e-9, 1.0]))).x[0] == 0.0


def test_rounding_that_would_break_a_row_is_not_done(arrays):
    x = np.array([500.0 + 9e-3, 1.0 - 9e-6])
    assert breach(arrays, x)[0] <= 0
    np.testing.assert_array_equal(tidy(arrays, x, breach(arrays, x)[0]), x)


def test_an_answer_without_a_point_is_no_solution(arrays):
    assert said(arrays, Outcome(Status.OPTIMAL)).status is Status.ERROR
    assert said(arrays, Outcome(Status.FEASIBLE)).status is Status.NO_SOLUTION
    assert said(arrays, Outcome(Status.FEASIBLE, bound=np.inf)).bound is None


def test_unbounded_is_checked_with_no_objective(arrays):
    assert said(arrays, Outcome(Status.UNBOUNDED)).status is Status.UNBOUNDED
    assert said(arrays, Outcome(Status.OPTIMAL, np.array([1e21, 0.0]))).status is Status.UNBOUNDED
    arrays.row_upper[0] = -1.0
    assert said(arrays, Outcome(Status.UNBOUNDED)).status is Status.INFEASIBLE
    assert said(arrays, Outcome(Status.ERROR, unclear=True)).status is Status.INFEASIBLE


def test_a_proof_that_cbc_claims_after_its_time_is_taken_back():
    for claimed, left in ((Status.OPTIMAL, Status.FEASIBLE), (Status.INFEASIBLE, Status.NO_SOLUTION)):
        outcome = Outcome(claimed)
        cut_short(outcome, "CBC")
        assert outcome.status is left
        assert "time was up" in outcome.message


def test_a_matrix_in_another_form_is_the_same_program(arrays):
    expected = Highs().solve(arrays, Options()).objective
    coo = sp.coo_array(arrays.matrix)
    halves = sp.coo_array((np.r_[coo.data, coo.data] / 2, (np.r_[coo.row, coo.row], np.r_[coo.col, coo.col])))
    doubled = sp.csr_array((halves.data[[0, 2, 1, 3]], np.array([0, 0, 1, 1]), np.array([0, 4])), shape=(1, 2))
    for matrix in (sp.csc_array(arrays.matrix), halves, doubled):
        assert Highs().solve(replace(arrays, matrix=matrix), Options()).objective == expected


def test_a_session_checks_its_time_limit(arrays):
    session = Highs().session(arrays, Options())
    for limit in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="time_limit"):
            session.solve(time_limit=limit)
    session.close()
