"""What is particular to one solver: clocks and threads of HiGHS, CBC's files and process, Gurobi's size limit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from oamip_backends import cbc as cbc_module
from oamip_backends import highs_methods
from oamip_backends.highs import Highs
from oamip_backends.shared.mps import write_mps

from oamip_model.solving.protocol import Arrays, Options, SolverMissingError, Status
from oamip_model.solving.registry import get_backend

inf = np.inf


def random_lp(rows: int, columns: int, seed: int = 0) -> Arrays:
    rng = np.random.default_rng(seed)
    matrix = sp.random_array((rows, columns), density=0.3, format="csr", rng=rng)
    sides = np.asarray(matrix.sum(axis=1)).ravel() * 0.3
    cost = -np.round(100 * rng.random(columns)) - 1
    zero = np.zeros(columns)
    return Arrays(matrix, cost, zero, zero + 1, np.full(rows, -inf), sides, zero.astype(bool))


def test_highs_measures_each_linear_programs_limit_anew():
    """The second solve starts at the optimum: only a clock that runs on from the first could stop it."""
    session = Highs().session(random_lp(500, 500), Options())
    first = session.solve()
    assert first.seconds > 0.05
    assert session.solve(time_limit=first.seconds / 3).status is Status.OPTIMAL
    session.close()


def test_highs_stops_a_long_linear_program():
    solution = Highs().solve(random_lp(3000, 2500), Options(time_limit=0.5))
    assert solution.status in (Status.NO_SOLUTION, Status.FEASIBLE)
    assert (solution.bound, solution.row_duals) == (None, None)
    assert solution.seconds < 6


def test_highs_changes_its_threads_between_solves():
    arrays = random_lp(30, 30)
    objectives = [Highs().solve(arrays, Options(threads=threads)).objective for threads in (1, 2, None, 1, 2, 1)]
    assert objectives == pytest.approx([objectives[0]] * 6)


def test_highs_goes_on_from_the_last_basis():
    arrays = random_lp(200, 200)
    session = Highs().session(arrays, Options())
    session.solve()
    first = session._highs.getInfo().simplex_iteration_count
    session.add_rows(sp.csr_array(np.ones((1, 200))), np.array([-inf]), np.array([55.0]))
    session.solve()
    assert session._highs.getInfo().simplex_iteration_count < first / 2
    session.close()


def test_highs_turns_to_an_interior_point_where_simplex_takes_long(monkeypatch, tmp_path):
    arrays = random_lp(200, 200)
    expected = Highs().solve(arrays, Options())
    monkeypatch.setattr(highs_methods, "COLD_ITERATIONS", 5)
    log = tmp_path / "log"
    session = Highs().session(arrays, Options(log_file=log))
    found = session.solve()
    assert (found.status, found.objective) == (Status.OPTIMAL, pytest.approx(expected.objective))
    assert "IPM       iterations" in log.read_text()
    assert found.row_duals == pytest.approx(expected.row_duals, abs=1e-6)
    # A basis came of it, from which simplex goes on.
    session.append(arrays.matrix[:1], np.array([-inf]), arrays.row_upper[:1] / 2)
    again = session.solve()
    assert again.status is Status.OPTIMAL
    assert again.objective > found.objective
    assert log.read_text().count("IPM       iterations") == 1
    session.close()
    infeasible = Arrays(-arrays.matrix, *(getattr(arrays, n) for n in ("cost", "lower", "upper", "row_lower")),
                        -arrays.row_upper * 10, arrays.integral)  # fmt: skip
    assert Highs().solve(infeasible, Options()).status is Status.INFEASIBLE


def test_highs_begins_a_large_linear_program_by_an_interior_point(monkeypatch, tmp_path):
    """Without a basis, that is; simplex goes on from the basis that crossover gives."""
    arrays = random_lp(200, 200)
    expected = Highs().solve(arrays, Options())
    monkeypatch.setattr(highs_methods, "LARGE", 199)
    log = tmp_path / "log"
    session = Highs().session(arrays, Options(log_file=log))
    found = session.solve()
    assert (found.status, found.objective) == (Status.OPTIMAL, pytest.approx(expected.objective))
    interior = log.read_text()
    assert interior.count("IPM       iterations") == 1
    assert "Simplex   iterations" not in interior
    assert session._highs.getBasis().valid
    session.add_rows(arrays.matrix[:1], np.array([-inf]), arrays.row_upper[:1] / 2)
    session.set_bounds(arrays.lower, arrays.upper / 2)
    assert session.solve().status is Status.OPTIMAL
    session.set_cost(-arrays.cost)
    assert session.solve().objective == pytest.approx(0.0)
    assert log.read_text().count("IPM       iterations") == 1
    session.close()


def test_highs_solves_a_small_linear_program_by_simplex(tmp_path):
    log = tmp_path / "log"
    Highs().solve(random_lp(200, 200), Options(log_file=log))
    assert "IPM       iterations" not in log.read_text()


def test_mps_reads_back_as_it_was(tmp_path):
    """HiGHS, a reader that is not ours, gets every number back to the last bit but the width of ranges."""
    import highspy

    rng = np.random.default_rng(2)
    rows, columns = 12, 9
    matrix = sp.random_array((rows, columns), density=0.5, format="csr", rng=rng)
    matrix.data[:] = rng.normal(size=matrix.nnz) * 10.0 ** rng.integers(-6, 7, matrix.nnz)
    lower, upper = rng.normal(size=(2, columns)).cumsum(axis=0)
    lower, upper = np.minimum(lower, upper), np.maximum(lower, upper)
    lower[0], upper[1], lower[2], upper[2], upper[3] = -inf, inf, -inf, inf, lower[3]
    lower[4], upper[4], upper[5], lower[5], lower[6] = 0.0, inf, -0.5, -3.0, 0.0
    upper[6] = 2.0
    low, high = np.sort(rng.normal(size=(2, rows)), axis=0)
    low[0], high[1], low[2] = -inf, inf, high[2]
    integral = np.arange(columns) % 2 == 0
    arrays = Arrays(matrix, rng.normal(size=columns), lower, upper, low, high, integral, 5.0, -1)
    write_mps(arrays, tmp_path / "m.mps")
    highs = highspy.Highs()
    highs.setOptionValue("output_flag", False)
    assert highs.readModel(str(tmp_path / "m.mps")) == highspy.HighsStatus.kOk
    lp = highs.getLp()
    np.testing.assert_array_equal(lp.col_cost_, -arrays.cost)
    np.testing.assert_array_equal(lp.col_lower_, lower)
    np.testing.assert_array_equal(lp.col_upper_, upper)
    np.testing.assert_allclose(lp.row_lower_, low, rtol=1e-14, atol=1e-15)
    np.testing.assert_array_equal(lp.row_upper_, high)
    assert [kind == highspy.HighsVarType.kInteger for kind in lp.integrality_] == integral.tolist()
    back = sp.csc_array((lp.a_matrix_.value_, lp.a_matrix_.index_, lp.a_matrix_.start_), shape=(rows, columns))
    assert abs(back - matrix).max() == 0.0


def test_gurobis_size_limit_is_one_clear_line():
    gurobi = get_backend("gurobi")
    ones = np.ones(2100)
    large = Arrays(sp.csr_array(sp.eye_array(2100)), ones, 0 * ones, ones, 0 * ones - inf, ones, ones.astype(bool))
    try:
        assert gurobi.solve(large, Options()).status is Status.OPTIMAL  # where there is a full licence
    except SolverMissingError as error:
        told = str(error)
        assert told.startswith("gurobi: the model has 2100 rows (a ranged one is two) and 2100 columns")
        assert "--solver highs" in told
        assert "\n" not in told


@pytest.fixture
def cbc_on_path(tmp_path, monkeypatch):
    """CBC on the PATH, under its own name."""
    get_backend("cbc")
    (tmp_path / "cbc").symlink_to(cbc_module.cbc_binary())
    cbc_module.cbc_binary.cache_clear()
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    yield tmp_path / "cbc"
    cbc_module.cbc_binary.cache_clear()


def test_cbc_on_the_path_comes_first(cbc_on_path):
    assert cbc_module.cbc_binary() == str(cbc_on_path)


def test_another_program_called_cbc_is_refused(cbc_on_path):
    cbc_on_path.unlink()
    cbc_on_path.write_text("#!/bin/sh\necho hello\n")
    cbc_on_path.chmod(0o755)
    with pytest.raises(SolverMissingError, match="is not COIN-OR's CBC"):
        get_backend("cbc")


def test_pyomos_fractional_point_of_cbc_is_no_incumbent(cbc_on_path):
    """At a limit without incumbent Pyomo loads the fractional relaxation as if it were the solution."""
    rng = np.random.default_rng(5)
    rows = rng.integers(1, 1000, (5, 50)).astype(float)
    sides = rows[:, rng.permutation(50)[:25]].sum(1)
    ones = np.ones(50)
    arrays = Arrays(sp.csr_array(rows), 0 * ones, 0 * ones, ones, sides, sides, ones.astype(bool))
    arrays.cost[:] = 1.0
    solution = get_backend("pyomo:cbc").solve(arrays, Options(time_limit=1.0))
    assert solution.status is Status.NO_SOLUTION
    assert solution.x is None
    arrays.cost[:] = 0.0  # CBC says of this one, when its time is up, that it was proved infeasible
    for name in ("pyomo:cbc", "cbc"):
        assert get_backend(name).solve(arrays, Options(time_limit=0.5)).status is Status.NO_SOLUTION


def test_pyomo_refuses_a_limit_that_it_cannot_pass_on(monkeypatch):
    from oamip_backends import pyomo_solver

    from oamip_model.solving.protocol import InputError

    monkeypatch.setattr(pyomo_solver, "_OWN_NAMES", {})
    backend = get_backend("pyomo:gurobi_direct")
    arrays = random_lp(3, 3)
    assert backend.solve(arrays, Options()).status is Status.OPTIMAL
    for options in (Options(time_limit=1.0), Options(gap=0.1)):
        with pytest.raises(InputError, match=r"(time_limit|gap): .* pyomo:gurobi_direct"):
            backend.solve(arrays, options)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_cbc_dies_with_a_parent_that_is_killed(tmp_path):
    get_backend("cbc")
    script = (
        "import sys\nfrom pathlib import Path\nfrom oamip_backends.shared.process import run_to_end\n"
        "run_to_end(['sh', '-c', 'echo $$; exec sleep 60'], Path(sys.argv[1]), 60)\n"
    )
    log = tmp_path / "log"
    parent = subprocess.Popen([sys.executable, "-c", script, str(log)])
    for _ in range(200):
        time.sleep(0.05)
        if log.exists() and log.read_text().strip():
            break
    child = Path(f"/proc/{int(log.read_text())}")
    assert child.exists()
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 5
    while child.exists() and (child / "stat").read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "the solver outlived its parent"
        time.sleep(0.05)
