"""The level method: certified optima of convex programs in the scores, continuous and binary."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyomo.environ as pyo
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oamip_backends.highs import Highs

from oamip_model.formulation import cross_entropy
from oamip_model.scoring.layer_options import PROJECTIONS, LevelMethod
from oamip_model.scoring.layerwise import convex
from oamip_model.scoring.layerwise.convex import Tangents, minimise_convex, project
from oamip_model.scoring.layerwise.convex_result import ConvexSolve
from oamip_model.scoring.layerwise.heads.columns import Columns
from oamip_model.solving.protocol import Solution, Status


def random_columns(seed: int, images: int = 30, classes: int = 3, units: int = 6) -> Columns:
    rng = np.random.default_rng(seed)
    g = torch.tensor(rng.normal(size=(images, classes, units)), dtype=torch.float64)
    base = torch.tensor(rng.normal(size=(images, classes)), dtype=torch.float64)
    return Columns(g, base, torch.tensor(rng.integers(0, classes, images)))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_the_oracle_gives_the_gradient_of_the_loss(seed: int) -> None:
    columns = random_columns(seed)
    rng = np.random.default_rng(seed + 1)
    point, direction = rng.random(6), rng.normal(size=6)
    _, gradient = columns(point)
    step = 1e-6
    change = (columns(point + step * direction)[0] - columns(point - step * direction)[0]) / (2 * step)
    assert change == pytest.approx(float(gradient @ direction), abs=1e-6)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.floats(0.05, 20.0), st.sampled_from(PROJECTIONS))
def test_no_point_is_better_than_the_bound(seed: int, weight: float, projection: str) -> None:
    columns, price = random_columns(seed), np.full(6, 1 / 6)
    result = minimise_convex(
        columns, price, weight, ConvexSolve(tolerance=1e-4, level=LevelMethod(projection=projection))
    )
    assert result.failed == 0
    assert result.status == "optimal"
    assert result.gap <= 1e-4
    for point in np.random.default_rng(seed).random((50, 6)):
        assert price @ point + weight * columns(point)[0] >= result.bound - 1e-9


@pytest.mark.thinned(4)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_binary_scores_reach_the_best_of_all_subsets(seed: int, solver: str) -> None:
    columns, price, weight = random_columns(seed), np.full(6, 1 / 6), 2.0
    best = min(
        price @ np.array(s) + weight * columns(np.array(s, dtype=float))[0] for s in itertools.product([0, 1], repeat=6)
    )
    result = minimise_convex(columns, price, weight, ConvexSolve(tolerance=1e-6, solver=solver), binary=True)
    assert set(np.unique(result.scores)) <= {0.0, 1.0}
    assert result.objective == pytest.approx(best, rel=1e-6)
    assert result.bound <= best + 1e-9


def test_a_path_of_weights_shares_its_tangents() -> None:
    columns, price, shared = random_columns(3, images=200, units=20), np.full(20, 1 / 20), Tangents()
    alone = [minimise_convex(columns, price, w).calls for w in (1.0, 1.5, 2.0)]
    along = [minimise_convex(columns, price, w, tangents=shared).calls for w in (1.0, 1.5, 2.0)]
    assert along[0] == alone[0]
    assert sum(along[1:]) < sum(alone[1:])


def test_a_constant_moves_objective_and_bound_alike() -> None:
    columns, price = random_columns(5), np.full(6, 1 / 6)
    plain, moved = (minimise_convex(columns, price, 1.0, ConvexSolve(tolerance=1e-6), offset=c) for c in (0.0, -2.0))
    assert moved.objective == pytest.approx(plain.objective - 2.0, abs=1e-5)
    assert moved.bound <= moved.objective


def test_stopping_early_is_said_and_the_bound_still_holds() -> None:
    columns, price = random_columns(7, images=300, units=30), np.full(30, 1 / 30)
    early = minimise_convex(columns, price, 5.0, ConvexSolve(level=LevelMethod(max_calls=3)))
    full = minimise_convex(columns, price, 5.0, ConvexSolve(tolerance=1e-5))
    assert (early.status, early.message) == ("feasible", "3 oracle calls")
    assert early.bound <= full.objective <= early.objective + 1e-9


def test_where_one_projection_fails_the_other_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, price = random_columns(7, images=300, units=30), np.full(30, 1 / 30)
    monkeypatch.setattr(convex, "project", lambda *_: None)
    by_lp = minimise_convex(columns, price, 5.0)
    assert (by_lp.status, by_lp.failed) == ("optimal", 0)
    monkeypatch.setattr(convex, "project_by_lp", lambda *_: None)
    neither = minimise_convex(columns, price, 5.0)
    assert neither.failed == neither.projections > 0
    assert neither.status == "optimal", "the master's own points are cutting planes without a level"
    assert by_lp.objective == pytest.approx(neither.objective, rel=2e-3)


class Forgetful(Highs):
    """HiGHS, whose sessions cannot solve twice; or not even once."""

    at_most = 1

    def session(self, arrays: Any, options: Any) -> Any:
        session, left = super().session(arrays, options), [self.at_most]
        real = session.solve

        def solve(*arguments: Any, **options: Any) -> Any:
            left[0] -= 1
            return real(*arguments, **options) if left[0] >= 0 else Solution(Status.ERROR, self.name, "")

        session.solve = solve
        return session


def test_a_master_that_fails_from_its_basis_is_solved_from_scratch() -> None:
    columns, price = random_columns(7), np.full(6, 1 / 6)
    plain, again = (
        minimise_convex(columns, price, 5.0, ConvexSolve(solver=solver)) for solver in (Highs(), Forgetful())
    )
    assert (again.status, again.objective) == ("optimal", pytest.approx(plain.objective, rel=1e-3))
    never = Forgetful()
    never.at_most = 0
    failed = minimise_convex(columns, price, 5.0, ConvexSolve(solver=never))
    assert (failed.status, failed.bound, failed.certified) == ("feasible", -np.inf, False)
    assert failed.message == "the master program ended as error"
    assert failed.objective >= plain.bound


@pytest.mark.thinned(4)
@pytest.mark.parametrize("solver", ["highs", "cbc"])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("seed", range(2))
def test_the_optimum_is_that_of_the_program_with_rows_for_each_image(seed: int, binary: bool, solver: str) -> None:
    columns, price, weight = random_columns(seed, images=15), np.full(6, 1 / 6), 2.0
    found = minimise_convex(columns, price, weight, ConvexSolve(tolerance=1e-6, solver=solver), binary=binary)
    expected = written_out(columns, price, weight, binary)
    assert found.status == "optimal"
    assert found.objective == pytest.approx(expected, rel=3e-6)
    assert found.bound <= expected + 1e-6


def written_out(columns: Columns, price: np.ndarray, weight: float, binary: bool) -> float:
    """The optimum by a Pyomo model with logits and a loss for each image, and tangents of each image's loss."""
    g, base, labels = columns.g.numpy(), columns.base.numpy(), columns.labels.numpy()
    images, classes, units = g.shape
    m = pyo.ConcreteModel()
    m.s = pyo.Var(range(units), bounds=(0, 1), domain=pyo.Binary if binary else pyo.Reals)
    m.o = pyo.Var(range(images), range(classes))
    m.t = pyo.Var(range(images), bounds=(0, None))
    m.logits = pyo.Constraint(
        range(images), range(classes),
        rule=lambda m, n, c: m.o[n, c] == base[n, c] + sum(g[n, c, u] * m.s[u] for u in range(units)),
    )  # fmt: skip
    m.cost = pyo.Objective(expr=sum(price[u] * m.s[u] for u in range(units)) + weight / images * sum(m.t.values()))
    m.tangents = pyo.ConstraintList()
    solver = pyo.SolverFactory("appsi_highs")
    solver.options["mip_rel_gap"] = 1e-9
    for _ in range(60):
        solver.solve(m)
        s = np.array([m.s[u].value for u in range(units)])
        logits = base + g @ s
        losses = cross_entropy(logits, labels)
        if weight * losses.mean() + price @ s - pyo.value(m.cost) < 1e-7:
            return float(pyo.value(m.cost))
        slope = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        slope[np.arange(images), labels] -= 1
        for n in range(images):
            m.tangents.add(m.t[n] >= losses[n] + sum(slope[n, c] * (m.o[n, c] - logits[n, c]) for c in range(classes)))
    raise AssertionError("the written-out program did not converge")


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_the_projection_is_the_nearest_point_of_the_level_set(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cuts = Tangents()
    for _ in range(3):
        point = rng.random(4)
        cuts.add(point, float(rng.random()), rng.normal(size=4))
    price, centre = np.full(4, 0.25), rng.random(4)

    def model(s: np.ndarray) -> float:
        return float(price @ s) + max(level + float(g @ s) for level, g in zip(cuts.level, cuts.gradient, strict=True))

    samples = rng.random((4000, 4))
    values = np.array([model(s) for s in samples])
    level = float(np.quantile(values, 0.3))
    found = project(centre, level, price, 1.0, cuts)
    assert found is not None
    assert model(found) <= level + 0.05
    nearest = np.linalg.norm(samples[values <= level] - centre, axis=1).min()
    assert np.linalg.norm(found - centre) <= nearest + 1e-6
