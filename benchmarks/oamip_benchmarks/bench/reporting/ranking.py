"""Rankings of variants with intervals: the quickest, and those not apart from it.

``ranking.js`` does the same in the page, for the rows that a reader chooses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oamip_benchmarks.bench.reporting.rows import Row, Solves, is_solved, number_of, program_of, solve_seconds, times_of
from oamip_benchmarks.bench.reporting.statistics import Array, counted
from oamip_benchmarks.bench.trace import primal_integral

DRAWS = 2000
LEVEL = 0.95
FEWEST = 6
"""Instances below which nothing is shown: by chance five have their ratios on one side in 1 of 16 comparisons."""


@dataclass(frozen=True)
class Ranking:
    """Scores of variants, the less the better, against the least.

    Parameters
    ----------
    best : int
        Number of the least.
    scores : array
        Scores (variants,).
    ratios, low, high : array
        Ratios (variants,) over the least, with the ends of simultaneous bootstrap intervals.
    together : array of bool
        Whether each is the least, or its interval reaches down to 1. All are where there are few instances.
    virtual : float
        The score of the best variant of each problem.
    """

    best: int
    scores: Array
    ratios: Array
    low: Array
    high: Array
    together: NDArray[np.bool_]
    virtual: float

    @property
    def settled(self) -> bool:
        """Whether the intervals of all others lie above 1."""
        return int(self.together.sum()) == 1


def rank_times(seconds: Array, group: Sequence[str], shift: float, *, seed: int = 0) -> Ranking:
    """The ranking by shifted geometric means of seconds (problems, variants).

    Ratios have the shift on both sides.

    group: (problems,) the instance of each problem. Instances are drawn, each with all its problems.

    Examples
    --------
    >>> found = rank_times(np.array([[1.0, 3.0], [1.0, 3.0], [2.0, 5.0]] * 2), list("abcdef"), shift=1.0)
    >>> found.ratios.round(3).tolist(), found.settled
    ([1.0, 2.0], True)
    """
    logs = np.log(seconds + shift)
    means, drawn = _means(logs, group, seed)
    best = int(np.argmin(means))
    virtual = math.exp(float(logs.min(axis=1).mean())) - shift
    ratios, others = np.exp(means - means[best]), np.exp(drawn - drawn[:, [best]])
    return _ranking(best, np.exp(means) - shift, ratios, others, virtual, len(set(group)))


def rank_integrals(integrals: Array, group: Sequence[str], *, seed: int = 0) -> Ranking:
    """The ranking by means of integrals (problems, variants), at least 0.

    The ratios are of these plus 0.001.

    Examples
    --------
    >>> rank_integrals(np.array([[0.1, 0.1], [0.0, 0.2], [0.2, 0.1]]), ["a", "b", "c"]).settled
    False
    """
    means, drawn = _means(integrals, group, seed)
    best = int(np.argmin(means))
    least = 1e-3
    ratios, others = (means + least) / (means[best] + least), (drawn + least) / (drawn[:, [best]] + least)
    return _ranking(best, means, ratios, others, float(integrals.min(axis=1).mean()), len(set(group)))


def _means(values: Array, group: Sequence[str], seed: int) -> tuple[Array, Array]:
    """The means over problems, (variants,), and those of bootstrap draws of instances, (draws, variants)."""
    _, which = np.unique(np.asarray(group), return_inverse=True)
    sizes = np.bincount(which).astype(np.float64)
    sums = np.zeros((len(sizes), values.shape[1]))
    np.add.at(sums, which, values)
    taken = np.random.default_rng(seed).integers(len(sizes), size=(DRAWS, len(sizes)))
    return values.mean(axis=0), sums[taken].sum(axis=1) / sizes[taken].sum(axis=1)[:, None]


def _ranking(best: int, scores: Array, ratios: Array, drawn: Array, virtual: float, instances: int) -> Ranking:
    """The ranking from the ratios of the draws, whose intervals hold for all other variants at once (Bonferroni)."""
    tail = (1 - LEVEL) / 2 / max(len(scores) - 1, 1)
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    several = (np.ptp(drawn, axis=0) > 0) & (instances >= FEWEST)
    together = ~(several & (low > 1))
    together[best] = True
    return Ranking(best, scores, ratios, low, high, together, virtual)


def best_known(rows: Sequence[Row]) -> dict[str, float]:
    """The least objective of a solution that passed its check, by program."""
    found: dict[str, float] = {}
    for row in rows:
        value = number_of(row, "objective")
        if row["status"] != "wrong" and (row.get("check") or {}).get("passed") and not math.isnan(value):
            found[program_of(row)] = min(value, found.get(program_of(row), math.inf))
    return found


def integral_of(row: Row, best: dict[str, float]) -> float | None:
    """The row's primal integral as a share of its time limit.

    It is None where no incumbents over time are known.

    The reference is the best objective in ``best``. A run that ends early keeps its last incumbent.
    """
    trace = row.get("trace")
    target = best.get(program_of(row))
    if target is None or row["status"] == "wrong":
        return None
    if not trace:
        # Nothing was found, or the one incumbent that is known came at the end of a proof.
        return 1.0 if row.get("objective") is None and row["status"] in ("no solution", "timeout") else None
    points = [(float(seconds), primal, dual) for seconds, primal, dual in trace]
    if row.get("objective") is not None:
        points.append((float(row.get("wall_seconds") or points[-1][0]), float(row["objective"]), None))
    return primal_integral(points, target, float(row["time_limit"]))


def ranked_times(solves: Solves, size: str | None, shift: float) -> Ranking:
    """The ranking of a run's variants by time, over all problems or those of one size."""
    table = np.array([counted(*times_of(solves.of(variant, size))) for variant in solves.variants]).T
    return rank_times(table, [row["instance"] for row in solves.of(solves.variants[0], size)], shift)


def embedded(solves: Solves) -> dict[str, object]:
    """The rows that ``ranking.js`` ranks, in the order of the table of solves.

    Each is [variant, instance, seed, seconds, solved, limit, primal integral, ran], the first two by their numbers.
    """
    instances = list(dict.fromkeys(row["instance"] for row in solves.rows))
    number = {name: k for k, name in enumerate(instances)}
    place = {name: k for k, name in enumerate(solves.everyone)}
    best = best_known(solves.rows)
    rows = []
    for row in solves.rows:
        integral = integral_of(row, best)
        rows.append([
            place[solves.variant(row)], number[row["instance"]], row["seed"], round(solve_seconds(row), 6),
            int(is_solved(row)), row["time_limit"], None if integral is None else round(integral, 6),
            int(solves.variant(row) in solves.variants and row["status"] != "licence"),
        ])  # fmt: skip
    return {"variants": [solves.short[name] for name in solves.everyone], "instances": len(instances), "rows": rows}
