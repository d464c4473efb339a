"""A linear program's optimum is only what its duals prove, whatever the solver says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from oamip_backends.cbc import Cbc
from oamip_backends.highs import Highs
from oamip_backends.shared.certificate import dual_bound

from oamip_model.solving.protocol import Arrays, Options, SolverMissingError, Status
from oamip_model.solving.registry import solve_once


def program(seed: int, rows: int = 12, columns: int = 9) -> Arrays:
    """A feasible linear program with rows and columns of every kind, some columns free."""
    draw = np.random.default_rng(seed)
    matrix = sp.csr_array(np.round(draw.normal(size=(rows, columns)), 2) * (draw.random((rows, columns)) < 0.6))
    inside = draw.normal(size=columns)
    activity, slack = matrix @ inside, draw.random(rows)
    kind = draw.integers(4, size=rows)
    low = np.where(kind == 0, -np.inf, activity - np.where(kind == 3, 0.0, slack))
    high = np.where(kind == 1, np.inf, activity + np.where(kind == 3, 0.0, slack))
    open_ = draw.integers(4, size=columns)
    lower = np.where(open_ == 0, -np.inf, inside - draw.random(columns))
    upper = np.where(open_ == 0, np.inf, np.where(open_ == 1, np.inf, inside + draw.random(columns)))
    # Costs in the cone of the rows, and those of the columns' bounds: a bounded program, with free columns in it.
    y = draw.normal(size=rows)
    y = np.where(kind == 0, -np.abs(y), np.where(kind == 1, np.abs(y), y))
    tilt = np.where(open_ == 0, 0.0, np.where(open_ == 1, 1.0, draw.normal(size=columns)))
    return Arrays(matrix, matrix.T @ y + tilt, lower, upper, low, high, np.zeros(columns, bool), offset=1.5)


@given(st.integers(0, 10_000), st.floats(0.0, 1.0))
def test_any_duals_give_a_bound_and_the_optimal_ones_the_optimum(seed, noise):
    arrays = program(seed)
    optimum = Highs().solve(arrays, Options())
    assert optimum.status is Status.OPTIMAL
    exact = dual_bound(arrays, optimum.row_duals)
    assert exact == pytest.approx(optimum.objective, abs=1e-6)
    y = optimum.row_duals + noise * np.random.default_rng(seed).normal(size=len(optimum.row_duals))
    assert dual_bound(arrays, y) <= optimum.objective + 1e-6 * (1 + abs(optimum.objective))
    # The same program as a maximisation: the bound is above.
    other = replace(arrays, cost=-arrays.cost, sense=-1, offset=-arrays.offset)
    assert dual_bound(other, optimum.row_duals) == pytest.approx(-exact)
    assert dual_bound(other, y) >= -optimum.objective - 1e-6 * (1 + abs(optimum.objective))


def saved(x: np.ndarray, duals: np.ndarray) -> bytes:
    """What CBC saves of a solution."""
    counts = np.array([len(duals), len(x)], dtype=np.int32).tobytes()
    return counts + np.concatenate([[0.0], 0 * duals, duals, x, 0 * x]).tobytes()


def test_an_optimum_of_cbc_that_its_duals_do_not_prove_is_none(monkeypatch):
    from oamip_backends import cbc
    from oamip_backends.shared.process import Ended

    try:
        cbc.cbc_binary()
    except SolverMissingError:
        pytest.skip("there is no CBC here")
    arrays = program(3)
    truth = Highs().solve(arrays, Options())
    worse = Highs().solve(replace(arrays, cost=-arrays.cost + 1e-3), Options())
    worst = np.clip(0.5 * truth.x + 0.5 * (worse.x if worse.x is not None else truth.x), arrays.lower, arrays.upper)
    answers = {"right": truth.row_duals, "none": 0 * truth.row_duals, "too few": truth.row_duals[:-1]}
    found = {}
    for name, duals in answers.items():
        x = truth.x if name == "right" else worst

        def run(command, log, time_limit, x=x, duals=duals):
            where = [command[command.index(option) + 1] for option in ("-solution", "-saveSolution")]
            with open(where[0], "w") as head, open(where[1], "wb") as all_of_it:
                head.write("Optimal - objective value 0\n")
                all_of_it.write(saved(x, duals))
            return Ended("", 0.0, False)

        monkeypatch.setattr(cbc, "run_to_end", run)
        found[name] = Cbc().solve(arrays, Options())
    assert found["right"].status is Status.OPTIMAL
    assert found["right"].bound == pytest.approx(truth.objective, abs=1e-6)
    assert found["right"].row_duals == pytest.approx(truth.row_duals)
    for name in ("none", "too few"):
        assert found[name].status is Status.FEASIBLE
        assert found[name].bound is None or found[name].bound <= truth.objective + 1e-6
        assert "CBC claims an optimum" in found[name].message


@pytest.mark.parametrize("sense", [1, -1])
def test_linear_optima_of_cbc_are_certified_by_its_duals(sense):
    pytest.importorskip("pulp")
    arrays = program(5)
    arrays = replace(arrays, sense=sense, cost=sense * arrays.cost, offset=sense * arrays.offset)
    found, other = (solve_once(backend(), arrays, Options()) for backend in (Cbc, Highs))
    assert found.certified
    assert other.certified
    assert found.bound == pytest.approx(other.bound, abs=1e-7)
    assert sense * (found.objective - found.bound) >= 0


def test_cbc_solves_what_its_scaling_gets_wrong():
    pytest.importorskip("pulp")
    from oamip_benchmarks.bench.programs import build_program
    from oamip_benchmarks.bench.recipes import find_recipe

    import oamip_model as om

    instance = build_program(find_recipe("fashion-average-n10-published-relaxed-ce")).instance
    om.solve_instance(instance, "highs")
    arrays = om.compile_arrays(instance)
    # What tangents had before their weights below 1e-9 were left out.
    draw = np.random.default_rng(0)
    at = tuple(draw.choice(size, 600) for size in arrays.matrix.shape)
    noise = sp.csr_array((10.0 ** draw.uniform(-15, -10, 600), at), shape=arrays.matrix.shape)
    noisy = replace(arrays, matrix=sp.csr_array(arrays.matrix + noise))
    exact, other = (backend().solve(noisy, Options()) for backend in (Highs, Cbc))
    assert other.status is Status.OPTIMAL
    assert other.objective == pytest.approx(exact.objective, abs=1e-6)
    assert other.bound == pytest.approx(exact.objective, abs=1e-6)


def test_highs_solves_what_its_dual_simplex_gives_up():
    from oamip_benchmarks.bench.programs import build_program
    from oamip_benchmarks.bench.recipes import find_recipe

    import oamip_model as om

    instance = build_program(find_recipe("digits-average-n10-published-relaxed-ce")).instance
    rounds = om.solve_instance(instance, "highs")
    found = Highs().solve(om.compile_arrays(instance), Options())
    assert found.status is Status.OPTIMAL
    assert found.bound == pytest.approx(dual_bound(om.compile_arrays(instance), found.row_duals), abs=1e-6)
    assert rounds.bound - 1e-6 <= found.objective <= rounds.objective + 1e-6
