"""What a solver's library raises or prints becomes a status and a line, and standard error stays clean."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
import scipy.sparse as sp
from oamip_backends.scip import Scip
from oamip_backends.shared.faults import StandardError, failure, told_by

from oamip_model.solving.protocol import Arrays, InputError, Options, SolverError, SolverMissingError, Status

SCIP_LINES = (
    b"[src/scip/lp.c:12711] ERROR: (node 1) unresolved numerical troubles in LP 1 cannot be dealt with\n"
    b"[src/scip/solve.c:3468] ERROR: Error <-6> in function call\n"
)


@pytest.fixture
def arrays() -> Arrays:
    zero = np.zeros(2)
    return Arrays(
        sp.csr_array([[2.0, 2.0]]), np.array([1.0, 2.0]), zero, zero + 5, np.array([3.0]), np.array([np.inf]), zero == 0
    )


class Failing:
    """SCIP's model, whose solve prints and raises what pyscipopt does where the LP solver fails."""

    def __init__(self, model, solved):
        self._model, self._solved = model, solved

    def __getattr__(self, name):
        return getattr(self._model, name)

    def optimize(self):
        if self._solved:
            self._model.optimize()
        os.write(2, SCIP_LINES)
        raise Exception("SCIP: error in LP solver!")


def failing(arrays, solved):
    session = Scip().session(arrays, Options())
    session._model = Failing(session._model, solved)
    try:
        return session.solve()
    finally:
        session.close()


def test_an_error_in_scips_lp_solver_is_a_status_with_a_line(arrays, capfd):
    found = failing(arrays, solved=False)
    assert (found.status, found.x, found.bound) == (Status.ERROR, None, None)
    assert found.message == "scip failed: Exception: SCIP: error in LP solver!"
    assert capfd.readouterr() == ("", "")


def test_an_incumbent_that_was_there_before_the_error_is_kept_without_a_bound(arrays, capfd):
    found = failing(arrays, solved=True)
    assert (found.status, found.objective, found.bound) == (Status.FEASIBLE, pytest.approx(2.0), None)
    assert "error in LP solver" in found.message
    assert capfd.readouterr() == ("", "")


def test_scips_lines_at_the_hand_over_stay_off_standard_error(arrays, capfd):
    class Loud(Failing):
        def addVar(self, *args, **kwargs):
            os.write(2, SCIP_LINES)
            raise Exception("SCIP: error in input data!")

    session = Scip().session(arrays, Options())
    session._model = Loud(session._model, solved=True)
    session.hand_over(session._load)
    assert session.solve().message == "scip failed: Exception: SCIP: error in input data!"
    assert capfd.readouterr() == ("", "")
    session.close()


def test_lines_of_others_are_written_out_again(capfd):
    with StandardError().caught(("ERROR: ",)) as lines:
        os.write(2, b"a warning of torch\n" + SCIP_LINES + b"the end\n")
    assert capfd.readouterr().err == "a warning of torch\nthe end\n"
    assert [line.split("] ")[1][:7] for line in lines] == ["ERROR: "] * 2


def test_standard_error_is_back_where_the_solve_raised(capfd):
    with pytest.raises(RuntimeError), StandardError().caught(("ERROR: ",)):
        raise RuntimeError(os.write(2, SCIP_LINES))
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_threads_share_standard_error_and_the_last_puts_it_back(capfd):
    caught, inside, leave = StandardError(), threading.Event(), threading.Event()

    def first():
        with caught.caught(("ERROR: ",)):
            inside.set()
            leave.wait(10)
            os.write(2, SCIP_LINES)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with caught.caught(("ERROR: ",)):
        os.write(2, SCIP_LINES)
    leave.set()
    thread.join()
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Exception("SCIP: error in LP solver!"), "mysolver failed: Exception: SCIP: error in LP solver!"),
        (RuntimeError("two\n  lines"), "mysolver failed: RuntimeError: two lines"),
        (KeyError(), "mysolver failed: KeyError"),
    ],
)
def test_what_a_library_raises_is_a_line_that_names_the_solver(error, told):
    assert failure("mysolver", error) == told
    with pytest.raises(SolverError) as caught, told_by("mysolver"):
        raise error
    assert str(caught.value) == told
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "error", [InputError("a"), SolverError("b"), SolverMissingError("c"), MemoryError(), KeyboardInterrupt()]
)
def test_errors_of_the_package_and_ctrl_c_pass_as_they_are(error):
    with pytest.raises(type(error)) as caught, told_by("mysolver"):
        raise error
    assert caught.value is error


def test_a_library_that_raises_in_a_checked_solve_is_an_error_status(arrays, monkeypatch):
    from oamip_backends.highs import Highs, HighsSession

    def run(self, start, relaxed, time_limit):
        raise OSError("library\nis broken")

    monkeypatch.setattr(HighsSession, "run", run)
    found = Highs().solve(arrays, Options())
    assert (found.status, found.message) == (Status.ERROR, "highs failed: OSError: library is broken")
