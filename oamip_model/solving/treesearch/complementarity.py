"""The linear programs of a search tree without the columns of ReLU states.

Instead, each ReLU has two columns of which one has to be 0 (mathematics:tree-1..2).

With d = h - a', where a' is the gated pre-activation, a ReLU is h, d >= 0 and h d = 0. State 1 is d
= 0, and state 0 is h = 0. So the tree branches on bounds of h and d. The programs need no z and,
mostly, no a.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from oamip_model.formulation.layout import Index
from oamip_model.formulation.program import Program
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled
from oamip_model.solving.protocol import Arrays

_REPLACED = ("relu_lower", "relu_upper", "relu_state", "relu_score", "relu_shift")
"""Rows of gated ReLUs that this program replaces."""
_POOLED = ("pool_lower", "pool_upper", "pool_choice")
_ZERO = 1e-8
"""Largest h or d, relative to its upper bound, that counts as 0."""


class Complementary:
    """The program of an instance with d in the place of z.

    This is done for the ReLUs that the gate calls complementary.

    Projected on the columns without z, the relaxation of the rows with z is h / U + d / D <= 1.
    Here D = M - L is the largest d. The column of z becomes that of d. An a that is in no other row
    becomes an empty column, so that all columns keep their numbers.

    Parameters
    ----------
    program : Program
        The program of the instance.
    compiled : Compiled
        Its arrays.

    Attributes
    ----------
    arrays : Arrays
        The program with d, all of it continuous.
    """

    def __init__(self, program: Program, compiled: Compiled) -> None:
        self.full = compiled.arrays
        instance, g, columns = program.model, program.layout.gated, compiled.columns
        at = self._entries(program, compiled)
        scored = g.score[at] >= 0
        self.h, self.d = columns(instance.h).start + g.act[at], columns(instance.z).start + g.state[at]
        self.s = np.where(scored, columns(instance.s).start + g.score[at], 0)
        self.scale = program.gate.shift(g)[at]
        self.lower, self.upper = g.lower[at], g.upper[at]
        self.most = self.scale - self.lower
        self.arrays = self.full
        if not len(at):
            return
        own = compiled.rows_of(instance.preactivation)
        assert own is not None
        # The relaxation "hull" separates these rows as cuts, so they are not stated where there are cuts.
        shifts = program.rows("relu_shift") is not None and program.hull_cuts is None
        shifted = np.flatnonzero(scored & shifts)
        gone, pre = _replaced(program, compiled, at), columns(instance.a).start + g.pre[at]
        self.arrays = self._arrays(gone, pre, own.start + g.pre[at], np.flatnonzero(scored), shifted)

    @staticmethod
    def _entries(program: Program, compiled: Compiled) -> Index:
        """The gated ReLUs whose state is only in rows that are replaced."""
        if not has_its_rows(program, compiled):
            return np.zeros(0, dtype=np.int64)
        g = program.layout.gated
        at = np.flatnonzero((g.state >= 0) & program.gate.complementary(g))
        states = compiled.columns(program.model.z).start + g.state[at]
        matrix = compiled.arrays.matrix
        rest = np.setdiff1d(np.arange(matrix.shape[0]), _replaced(program, compiled, at))
        others = np.diff(sp.csc_array(matrix[rest]).indptr)
        return np.asarray(at[(others[states] == 0) & (compiled.arrays.cost[states] == 0)], dtype=np.int64)

    def _arrays(self, gone: Index, pre: Index, own: Index, scored: Index, shifted: Index) -> Arrays:
        """The program with d in the place of z, without the rows ``gone``.

        For each ReLU, ``pre`` is the column of a, and ``own`` the row that defines it. The ReLUs in
        ``scored`` have a score, and those in ``shifted`` the row ``relu_shift``.
        """
        full, count, width = self.full, len(self.h), len(self.full.cost)
        kept = np.ones(full.matrix.shape[0], dtype=bool)
        kept[gone] = False
        in_rows = np.diff(sp.csc_array(full.matrix[kept]).indptr)
        free = np.isinf(full.lower) & np.isinf(full.upper) & (full.cost == 0)
        single = (in_rows[pre] == 1) & free[pre]
        self.single, self.empty = np.flatnonzero(single), pre[single]

        def rows(of_h: Array, of_d: Array, of_s: Array, of_a: Array | float = 0.0) -> sp.csr_array:
            """One row for each ReLU."""
            columns, values = (self.h, self.d, self.s, pre), np.broadcast_arrays(of_h, of_d, of_s, of_a)
            entries = np.concatenate(values), (np.tile(np.arange(count), len(values)), np.concatenate(columns))
            made = sp.csr_array(entries, shape=(count, width))
            made.eliminate_zeros()
            return made

        one, none, below = np.ones(count), np.zeros(count), np.full(count, -np.inf)
        # h - d - M s - a = -M. Its sum with the row that defines a has no a, which is dropped if no other row has it.
        gate = rows(one, -one, -self.scale, -1.0)
        place = sp.csr_array((one[single], (own[single], self.single)), shape=(len(kept), count))
        moved, shift = sp.csr_array(full.matrix + place @ gate), place @ -self.scale
        # From relu_shift, h <= a - L (1 - z), with the bound z >= h / U, or z <= 1 - d / D where L > 0.
        low = np.minimum(self.lower, 0.0)
        by_shift = rows(-low / self.upper / self.most, one / self.most, (self.scale + low - self.lower) / self.most)
        blocks = [
            (moved[kept], (full.row_lower + shift)[kept], (full.row_upper + shift)[kept]),
            (gate[~single], -self.scale[~single], -self.scale[~single]),
            (rows(one / self.upper, one / self.most, none), below, one),
            (rows(one, none, -self.upper)[scored], below[scored], none[scored]),
            (by_shift[shifted], below[shifted], one[shifted]),
        ]
        matrices, row_lower, row_upper = zip(*blocks, strict=True)
        matrix = sp.csr_array(sp.vstack(matrices, format="csr"))
        matrix.eliminate_zeros()
        lower, upper = self.bounds(full.lower, full.upper)
        return replace(
            full, matrix=matrix, row_lower=np.concatenate(row_lower), row_upper=np.concatenate(row_upper), lower=lower,
            upper=upper, integral=np.zeros(width, dtype=bool),
        )  # fmt: skip

    def bounds(self, lower: Array, upper: Array) -> tuple[Array, Array]:
        """Bounds of the columns of this program, from those of the instance.

        Parameters
        ----------
        lower, upper : array
            Bounds (columns,) of the instance's columns in a node.

        Returns
        -------
        lower, upper : array
            Bounds (columns,) of h, d and all other columns.
        """
        low, high = lower.copy(), upper.copy()
        if len(self.h):
            low[self.d], high[self.d] = 0.0, np.where(lower[self.d] > 0, 0.0, self.most)
            high[self.h] = np.where(upper[self.d] < 1, 0.0, high[self.h])
            low[self.empty] = high[self.empty] = 0.0
        return low, high

    def point(self, x: Array) -> Array:
        """A point of the instance, from one of this program.

        Parameters
        ----------
        x : array
            A point (columns,) of this program.

        Returns
        -------
        array
            The point (columns,). Its z is whole where h or d is 0.
        """
        x = x.copy()
        if len(self.h):
            h, d = np.maximum(x[self.h], 0.0), np.maximum(x[self.d], 0.0)
            x[self.empty] = (h - d + self.scale * (1.0 - x[self.s]))[self.single]
            both = (h > _ZERO * self.upper) & (d > _ZERO * self.most)
            x[self.d] = np.where(both, h / np.where(both, h + d, 1.0), h >= d)
        return x


def has_its_rows(program: Program, compiled: Compiled) -> bool:
    """Whether all rows that define ReLUs and max pooling are active.

    Parameters
    ----------
    program : Program
        The program, some of whose rows a user may have deactivated.
    compiled : Compiled
        Its arrays.

    Returns
    -------
    bool
        False where one of them is not in the arrays.
    """
    parts = [program.rows(name) for name in ("preactivation", *_REPLACED, *_POOLED)]
    return not any(part is not None and compiled.rows_of(part) is None for part in parts)


def _replaced(program: Program, compiled: Compiled, entries: Index) -> Index:
    """The rows of the arrays that are replaced for some gated ReLUs."""
    layout = program.layout
    names = {layout.act[k] for k in layout.gated.act[entries].tolist()}
    parts = [np.zeros(0, dtype=np.int64)]
    for component in filter(None, map(program.rows, _REPLACED)):
        where = compiled.rows_of(component)
        assert where is not None
        parts.append(where.start + np.flatnonzero([name in names for name in component.rows.names]))
    return np.concatenate(parts)
