"""A solver that calls a linear program infeasible, or unbounded, and cannot prove it is not believed on its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from oamip_backends.highs import Highs
from torch import nn

import oamip_model as om
from oamip_model.errors import LicenceError, SolverError
from oamip_model.solving.proofs.opinions import TROUBLE, settled
from oamip_model.solving.protocol import Arrays, Capability, Options, Solution, Status
from oamip_model.solving.registry import open_session, open_tree_session, sessions, solve_once

PROGRAM = Arrays(
    sp.csr_array([[1.0, 1.0], [1.0, -1.0]]), np.array([1.0, 2.0]), np.zeros(2), np.array([4.0, 4.0]),
    np.array([3.0, -np.inf]), np.array([np.inf, 1.0]), np.zeros(2, bool),
)  # fmt: skip
EMPTY = replace(PROGRAM, row_lower=np.array([9.0, -np.inf]))


class Liar:
    """Claims the same of every linear program, and solves the others by HiGHS."""

    name = "liar"
    licence = "none"
    capabilities: frozenset[Capability] = frozenset()

    def __init__(self, claim: Solution) -> None:
        self.claim, self.asked = claim, 0

    def check(self):
        pass

    def version(self):
        return "1"

    def solve(self, arrays, options, start=None):
        if arrays.is_mip or options.interior_point:
            return Highs().solve(arrays, options, start)
        self.asked += 1
        return self.claim


class LyingSimplex(Liar):
    """The same, with an interior point method that is honest."""

    capabilities = frozenset({Capability.INTERIOR_POINT})


def claim(status=Status.INFEASIBLE, **more):
    return Solution(status, "liar", "1", **more)


@pytest.fixture
def alone(monkeypatch):
    """Nobody else is installed."""
    monkeypatch.setattr(sessions, "_SECOND", ())


@pytest.mark.parametrize("status", [Status.INFEASIBLE, Status.UNBOUNDED])
@pytest.mark.parametrize("others", [("highs",), ("cbc",), ("scip",), ("no-such-solver", "liar", "cbc")])
def test_another_solver_with_a_point_is_passed_on(status, others, monkeypatch):
    monkeypatch.setattr(sessions, "_SECOND", others)
    found = solve_once(Liar(claim(status)), PROGRAM, Options())
    assert (found.status, found.objective, found.solver) == (Status.OPTIMAL, pytest.approx(4.0), others[-1])
    assert PROGRAM.violation(found.x) <= 1e-6
    assert found.message.startswith(f"{TROUBLE}: liar claims that the program is {status.value}, {others[-1]} has a")
    assert found.certified == (others[-1] != "scip")  # which states no duals


def test_an_interior_point_of_the_same_solver_is_asked_first(alone):
    found = solve_once(LyingSimplex(claim()), PROGRAM, Options())
    assert (found.status, found.bound) == (Status.OPTIMAL, pytest.approx(4.0))
    assert found.solver == "liar by an interior point"
    assert found.certified


def test_a_ray_that_proves_nothing_is_a_claim(monkeypatch):
    monkeypatch.setattr(sessions, "_SECOND", ("highs",))
    found = solve_once(Liar(claim(ray=np.array([1.0, -1.0]))), PROGRAM, Options())
    assert found.status is Status.OPTIMAL


def test_a_ray_that_proves_it_needs_no_other_opinion(alone):
    found = solve_once(Liar(claim(ray=np.array([1.0, 0.0]))), EMPTY, Options())
    assert (found.status, found.certified) == (Status.INFEASIBLE, True)


@pytest.mark.parametrize("others", [("highs",), ("cbc",), ("scip",)])
def test_a_true_claim_is_passed_on_where_another_solver_agrees(others, monkeypatch):
    monkeypatch.setattr(sessions, "_SECOND", others)
    found = solve_once(Liar(claim()), EMPTY, Options())
    assert (found.status, found.solver, found.message) == (Status.INFEASIBLE, "liar", "")
    assert found.certified == (others == ("highs",))


@pytest.mark.parametrize("status", [Status.INFEASIBLE, Status.UNBOUNDED])
def test_where_nothing_decides_the_end_is_without_a_proof_and_says_why(alone, status):
    found = solve_once(Liar(claim(status)), PROGRAM, Options())
    assert (found.status, found.x, found.bound, found.certified) == (Status.NO_SOLUTION, None, None, False)
    assert f"{TROUBLE}: liar claims that the program is {status.value} without a proof" in found.message
    assert ("bound its objective" in found.message) == (status is Status.UNBOUNDED)


def test_an_unbounded_program_stays_unbounded(monkeypatch):
    monkeypatch.setattr(sessions, "_SECOND", ("highs",))
    free = replace(PROGRAM, cost=-PROGRAM.cost, upper=np.full(2, np.inf))
    assert solve_once(Liar(claim(Status.UNBOUNDED)), free, Options()).status is Status.UNBOUNDED


def test_two_solvers_that_agree_on_unbounded_are_refuted_by_the_bounds():
    agreed = settled(claim(Status.UNBOUNDED), [claim(Status.UNBOUNDED)], refuted="the columns are bounded")
    assert agreed.status is Status.NO_SOLUTION
    assert "the columns are bounded" in agreed.message


def test_nobody_is_asked_once_the_time_is_over(monkeypatch):
    monkeypatch.setattr(sessions, "_SECOND", ("highs",))
    found = solve_once(Liar(claim(seconds=3.0)), PROGRAM, Options(time_limit=2.0))
    assert (found.status, found.seconds) == (Status.NO_SOLUTION, 3.0)


def test_others_that_fail_or_lack_a_licence_are_passed_over(monkeypatch):
    def failing(error):
        def solve(self, arrays, options, start=None):
            raise error

        return solve

    from oamip_backends.cbc import Cbc
    from oamip_backends.scip import Scip

    monkeypatch.setattr(sessions, "_SECOND", ("scip", "cbc", "highs"))
    monkeypatch.setattr(Scip, "solve", failing(LicenceError("scip: no licence")))
    monkeypatch.setattr(Cbc, "solve", failing(SolverError("cbc: failed")))
    found = solve_once(Liar(claim()), PROGRAM, Options())
    assert (found.status, found.solver) == (Status.OPTIMAL, "highs")


@pytest.mark.parametrize("threads", [1, 2, None])
def test_others_get_the_threads_that_were_asked_for_where_they_take_any(monkeypatch, threads):
    class Threaded(Liar):
        capabilities = frozenset({Capability.THREADS})

    asked, solve = [], Highs.solve

    def note(self, arrays, options, start=None):
        asked.append(options.threads)
        return solve(self, arrays, options)

    monkeypatch.setattr(Highs, "solve", note)
    monkeypatch.setattr(sessions, "_SECOND", ("highs",))
    assert solve_once(Threaded(claim()), PROGRAM, Options(threads=threads)).status is Status.OPTIMAL
    assert asked == [threads]


def test_ctrl_c_during_an_opinion_is_passed_on():
    stopped = Solution(Status.NO_SOLUTION, "highs", "1", interrupted=True, seconds=1.0)
    assert settled(claim(seconds=2.0), [stopped]) == replace(stopped, seconds=3.0)


def test_opinions_are_about_the_rows_bounds_and_costs_of_now(monkeypatch):
    monkeypatch.setattr(sessions, "_SECOND", ("highs",))
    whole = replace(PROGRAM, integral=np.ones(2, bool))
    session = open_tree_session(Liar(claim()), whole, Options())
    session.add_rows(sp.csr_array([[1.0, 0.0], [0.0, 1.0]]), np.full(2, -np.inf), np.array([1.5, 3.5]))
    assert session.solve(relaxed=True).objective == pytest.approx(4.5)
    assert session.solve().objective == pytest.approx(5.0)
    session.set_bounds(np.zeros(2), np.array([1.25, 4.0]))
    assert session.solve(relaxed=True).objective == pytest.approx(4.75)
    session.set_bounds(np.zeros(2), np.array([4.0, 4.0]))
    session.keep_rows(np.array([False, True]))
    found = session.solve(relaxed=True)
    assert found.objective == pytest.approx(4.0)
    assert found.row_duals.shape == (3,)
    session.set_bounds(np.zeros(2), np.array([1.0, 1.75]))
    found = session.solve(relaxed=True)
    assert (found.status, found.certified) == (Status.INFEASIBLE, True)


def test_what_a_solver_calls_infeasible_for_its_bounds_keeps_its_message():
    crossed = replace(PROGRAM, lower=np.array([5.0, 0.0]))
    found = open_session(Highs(), crossed, Options()).solve()
    assert (found.status, found.message[:8]) == (Status.INFEASIBLE, "column 0")


def instance(loss):
    torch.manual_seed(2)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double().eval()
    return om.build_instance(
        om.read_network(module), np.random.default_rng(0).random((2, 3)), [0, 1], om.Formulation(loss=loss)
    )


@pytest.mark.parametrize("search", ["solver", "tree"])
def test_an_instance_is_not_called_infeasible_by_a_liar_alone(alone, search):
    found = om.solve_instance(instance("cross-entropy"), solver=Liar(claim()), search=search)
    assert found.status is not Status.INFEASIBLE
    assert found.status is not Status.OPTIMAL
    assert found.message


@pytest.mark.parametrize("search", ["solver", "tree"])
def test_an_instance_is_solved_in_spite_of_a_liar(search):
    expected = om.solve_instance(instance("cross-entropy"))
    found = om.solve_instance(instance("cross-entropy"), solver=Liar(claim()), search=search)
    assert (found.status, found.objective) == (Status.OPTIMAL, pytest.approx(expected.objective, rel=2e-4))
