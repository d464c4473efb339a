"""Every backend that is usable here, and the programs that all of them are given."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from oamip_model.solving.protocol import Arrays, Backend, Capability
from oamip_model.solving.registry import get_backend, list_solvers, names

Program = Callable[..., Arrays]


OWN = "scipy"
"""The example of a solver from outside the package."""


def own_solver() -> Backend:
    """The solver of the example, which is not registered for the other tests."""
    path = Path(__file__).parents[2] / "examples" / "own_solver.py"
    spec = importlib.util.spec_from_file_location("own_solver", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    names._registered.pop(OWN, None)
    return module.OwnSolver()


def _names() -> list[str]:
    native = [solver.name for solver in list_solvers() if solver.available and not solver.name.endswith(":NAME")]
    through_pyomo = ["pyomo:appsi_highs", "pyomo:highs"]
    through_pyomo += [
        f"pyomo:{name}" for name, program in (("glpk", "glpsol"), ("cbc", "cbc")) if shutil.which(program)
    ]
    return [*native, *through_pyomo, OWN]


@pytest.fixture(params=_names())
def backend(request: pytest.FixtureRequest) -> Backend:
    return own_solver() if request.param == OWN else get_backend(request.param)


@pytest.fixture
def needs(backend: Backend) -> Callable[[Capability], None]:
    """Skips where the backend lacks a capability, naming it."""

    def check(capability: Capability) -> None:
        if capability not in backend.capabilities:
            pytest.skip(f"{backend.name} has no {capability}")

    return check


@pytest.fixture(scope="session")
def program() -> Program:
    """Builds Arrays from lists: costs, rows, row bounds; columns are >= 0 and continuous unless said otherwise."""

    def build(
        cost: Sequence[float],
        rows: Any = (),
        row_lower: Any = (),
        row_upper: Any = (),
        lower: Any = 0.0,
        upper: Any = np.inf,
        integral: Any = False,
        offset: float = 0.0,
        sense: int = 1,
    ) -> Arrays:
        columns = len(cost)
        matrix = np.asarray(rows, dtype=float).reshape(-1, columns)

        def full(values: Any, count: int) -> np.ndarray:
            return np.broadcast_to(np.asarray(values, dtype=float), (count,)).copy()

        return Arrays(
            sp.csr_array(matrix), full(cost, columns), full(lower, columns), full(upper, columns),
            full(row_lower, len(matrix)), full(row_upper, len(matrix)),
            np.broadcast_to(np.asarray(integral, dtype=bool), (columns,)).copy(), offset, sense,
        )  # fmt: skip

    return build


@pytest.fixture(scope="session")
def market_split(program: Program) -> tuple[Arrays, np.ndarray]:
    """Five dense equality knapsacks over 50 binaries, and a point that solves them: far out of reach for search."""
    rng = np.random.default_rng(5)
    rows = rng.integers(1, 1000, (5, 50)).astype(float)
    planted = np.zeros(50)
    planted[rng.permutation(50)[:25]] = 1.0
    sides = rows @ planted
    return program(np.zeros(50), rows, sides, sides, upper=1.0, integral=True), planted


@pytest.fixture(scope="session")
def knapsacks(program: Program) -> Arrays:
    """Maximise the worth of 200 items under 20 knapsacks: incumbents at once, no proof within seconds."""
    rng = np.random.default_rng(0)
    rows = rng.integers(10, 100, (20, 200)).astype(float)
    worth = rng.integers(10, 100, 200) + 0.125
    return program(worth, rows, -np.inf, rows.sum(1) // 2.5, upper=1.0, integral=True, offset=7.0, sense=-1)
