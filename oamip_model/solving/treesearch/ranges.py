"""Bounds of a tree's node by interval arithmetic.

Where a program has values from 1 to 1e9, any point is within a solver's tolerances. Intervals have none. Where all
scores are fixed they are the forward pass, up to rounding (mathematics:tree-6).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from oamip_model.bounds.interval import OUTWARD
from oamip_model.formulation.layout import Expressions
from oamip_model.formulation.program import Program
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled


class _Ends:
    """Affine expressions over intervals."""

    def __init__(self, expressions: Expressions) -> None:
        self.rising, self.falling = expressions.matrix.copy(), expressions.matrix.copy()
        for part, clipped in ((self.rising, np.maximum), (self.falling, np.minimum)):
            part.data = clipped(part.data, 0.0)
            part.eliminate_zeros()
        self.constant = expressions.constant

    def over(self, low: Array, high: Array) -> tuple[Array, Array]:
        """Both ends (rows,) of the expressions for low <= variables <= high, with their rounding."""
        most = np.maximum(np.abs(low), np.abs(high))
        error = OUTWARD * (self.rising @ most - self.falling @ most + np.abs(self.constant))
        least = self.rising @ low + self.falling @ high + self.constant - error
        return least, self.rising @ high + self.falling @ low + self.constant + error


class Ranges:
    """Lower bounds of nodes of a program in a sound gate, by intervals.

    A score of 0 makes the activation 0. A score of 1 leaves it as trained, and an open one makes it
    anything between the two. So the bounds are valid whatever a fraction means in the gate.

    Parameters
    ----------
    program : Program
        The program.
    compiled : Compiled
        Its arrays.

    Attributes
    ----------
    usable : bool
        Whether intervals prove anything here.
    """

    def __init__(self, program: Program, compiled: Compiled) -> None:
        self.program = program
        self.usable = program.gate.sound and compiled.whole
        if not self.usable:
            return
        layout, m = program.layout, program.model
        self.s, self.z = compiled.columns(m.s), compiled.columns(m.z)
        self.a, self.h = compiled.columns(m.a), compiled.columns(m.h)
        self.losses = None if program.losses is None else compiled.columns(program.losses)
        self.cost, self.offset = compiled.arrays.cost, compiled.arrays.offset
        self.pre, self.entries = _Ends(layout.pre_rows), _Ends(layout.pooled.entries)
        # Differences to the label's logit: what the logits have in common is in no loss.
        classes = len(m.CLASS)
        # A single logit has no other one, and its labels are numbers.
        own = program.labels if classes > 1 else np.zeros(program.images, dtype=np.int64)
        label = np.repeat(np.arange(program.images) * classes + own, classes)
        logits = layout.logits
        matrix, constant = logits.matrix - logits.matrix[label], logits.constant - logits.constant[label]
        leads = Expressions(sp.csr_array(matrix), constant)
        leads.matrix.eliminate_zeros()
        self.leads, self.logits = leads, _Ends(logits)
        self.lead_ends = _Ends(leads)

    def least(self, lower: Array, upper: Array) -> float:
        """A lower bound of a node's objective.

        Parameters
        ----------
        lower, upper : array
            Bounds (columns,) of the instance in the node.

        Returns
        -------
        float
            The bound, inf where the node has no point.
        """
        if not self.usable:
            return -np.inf
        found = self._values(lower, upper)
        if found is None:
            return np.inf
        lower = lower.copy()
        if self.losses is not None:
            lower[self.losses] = np.maximum(lower[self.losses], self._losses(*found))
        costly = np.flatnonzero(self.cost)
        terms = self.cost[costly] * np.where(self.cost[costly] > 0, lower[costly], upper[costly])
        size = float(np.abs(terms).sum()) + abs(self.offset)
        return float(terms.sum()) + self.offset - OUTWARD * size if np.isfinite(size) else -np.inf

    def _values(self, lower: Array, upper: Array) -> tuple[Array, Array] | None:
        """The ends of s, a and h in turn, (variables,) each. None where the node has no point."""
        layout, g = self.program.layout, self.program.layout.gated
        scored, stated = g.score >= 0, g.state >= 0
        kept, gone, on, off = ~scored, np.zeros_like(scored), np.zeros_like(stated), np.zeros_like(stated)
        kept[scored] = lower[self.s][g.score[scored]] >= 1.0
        gone[scored] = upper[self.s][g.score[scored]] <= 0.0
        on[stated] = lower[self.z][g.state[stated]] >= 1.0
        off[stated] = upper[self.z][g.state[stated]] <= 0.0
        pooled, starts = np.unique(layout.pooled.act, return_index=True)
        a = np.maximum(lower[self.a], layout.pre_lower), np.minimum(upper[self.a], layout.pre_upper)
        h = lower[self.h].copy(), upper[self.h].copy()
        units = lower[self.s], upper[self.s]
        # Values settle one layer further with each pass, so a pass that changes nothing is the last.
        while True:
            ends = tuple(np.concatenate(part) for part in zip(units, a, h, strict=True))
            low, high = self.pre.over(*ends)
            low, high = np.maximum(low, a[0]), np.minimum(high, a[1])
            # State 1 says that h <= a, with h >= 0; state 0 that h = 0, where h >= a once the score is 1.
            np.maximum.at(low, g.pre[on], 0.0)
            np.minimum.at(high, g.pre[off & kept], 0.0)
            if (low > high).any():
                return None
            least, most = h[0].copy(), h[1].copy()
            above, below = np.maximum(high[g.pre], 0.0), np.maximum(low[g.pre], 0.0)
            most[g.act] = np.minimum(most[g.act], np.where(gone | off, 0.0, above))
            least[g.act] = np.maximum(least[g.act], np.where(kept & ~off, below, 0.0))
            if len(pooled):
                under, over = (np.maximum.reduceat(end, starts) for end in self.entries.over(*ends))
                least[pooled], most[pooled] = np.maximum(least[pooled], under), np.minimum(most[pooled], over)
            if (least > most).any():
                return None
            before, a, h = (*a, *h), (low, high), (least, most)
            if all(np.array_equal(*pair) for pair in zip(before, (*a, *h), strict=True)):
                return ends[0], ends[1]

    def _losses(self, low: Array, high: Array) -> Array:
        """Lower bounds of the losses, (n,), over these ends of s, a and h."""
        p, shape = self.program, (self.program.images, -1)
        margin = float(p.model.margin.value)
        under, over = (end.reshape(shape) for end in self.logits.over(low, high))
        best = p.loss.best(under, over, p.labels)
        found = np.full(p.images, -np.inf) if best is None else p.loss.values(best, p.labels, margin)
        found = found - OUTWARD * np.abs(found)
        if not p.by_rounds:
            return np.asarray(found)
        # The loss is at least its tangent, here near the least leads, and that is an expression in the variables.
        points = self.lead_ends.over(low, high)[0].reshape(shape)
        slopes, level = p.loss.tangents(points, p.labels, margin)
        rows = sp.csr_array(sp.block_diag([row[None] for row in slopes], format="csr"))
        whole = Expressions(sp.csr_array(rows @ self.leads.matrix), rows @ self.leads.constant + level)
        # In a loss with a slope along (1, ..., 1) the logits count themselves, too.
        even = np.abs(slopes.sum(axis=1)) <= OUTWARD * np.abs(slopes).sum(axis=1)
        return np.where(even, np.maximum(found, _Ends(whole).over(low, high)[0]), found)
