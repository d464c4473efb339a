"""Options reach the solver, or are refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from oamip_model.solving.protocol import Capability, InputError, Options, Status
from oamip_model.solving.registry import open_session


@pytest.fixture
def small(program):
    rng = np.random.default_rng(1)
    rows = rng.integers(1, 30, (3, 15))
    return program(-rng.integers(1, 30, 15), rows, -np.inf, rows.sum(1) // 3, upper=1, integral=True)


@pytest.mark.parametrize(
    ("capability", "options"),
    [
        (Capability.THREADS, Options(threads=2)),
        (Capability.SEED, Options(seed=12345)),
        (Capability.SEED, Options(seed=2**31 - 1)),
    ],
)
def test_threads_and_seeds_change_no_optimum_or_are_refused(backend, small, capability, options):
    if capability in backend.capabilities:
        expected = backend.solve(small, Options()).objective
        assert open_session(backend, small, options).solve().objective == pytest.approx(expected, abs=1e-6)
    else:
        name = str(capability).rstrip("s")
        for attempt in (lambda: backend.solve(small, options), lambda: open_session(backend, small, options)):
            with pytest.raises(InputError, match=f"{name}.*{backend.name}"):
                attempt()


def test_the_solver_may_choose_threads_and_seed(backend, small):
    assert backend.solve(small, Options(threads=None, seed=None)).status is Status.OPTIMAL


def test_the_same_seed_gives_the_same_search(backend, small):
    first, second = (backend.solve(small, Options()) for _ in range(2))
    np.testing.assert_array_equal(first.x, second.x)
    assert first.nodes == second.nodes


def test_log_file_is_appended_to_and_nothing_is_printed(backend, small, tmp_path, capfd):
    log = tmp_path / "solver.log"
    log.write_text("before\n")
    if Capability.LOG_FILE in backend.capabilities:
        assert backend.solve(small, Options(log_file=log)).status is Status.OPTIMAL
        written = log.read_text()
        assert written.startswith("before\n")
        assert len(written) > 200
        backend.solve(small, Options(log_file=log))
        assert len(log.read_text()) > 1.5 * len(written)
    else:
        with pytest.raises(InputError, match="log_file"):
            backend.solve(small, Options(log_file=log))
    backend.solve(small, Options())
    assert capfd.readouterr() == ("", "")


def test_a_log_file_that_cannot_be_written_is_refused(backend, small, tmp_path):
    with pytest.raises(InputError, match="log_file"):
        backend.solve(small, Options(log_file=tmp_path / "missing" / "solver.log"))


def test_a_start_without_the_capability_is_refused(backend, small):
    if Capability.MIP_START not in backend.capabilities:
        with pytest.raises(InputError, match="start"):
            open_session(backend, small, Options()).solve(np.zeros(15))


def test_feasibility_is_taken_or_refused(backend, program):
    """With a coarse tolerance a big-M column may cheat; with a fine one it may not."""
    arrays = program([1, -1e-6], [[1000, -1]], 0, np.inf, upper=[1, 10], integral=[True, False])
    if backend.name.startswith("pyomo:"):
        with pytest.raises(InputError, match=f"feasibility.*{backend.name}"):
            backend.solve(arrays, Options(feasibility=1e-9))
    else:
        solution = backend.solve(arrays, Options(feasibility=1e-9))
        assert solution.status is Status.OPTIMAL
        assert arrays.violation(solution.x) <= 1e-8
