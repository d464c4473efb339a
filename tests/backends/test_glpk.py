"""GLPK through Pyomo, whose program a script stands for: what is proved, what is not, and a program without an end."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from oamip_backends.pyomo_programs import read_glpk

from oamip_model.solving.protocol import Arrays, Options, Status
from oamip_model.solving.registry import get_backend

SCRIPT = Path(__file__).parent.parent / "glpsol.py"
WHOLE = Arrays(
    sp.csr_array([[2.0, 3.0, 1.0]]), np.array([3.0, 5.0, 2.5]), np.zeros(3), np.full(3, 4.0), np.array([6.5]),
    np.array([np.inf]), np.ones(3, bool), offset=2.0,
)  # fmt: skip
"""Its optimum is 13.0: 2 * 2 + 3 * 1 of the row, at 3 * 2 + 5 * 1 and the offset."""
LINEAR = Arrays(
    sp.csr_array([[2.0, 3.0, 1.0]]), WHOLE.cost, WHOLE.lower, WHOLE.upper, WHOLE.row_lower, WHOLE.row_upper,
    np.zeros(3, bool), offset=2.0,
)  # fmt: skip


@pytest.fixture
def glpsol(tmp_path, monkeypatch):
    """Puts a program called glpsol first on the PATH, and returns what sets how it ends."""
    program = tmp_path / "bin" / "glpsol"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\n"{sys.executable}" "{SCRIPT}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("GLPSOL_NOTES", str(tmp_path / "notes"))
    from pyomo.common import Executable

    Executable("glpsol").rehash()
    yield lambda end: monkeypatch.setenv("GLPSOL_ENDS", end)
    monkeypatch.undo()
    Executable("glpsol").rehash()


@pytest.mark.parametrize("end", ["done", "gap"])
@pytest.mark.parametrize("sense", [1, -1])
def test_an_optimum_is_proved_also_where_glpk_ends_at_its_gap(glpsol, end, sense):
    glpsol(end)
    arrays = WHOLE if sense == 1 else Arrays(**{**vars(WHOLE), "cost": -WHOLE.cost, "sense": -1})
    found = get_backend("pyomo:glpk").solve(arrays, Options())
    assert (found.status, found.objective) == (Status.OPTIMAL, pytest.approx(2.0 + sense * 11.0))
    assert found.bound == pytest.approx(found.objective, rel=1e-5)
    assert sense * (found.objective - found.bound) >= 0


def test_at_its_time_limit_glpk_has_a_point_and_a_bound(glpsol):
    glpsol("time")
    found = get_backend("pyomo:glpk").solve(WHOLE, Options(time_limit=60))
    assert (found.status, found.objective) == (Status.FEASIBLE, pytest.approx(13.0))
    assert found.bound == pytest.approx(2.0 + 0.99 * 11.0)
    assert "the time limit of 60 s came before a proof" in found.message
    glpsol("early")
    found = get_backend("pyomo:glpk").solve(WHOLE, Options(time_limit=60))
    assert (found.status, found.x) == (Status.NO_SOLUTION, None)
    assert "the time limit of 60 s came before a feasible point" in found.message


@pytest.mark.parametrize(("end", "status"), [("time", Status.FEASIBLE), ("early", Status.NO_SOLUTION)])
def test_the_basis_of_a_linear_program_that_the_clock_stopped_proves_nothing(glpsol, end, status):
    """Pyomo calls the first one optimal, and the second one infeasible."""
    glpsol(end)
    found = get_backend("pyomo:glpk").solve(LINEAR, Options(time_limit=60))
    assert (found.status, found.bound) == (status, None)
    assert "the time limit of 60 s" in found.message
    glpsol("done")
    assert get_backend("pyomo:glpk").solve(LINEAR, Options(time_limit=60)).status is Status.OPTIMAL


def test_a_glpk_that_never_ends_is_killed_with_what_it_started(glpsol, tmp_path):
    glpsol("sleep")
    began = time.monotonic()
    found = get_backend("pyomo:glpk").solve(WHOLE, Options(time_limit=1.0))
    assert time.monotonic() - began < 60
    assert (found.status, found.x) == (Status.NO_SOLUTION, None)
    assert "the time limit of 1 s came before a feasible point" in found.message
    parent, child, told = (tmp_path / "notes").read_text().split(" ", 2)
    assert "--tmlim 1 " in told
    for number in (parent, child):
        state = Path(f"/proc/{number}/stat")
        assert not state.exists() or state.read_text().rpartition(")")[2].split()[0] == "Z"


def test_a_glpk_that_crashes_is_an_error_in_one_line(glpsol):
    glpsol("crash")
    found = get_backend("pyomo:glpk").solve(WHOLE, Options(time_limit=60))
    assert (found.status, found.x) == (Status.ERROR, None)
    assert found.message.startswith("pyomo:glpk failed: ")
    assert "\n" not in found.message


def test_the_bound_is_the_last_that_the_log_tells():
    from oamip_backends.shared.outcome import Outcome

    log = (
        "+     0: mip =     not found yet >=              -inf        (1; 0)\n"
        "+    11: >>>>>   1.000000000e+01 >=   4.000000000e+00  60.0% (3; 0)\n"
        "+    42: mip =   1.000000000e+01 >=   7.500000000e+00  25.0% (4; 5)\n"
        "TIME LIMIT EXCEEDED; SEARCH TERMINATED\n"
    )
    outcome = Outcome(Status.FEASIBLE)
    assert read_glpk(outcome, log, True) == pytest.approx(7.5)
    assert (outcome.status, outcome.timed_out) == (Status.FEASIBLE, True)
    assert (
        read_glpk(Outcome(Status.OPTIMAL), "+    42: mip = 1.0e+00 >=     tree is empty   0.0% (0; 9)\n", True) is None
    )
