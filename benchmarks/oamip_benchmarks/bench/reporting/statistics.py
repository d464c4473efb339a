"""Statistics of solve times, in which a solve that did not end counts, too.

A solve has seconds, a time limit, and is solved or not. Seconds of a solve that is not solved say nothing about how
long it would take. It is counted at its limit, or at a multiple of it, and never left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
PENALTY = 10.0
"""A solve that is not solved counts as this many time limits in PAR10."""


def counted(seconds: ArrayLike, solved: ArrayLike, limit: ArrayLike, factor: float = 1.0) -> Array:
    """Seconds where solved, ``factor`` times the time limit elsewhere; all (solves,).

    Examples
    --------
    >>> counted([3.0, 60.4], [True, False], [60.0, 60.0], factor=10).tolist()
    [3.0, 600.0]
    """
    taken, done = np.asarray(seconds, dtype=np.float64), np.asarray(solved, dtype=bool)
    return np.where(done, taken, factor * np.asarray(limit, dtype=np.float64))


def shifted_geometric_mean(values: ArrayLike, shift: float) -> float:
    """The shifted geometric mean, exp(mean(log(values + shift))) - shift.

    It is a mean of ratios in which times far below ``shift`` hardly count.

    Parameters
    ----------
    values : array_like
        Seconds >= 0, (solves,), at least one.
    shift : float
        Seconds. With 0 this is the geometric mean.

    Examples
    --------
    >>> round(shifted_geometric_mean([0.0, 3.0], shift=1.0), 12)
    1.0
    """
    x = np.asarray(values, dtype=np.float64)
    return float(np.exp(np.log(x + shift).mean()) - shift)


def par10(seconds: ArrayLike, solved: ArrayLike, limit: ArrayLike) -> float:
    """The mean of the seconds, with ten time limits for each solve that is not solved.

    This is the penalised average runtime.
    """
    return float(counted(seconds, solved, limit, PENALTY).mean())


def performance_ratios(seconds: ArrayLike, solved: ArrayLike) -> Array:
    """Seconds of each variant over those of the quickest on the same problem.

    Parameters
    ----------
    seconds, solved : array_like
        Seconds > 0, and whether it is solved, (problems, variants).

    Returns
    -------
    Array
        Ratios, infinite where not solved. Where no variant solves a problem its row is infinite.

    References
    ----------
    Dolan, Moré: Benchmarking optimization software with performance profiles, 2002.

    Examples
    --------
    >>> performance_ratios([[1.0, 4.0], [9.0, 2.0]], [[True, True], [False, True]]).tolist()
    [[1.0, 4.0], [inf, 1.0]]
    """
    times = np.where(np.asarray(solved, dtype=bool), np.asarray(seconds, dtype=np.float64), np.inf)
    best = times.min(axis=1, keepdims=True)
    ratios: Array = np.divide(times, best, out=np.full_like(times, np.inf), where=np.isfinite(times))
    return ratios


def steps(values: ArrayLike, total: int) -> tuple[Array, Array]:
    """The share of ``total`` that has at most each value.

    Of performance ratios this is the performance profile, of seconds a cactus plot, of gaps the gaps at the limit.

    Returns
    -------
    tuple of Array
        Values in order, without infinite ones, and shares, (values,) each.

    Examples
    --------
    >>> [part.tolist() for part in steps([4.0, 1.0, float("inf"), 1.0], total=4)]
    [[1.0, 1.0, 4.0], [0.25, 0.5, 0.75]]
    """
    x = np.asarray(values, dtype=np.float64)
    x = np.sort(x[np.isfinite(x)])
    return x, np.arange(1, len(x) + 1) / total


@dataclass(frozen=True)
class Ratio:
    """The ratio of two shifted geometric means, and its bootstrap interval.

    Parameters
    ----------
    before, after : float
        The two means.
    ratio : float
        After over before.
    low, high : float
        Ends of the interval.
    """

    before: float
    after: float
    ratio: float
    low: float
    high: float


def paired_ratio(
    before: ArrayLike,
    after: ArrayLike,
    group: ArrayLike,
    shift: float,
    *,
    draws: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> Ratio:
    """The ratio of the shifted geometric means of paired seconds, with an interval.

    Parameters
    ----------
    before, after : array_like
        Seconds of the same problems, (pairs,).
    group : array_like
        The instance of each pair, (pairs,). Instances are drawn with replacement, each with all its
        pairs, because seeds of one instance are not independent.
    shift : float
        Seconds, as in :func:`shifted_geometric_mean`.
    draws : int, default 10000
        Draws of the bootstrap.
    level : float, default 0.95
        Level of its percentile interval.
    seed : int, default 0
        Seed of the draws.

    Returns
    -------
    Ratio
        One instance gives an interval without width: there is nothing to draw from.
    """
    x, y = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    _, which = np.unique(np.asarray(group), return_inverse=True)
    sizes = np.bincount(which).astype(np.float64)
    logs = [np.bincount(which, np.log(side + shift)) for side in (x, y)]
    taken = np.random.default_rng(seed).integers(len(sizes), size=(draws, len(sizes)))
    pairs = sizes[taken].sum(axis=1)
    first, second = (np.exp(log[taken].sum(axis=1) / pairs) - shift for log in logs)
    low, high = np.quantile(second / first, [(1 - level) / 2, (1 + level) / 2])
    means = [shifted_geometric_mean(side, shift) for side in (x, y)]
    return Ratio(means[0], means[1], means[1] / means[0], float(low), float(high))


def contradictions(objectives: ArrayLike, bounds: ArrayLike, tolerance: float = 1e-6) -> list[tuple[int, int]]:
    """Pairs (i, j) of which the lower bound of i lies above the objective of j.

    One of the two is wrong. Two solves that claim to be optimal within a gap disagree exactly if
    this holds. Their ranges from bound to objective then do not meet.

    Parameters
    ----------
    objectives, bounds : array_like
        Those of one minimisation problem, (solves,), NaN where unknown.
    tolerance : float, default 1e-6
        Relative to the objective, or absolute below 1.

    Examples
    --------
    >>> contradictions([1.0, 1.2, float("nan")], [0.9, 1.1, 0.5])
    [(1, 0)]
    """
    value, bound = np.asarray(objectives, dtype=np.float64), np.asarray(bounds, dtype=np.float64)
    excess = bound[:, None] - value[None, :]
    found = np.argwhere(excess > tolerance * np.maximum(1.0, np.abs(value))[None, :])
    return [(int(i), int(j)) for i, j in found]
