"""Which column a search tree branches on, by pseudo-costs.

They are measured at first by solving both sides.
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


@dataclass(order=True)
class Node:
    """An open node: its bound, its number, and the bounds of the columns that differ from the root's."""

    bound: float
    number: int
    fixed: Mapping[int, float] = field(compare=False)


@dataclass(frozen=True)
class Choice:
    """A column to branch on, and by how much the bound rises at least.

    It rises on its two sides, down and up.
    """

    column: int
    gains: tuple[float, float]


class PseudoCosts:
    """By how much the bound rose for each column and side.

    It counts per unit that the column's value was moved.
    """

    def __init__(self, columns: int, tried: int = 30, reliable: int = 2) -> None:
        self.tried, self.reliable = tried, reliable
        self.total = np.zeros((columns, 2))
        self.times = np.zeros((columns, 2))

    def learn(self, column: int, side: int, moved: float, gain: float) -> None:
        """Note that the bound rose by ``gain`` on a side (0 down, 1 up).

        The side moved the column's value by ``moved``.
        """
        self.total[column, side] += gain / max(moved, 1e-3)
        self.times[column, side] += 1

    def gains(self, columns: Array, moved: Array) -> Array:
        """Expected gains of both sides, (columns, 2).

        Values are moved by ``moved`` (columns, 2).
        """
        mean = self.total.sum(axis=0) / np.maximum(self.times.sum(axis=0), 1)
        times = self.times[columns]
        known = self.total[columns] / np.maximum(times, 1)
        return np.asarray(np.where(times > 0, known, mean) * moved)

    def candidates(self, columns: Array, value: Array, urgency: Array) -> Array:
        """The columns worth trying, the best first: at most ``tried`` of them.

        Half are the best by expected gains, half by ``urgency``.
        """
        product = np.maximum(self.gains(columns, _moves(value)), _LEAST).prod(axis=1)
        by_gain = columns[np.argsort(-product, kind="stable")][: self.tried // 2]
        by_urgency = columns[np.argsort(-urgency, kind="stable")][: self.tried]
        both = np.concatenate([by_gain, by_urgency])
        _, first = np.unique(both, return_index=True)
        return np.asarray(both[np.sort(first)][: self.tried])

    def choose(self, candidates: Array, value: Array, try_side: Callable[[int, int], float], most: float) -> Choice:
        """The column whose sides raise the bound most, by the product of the two.

        value: (candidates,); try_side: solves a side and gives the rise, at least ``most`` where the side holds nothing
        better than what is known. The first column with such a side is chosen at once.
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
    """How far from the network a relaxation's optimum x is at each column.

    For a state it is by how much its ReLU's output is off, relative to the largest such; for other columns, how
    fractional they are. x and the result have the shape (columns,).
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
    """A column to branch on that looks whole at the optimum x (columns,), and its side there; None where all are fixed.

    A program whose values reach from 1e-9 to 1e9 hides a wrong state within its tolerances, but not once the column is
    fixed. Scores come before states. integral: (columns,); scores: their columns; x: None if the linear program failed.
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
    """How far values are moved to the next whole numbers below and above, (columns, 2)."""
    down = value - np.floor(value)
    return np.stack([down, 1.0 - down], axis=1)
