"""The integer program of a budget (mathematics:budget-4), for any solver."""

from __future__ import annotations

import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from oamip_model.clock import tick
from oamip_model.errors import SolverError
from oamip_model.network.counting.choices import Count
from oamip_model.network.maps import Array
from oamip_model.solving.options import Solver
from oamip_model.solving.protocol import DEFAULT_GAP, Arrays, Status, append_rows
from oamip_model.solving.registry import get_backend, solve_once

_TRIES = 100
"""Answers that are cut off at most because they pass the budget by less than a solver's tolerance."""


@dataclass(frozen=True)
class Answer:
    """The choice of each group, its cost, and what the solver proved."""

    choices: tuple[int, ...]
    cost: float
    bound: float | None
    optimal: bool
    solver: str
    version: str
    seconds: float


def budget_arrays(costs: Sequence[Array], limits: Sequence[tuple[Count, int]]) -> Arrays:
    """The program of a budget: binaries of each group first, then products of pairs.

    costs: (choices,) of each group; limits: counts, each with the most that it may be.
    """
    starts = np.cumsum([0, *(len(cost) for cost in costs)])
    pairs: dict[tuple[int, int], int] = {}
    columns = int(starts[-1])
    for count, _ in limits:
        for a, b in count.pairs:
            if (a, b) not in pairs:
                pairs[a, b] = columns
                columns += len(costs[a]) * len(costs[b])
    rows: list[sp.csr_array] = []
    lower: list[float] = []
    upper: list[float] = []

    def add(entries: Mapping[int, float], low: float, high: float) -> None:
        at = np.fromiter(entries, dtype=np.int64)
        values = np.fromiter(entries.values(), dtype=np.float64)
        rows.append(sp.csr_array((values, (np.zeros(len(at), np.int64), at)), shape=(1, columns)))
        lower.append(low)
        upper.append(high)

    for start, cost in zip(starts[:-1].tolist(), costs, strict=True):
        add(dict.fromkeys(range(start, start + len(cost)), 1.0), 1.0, 1.0)
    for (a, b), first in pairs.items():
        products = first + np.arange(len(costs[a]) * len(costs[b])).reshape(len(costs[a]), len(costs[b]))
        for group, table in ((a, products), (b, products.T)):
            for choice, line in enumerate(table.tolist()):
                add(dict.fromkeys(line, 1.0) | {int(starts[group]) + choice: -1.0}, 0.0, 0.0)
    for count, most in limits:
        entries: dict[int, float] = {}
        for g, single in count.single.items():
            entries |= {int(starts[g]) + k: float(value) for k, value in enumerate(single) if value}
        for place, table in count.pairs.items():
            entries |= {pairs[place] + n: float(value) for n, value in enumerate(table.ravel()) if value}
        largest = max(entries.values(), default=1.0)
        add({n: value / largest for n, value in entries.items()}, -np.inf, (most - count.fixed) / largest)
    cost = np.zeros(columns)
    cost[: starts[-1]] = np.concatenate(costs)
    return Arrays(
        sp.csr_array(sp.vstack(rows, format="csr")), cost, np.zeros(columns), np.ones(columns), np.array(lower),
        np.array(upper), np.arange(columns) < starts[-1],
    )  # fmt: skip


def solve_budget(costs: Sequence[Array], limits: Sequence[tuple[Count, int]], solver: Solver) -> Answer:
    """The cheapest choice of each group whose counts are within their limits.

    costs, limits: as for :func:`budget_arrays`; some choice has to be within.

    Raises SolverError where the solver found none.
    """
    began = time.monotonic()
    backend = get_backend(solver.name)
    arrays = budget_arrays(costs, limits)
    starts = np.cumsum([0, *(len(cost) for cost in costs)])
    for _ in range(_TRIES):
        tick("the budget's program")
        found = solve_once(backend, arrays, solver.options(solver.gap(DEFAULT_GAP)))
        if found.interrupted:
            raise KeyboardInterrupt("interrupted while the budget's program was solved, nothing was saved")
        if found.x is None:
            reason = found.message or found.status.value
            raise SolverError(f"budget: {found.solver} found no plan ({reason})")
        choices = [int(found.x[a:b].argmax()) for a, b in itertools.pairwise(starts)]
        if all(count.at(choices) <= most for count, most in limits):
            cost = float(sum(cost[choice] for cost, choice in zip(costs, choices, strict=True)))
            optimal = found.status is Status.OPTIMAL
            return Answer(
                tuple(choices), cost, found.bound, optimal, found.solver, found.version, time.monotonic() - began
            )
        places = starts[:-1] + np.array(choices)
        cut = sp.csr_array((np.ones(len(places)), (np.zeros(len(places), np.int64), places)), (1, len(arrays.cost)))
        arrays = append_rows(arrays, cut, np.array([-np.inf]), np.array([len(places) - 1.0]))
    raise SolverError(f"budget: {_TRIES} plans of {backend.name} passed the budget by less than its tolerance")
