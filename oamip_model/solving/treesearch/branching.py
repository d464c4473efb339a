"""The choice of a column to branch on in a search tree, by pseudo-costs.

Solving both sides of a column measures its pseudo-costs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oamip_model.formulation.program import Program
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled

_LEAST = 1e-7
"""A rise of the bound below this counts as this, so that products of rises are above 0."""


@dataclass(order=True)
class Node:
    """An open node of a search tree.

    Parameters
    ----------
    bound : float
        Its dual bound.
    number : int
        Its place in the order in which nodes were made, which decides between equal bounds.
    fixed : mapping of int to float
        Values of the columns that branching has fixed.
    """

    bound: float
    number: int
    fixed: Mapping[int, float] = field(compare=False)


@dataclass(frozen=True)
class Choice:
    """A column to branch on.

    Parameters
    ----------
    column : int
        The column.
    gains : tuple of float
        Proved rises of the bound on its two sides, down and up.
    """

    column: int
    gains: tuple[float, float]


class PseudoCosts:
    """The mean rises of the bound on the two sides of each column.

    They are per unit that the column's value is moved.

    Parameters
    ----------
    columns : int
        Number of columns.
    tried : int, default 30
        Columns at most whose two sides are solved for one choice.
    reliable : int, default 2
        Times that both sides of a column are solved before its pseudo-costs take their place.
    """

    def __init__(self, columns: int, tried: int = 30, reliable: int = 2) -> None:
        self.tried, self.reliable = tried, reliable
        self.total = np.zeros((columns, 2))
        self.times = np.zeros((columns, 2))

    def learn(self, column: int, side: int, moved: float, gain: float) -> None:
        """Record how much the bound rose on one side of a column.

        Parameters
        ----------
        column : int
            The column.
        side : {0, 1}
            Down (0) or up (1).
        moved : float
            The distance by which the side moved the column's value.
        gain : float
            The rise of the bound.
        """
        self.total[column, side] += gain / max(moved, 1e-3)
        self.times[column, side] += 1

    def gains(self, columns: Array, moved: Array) -> Array:
        """Expected rises of the bound on both sides of some columns.

        Parameters
        ----------
        columns : array of int
            The columns (k,).
        moved : array
            Distances (k, 2) by which the sides move their values.

        Returns
        -------
        array
            Rises (k, 2).
        """
        mean = self.total.sum(axis=0) / np.maximum(self.times.sum(axis=0), 1)
        times = self.times[columns]
        known = self.total[columns] / np.maximum(times, 1)
        return np.asarray(np.where(times > 0, known, mean) * moved)

    def candidates(self, columns: Array, value: Array, urgency: Array) -> Array:
        """The columns whose two sides are solved before one is chosen, the best first.

        Half of them have the best expected rises, and half the highest urgency.

        Parameters
        ----------
        columns : array of int
            Fractional columns (k,).
        value : array
            Their values (k,).
        urgency : array
            Their urgency (k,).

        Returns
        -------
        array of int
            At most ``tried`` columns.
        """
        product = np.maximum(self.gains(columns, _moves(value)), _LEAST).prod(axis=1)
        by_gain = columns[np.argsort(-product, kind="stable")][: self.tried // 2]
        by_urgency = columns[np.argsort(-urgency, kind="stable")][: self.tried]
        both = np.concatenate([by_gain, by_urgency])
        _, first = np.unique(both, return_index=True)
        return np.asarray(both[np.sort(first)][: self.tried])

    def choose(self, candidates: Array, value: Array, try_side: Callable[[int, int], float], most: float) -> Choice:
        """The column whose two sides raise the bound most, by the product of the rises.

        A side that raises the bound to the cutoff holds no better point. The first column with such
        a side is chosen at once.

        Parameters
        ----------
        candidates : array of int
            The columns (k,).
        value : array
            Their values (k,).
        try_side : callable
            Solves one side of a column and gives the rise.
        most : float
            The rise that reaches the cutoff.

        Returns
        -------
        Choice
            The column, with the rises that were proved.
        """
        best: tuple[float, Choice] | None = None
        moves = _moves(value)
        for k, column in enumerate(candidates.tolist()):
            if self.times[column].min() >= self.reliable:
                down, up = self.gains(np.array([column]), moves[k][None])[0].tolist()
                found = 0.0, 0.0
            else:
                down, up = (try_side(column, side) for side in (0, 1))
                for side, gain in enumerate((down, up)):
                    if np.isfinite(min(gain, most)):
                        self.learn(column, side, float(moves[k, side]), min(gain, most))
                found = down, up
                if max(found) >= most:
                    return Choice(column, found)
            product = max(down, _LEAST) * max(up, _LEAST)
            if best is None or product > best[0]:
                best = product, Choice(column, found)
        assert best is not None
        return best[1]


def urgency(program: Program, compiled: Compiled, x: Array) -> Array:
    """The error of a relaxation's optimum at each column.

    For the column of a ReLU's state it is the error of the ReLU's output, relative to the largest
    such error. For other columns it is the distance from the nearest whole number.

    Parameters
    ----------
    program : Program
        The program.
    compiled : Compiled
        Its arrays.
    x : array
        The optimum (columns,).

    Returns
    -------
    array
        Urgency (columns,).
    """
    urgent = 2.0 * np.abs(x - np.round(x))
    m, columns, g = program.model, compiled.columns, program.layout.gated
    at = np.flatnonzero(g.state >= 0)
    if len(at):
        a, h = x[columns(m.a)][g.pre[at]], x[columns(m.h)][g.act[at]]
        s = np.where(g.score[at] >= 0, x[columns(m.s)][g.score[at]], 1.0)
        off = np.abs(h - program.gate.output(a, s, g.scale[at]))
        urgent[columns(m.z).start + g.state[at]] = off / max(float(off.max()), 1e-9)
    return urgent


def whole_column(
    integral: NDArray[np.bool_], scores: slice, x: Array | None, lower: Array, upper: Array
) -> tuple[int, float] | None:
    """A column to branch on where all integral columns look whole, and its first side.

    In a program whose values reach from 1e-9 to 1e9 a wrong state can lie within the tolerances. It
    cannot once the column is fixed. Scores come before states.

    Parameters
    ----------
    integral : array of bool
        Whether each column is integral, (columns,).
    scores : slice
        The columns of the scores.
    x : array, optional
        The optimum (columns,), None where the linear program failed.
    lower, upper : array
        Bounds (columns,) of the node.

    Returns
    -------
    tuple or None
        Column and value, None where all integral columns are fixed.
    """
    free = np.flatnonzero(integral & (lower < upper))
    if not len(free):
        return None
    first = free[(free >= scores.start) & (free < scores.stop)]
    among = first if len(first) else free
    if x is None:
        return int(among[0]), float(upper[among[0]])
    off = np.abs(x[among] - np.round(x[among]))
    at = int(among[off.argmax()])
    return at, float(np.clip(np.round(x[at]), lower[at], upper[at]))


def _moves(value: Array) -> Array:
    """The distances from values (k,) to the next whole numbers below and above, (k, 2)."""
    down = value - np.floor(value)
    return np.stack([down, 1.0 - down], axis=1)
