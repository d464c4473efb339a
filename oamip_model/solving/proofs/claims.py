"""Known points of a program, against which the claims of a solver are tested.

The forward pass of any scores is a point of the program, and its objective an upper bound of the
optimum. It refutes a dual bound above it, whichever solver states the bound (mathematics:cert-5).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from oamip_model.formulation.gates import gate_named
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_points
from oamip_model.solving.protocol import Arrays

FEASIBLE = 1e-6
"""Largest violation of a row or bound by a point that counts as feasible, relative to the terms
that are summed in it."""
_BATCH = 64
"""Points whose forward passes are computed together."""
LISTED = 2**10
"""Choices of whole scores up to which all are tried. That takes less time than a search tree's first branching."""
_LISTED_WORK = 1e7
"""Multiplications, about, that the forward passes of all choices may take."""
_WORK = 2e9
"""Multiplications, about, that all flips of an incumbent's scores may take. Beyond it, only the
scores nearest to the other side are flipped."""


def breach(arrays: Arrays, x: Array) -> Array:
    """The largest violation of a row, a bound or integrality by each point.

    Violations of rows and bounds are relative to the absolute values of the terms that are summed
    in them. So they mean the same at every scale of the weights.

    Parameters
    ----------
    arrays : Arrays
        The program.
    x : array
        Points (columns, k).

    Returns
    -------
    array
        Violations (k,), infinite for a point with NaN.
    """
    activity, size = arrays.matrix @ x, abs(arrays.matrix) @ np.abs(x)
    worst = np.zeros(x.shape[1])
    sides = (
        (arrays.row_lower[:, None] - activity, arrays.row_lower, size),
        (activity - arrays.row_upper[:, None], arrays.row_upper, size),
        (arrays.lower[:, None] - x, arrays.lower, np.abs(x)),
        (x - arrays.upper[:, None], arrays.upper, np.abs(x)),
    )
    for excess, limit, terms in sides:
        finite = np.isfinite(limit)
        if finite.any():
            above = np.maximum(excess[finite], 0.0)
            whole = terms[finite] + np.abs(limit[finite])[:, None]
            worst = np.maximum(worst, np.divide(above, whole, out=np.zeros_like(above), where=above > 0).max(axis=0))
    if arrays.integral.any():
        integral = x[arrays.integral]
        worst = np.maximum(worst, np.abs(integral - np.round(integral)).max(axis=0))
    return np.asarray(np.where(np.isnan(worst), np.inf, worst))


def best_of(compiled: Compiled, scores: Array, base: Array | None) -> tuple[Array, float] | None:
    """The best feasible point of several vectors of scores, and its objective.

    Parameters
    ----------
    compiled : Compiled
        The arrays of the instance.
    scores : array
        Scores (units, k).
    base : array, optional
        A point (columns,) whose values the variables of a user get.

    Returns
    -------
    tuple or None
        The point (columns,) and its objective, None where none is feasible.
    """
    best: tuple[Array, float] | None = None
    arrays = compiled.arrays
    for first in range(0, scores.shape[1], _BATCH):
        points = complete_points(compiled, scores[:, first : first + _BATCH], base)
        values = np.where(breach(arrays, points) <= FEASIBLE, arrays.cost @ points + arrays.offset, np.inf)
        at = int(np.argmin(values))
        if np.isfinite(values[at]) and (best is None or values[at] < best[1]):
            best = points[:, at], float(values[at])
    return best


def settled_by_scores(compiled: Compiled) -> bool:
    """Whether the scores alone decide the objective, and all of them are integral.

    In the sound gates the forward pass is the best point of its scores. So this is the case where
    all states are integral too, and a user has added no variables.

    Parameters
    ----------
    compiled : Compiled
        The arrays of the instance.

    Returns
    -------
    bool
        Whether trying all whole scores solves the instance.
    """
    m, arrays = compiled.model, compiled.arrays
    if not gate_named(m.gate).sound:
        return False
    sure = [compiled.columns(getattr(m, name)) for name in ("a", "h", "o", "t", "level", "excess") if hasattr(m, name)]
    free = [compiled.columns(getattr(m, name)) for name in ("v", "w") if hasattr(m, name)]
    whole = [compiled.columns(getattr(m, name)) for name in ("s", "z", "q")]
    own = sum(part.stop - part.start for part in (*sure, *free, *whole))
    costly = [arrays.cost[part].any() for part in (*free, *whole[1:])]
    return own == len(arrays.cost) and not any(costly) and all(arrays.integral[part].all() for part in whole)


def choices(compiled: Compiled, lower: Array, upper: Array) -> Array | None:
    """All vectors of whole scores within bounds of the columns.

    Parameters
    ----------
    compiled : Compiled
        The arrays of the instance.
    lower, upper : array
        Bounds (columns,) of all columns.

    Returns
    -------
    array or None
        Scores (units, k), None where they are too many to try.
    """
    at = compiled.columns(compiled.model.s)
    low, free = lower[at], np.flatnonzero(lower[at] < upper[at])
    if 2.0 ** len(free) > max(1.0, min(LISTED, _LISTED_WORK / max(compiled.arrays.matrix.nnz, 1))):
        return None
    count = 2 ** len(free)
    scores = np.repeat(low[:, None], count, axis=1)
    scores[free] += np.arange(count) >> np.arange(len(free))[:, None] & 1
    return scores


def flips(arrays: Arrays, scores: Array, columns: slice) -> Iterator[Array]:
    """The scores with a single one moved to 0 or to 1, except those that are fixed.

    Parameters
    ----------
    arrays : Arrays
        The program.
    scores : array
        Scores (units,).
    columns : slice
        The columns of the scores.

    Yields
    ------
    array
        Blocks of scores (units, k).
    """
    lower, upper = arrays.lower[columns], arrays.upper[columns]
    sides = [(u, side) for side in (0.0, 1.0) for u in range(len(scores))]
    moves = [(u, side) for u, side in sides if lower[u] <= side <= upper[u] and scores[u] != side]
    most = max(1, int(_WORK / max(arrays.matrix.nnz, 1)))
    if len(moves) > most:
        moves = sorted(moves, key=lambda move: abs(scores[move[0]] - move[1]))[:most]
    for first in range(0, len(moves), _BATCH):
        part = moves[first : first + _BATCH]
        block = np.repeat(scores[:, None], len(part), axis=1)
        for k, (u, side) in enumerate(part):
            block[u, k] = side
        yield block
