"""Makes a layout, with variables only for what bounds and images leave open.

It walks through the network.

Each layer's output is kept as expressions in the variables so far; the next layer's affine map is applied to those. So
a pre-activation that is constant for an image, a ReLU that is always on or off, and everything affine, cost no
variable.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.bounds import Bounds
from oamip_model.clock import expect, tick
from oamip_model.formulation.entries import Entries
from oamip_model.formulation.gates.base import Gate, Relus
from oamip_model.formulation.layout import Expressions, Gated, Index, Layout, Pooled
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Layer, Network


def arrange(network: Network, images: Array, bounds: Bounds, sound: Bounds, gate: Gate) -> Layout:
    """The layout of the program for some images.

    Parameters
    ----------
    network : Network
        The network.
    images : array
        Images (n, *input_shape).
    bounds : Bounds
        L and U, valid for the gate.
    sound : Bounds
        Interval bounds that hold for every score. They fix the scale M of the sound gates, and
        bound the inputs of max pooling.
    gate : Gate
        The gate.

    Returns
    -------
    Layout
        Index sets, bounds and expressions.
    """
    return _Arrangement(network, images, bounds, sound, gate).run()


_ENTRY_SECONDS = 4e-6
"""Seconds that the rows of one activation take at least."""
_DENSE = 5e6
"""Multiplications from which a product of matrices with few zeros is quicker as one of dense matrices."""


class _Arrangement(Entries):
    def __init__(self, network: Network, images: Array, bounds: Bounds, sound: Bounds, gate: Gate) -> None:
        super().__init__(network, len(images))
        self.images, self.bounds, self.sound, self.gate = images, bounds, sound, gate

    def run(self) -> Layout:
        for k, layer in enumerate(self.network.layers):
            tick(f"building layer {layer.name}")
            expect(_ENTRY_SECONDS * self.n * layer.size, f"the rows of layer {layer.name}")
            rows = self.affine(layer)
            if layer.activation == "relu":
                out = self.relu(k, layer, rows)
            elif layer.activation == "max":
                out = self.maximum(k, layer, rows)
            else:
                out = rows
            self.outputs.append(out)
        layout = self.finish()
        layout.cutoff = None if self.bounds.cutoff is None else self.bounds.cutoff.objective
        return layout

    def affine(self, layer: Layer) -> Expressions:
        """The layer's pre-activations as expressions, (n x pre-activations)."""
        positions = int(np.prod(layer.pre_shape)) // len(layer.bias)
        constant = np.tile(np.repeat(layer.bias, positions), self.n)
        parts: list[sp.csr_array] = []
        for term in layer.terms:
            matrix = term.map.matrix(term.input_shape)
            if term.source == IMAGE:
                constant = constant + (matrix @ self.images.reshape(self.n, -1).T).T.ravel()
                continue
            source, images = self.composed(matrix, term.source)
            constant = constant + (matrix @ source.constant.reshape(self.n, -1).T).T.ravel()
            parts.append(sp.csr_array(sp.vstack(images, format="csr")))
        total = sum(parts[1:], parts[0]) if parts else sp.csr_array((len(constant), self.width))
        total = sp.csr_array(total)
        total.eliminate_zeros()
        return Expressions(total, constant)

    def composed(self, matrix: sp.csr_array, source: int) -> tuple[Expressions, list[sp.csr_array]]:
        """Output of layer ``source``, and its product with ``matrix`` for each image.

        They are made in whichever way has fewer non-zeros. The expressions either go into the product as they are, or
        get a variable each, defined once in rows of their own.
        """
        out = self.outputs[source]
        counts = out.counts()
        apart = None
        if (counts > 1).any():
            uses = np.bincount(matrix.indices, minlength=matrix.shape[1])
            apart = int((counts.reshape(self.n, -1) > 0).astype(np.int64).sum(axis=0) @ uses)
            apart += int((counts + 1)[counts > 1].sum())
        # A row of the product has at least as many entries as the longest expression in it. Often this decides.
        images = (
            None if apart is not None and self.least_entries(matrix, counts) > apart else self.products(matrix, out)
        )
        if images is None or (apart is not None and sum(image.nnz for image in images) > apart):
            low, high = self.bounds.output_lower[source].ravel(), self.bounds.output_upper[source].ravel()
            out = self.outputs[source] = self.named(self.network.layers[source], out, low, high)
            images = self.products(matrix, out)
        return out, images

    def least_entries(self, matrix: sp.csr_array, counts: NDArray[np.int64]) -> int:
        """A number of non-zeros that the products with expressions of ``counts`` entries have at least."""
        filled = np.flatnonzero(np.diff(matrix.indptr))
        if not len(filled):
            return 0
        each = counts.reshape(self.n, -1)[:, matrix.indices]
        return int(np.maximum.reduceat(each, matrix.indptr[filled], axis=1).sum())

    def products(self, matrix: sp.csr_array, out: Expressions) -> list[sp.csr_array]:
        size = matrix.shape[1]
        found = []
        for i in range(self.n):
            tick(f"building the rows of image {i + 1} of {self.n}")
            found.append(_product(matrix, sp.csr_array(out.matrix[i * size : (i + 1) * size])))
        return found

    def relu(self, k: int, layer: Layer, rows: Expressions) -> Expressions:
        low, high = self.bounds.lower[k].ravel(), self.bounds.upper[k].ravel()
        c, fixed = rows.constant, rows.counts() == 0
        score = np.full(len(c), -1, dtype=np.int64)
        if layer.group is not None and layer.units is not None:
            score = np.tile(layer.units + self.first_unit[layer.group], self.n)
        scored = score >= 0
        sound = self.gate.sound
        scale = np.maximum(self.sound.upper[k].ravel() if sound else high, 0.0)
        relus = Relus(fixed, c, low, high, scale, scored)
        decided, low, high = self.gate.decided(relus)
        constant = np.where(decided & ~scored, np.maximum(c, 0.0), 0.0)

        pieces: list[tuple[Index, Index, Array]] = []
        narrowed = replace(relus, low=low, high=high)
        at, rate, level, needed = self.gate.constant_output(narrowed, decided & scored)
        constant[at] = level
        np.maximum.at(self.score_lower, score[at], needed)
        pieces.append((at, score[at], rate))

        off = ~decided & (high <= 0)
        # With bounds that are rows themselves a score does not open a ReLU that is always on: its output is linear.
        on = ~decided & ~off & (low >= 0) & (~scored | (not sound))
        live = np.flatnonzero(~decided & ~off & ~on)
        # A ReLU that is always on passes its pre-activation on, less (1 - s) M where it has a score.
        at = np.flatnonzero(on)
        constant[at] = c[at] - np.where(scored, scale, 0.0)[at]
        passed = rows.matrix[at].tocoo()
        pieces.append((at[passed.row], passed.col.astype(np.int64), passed.data))
        at = np.flatnonzero(on & scored)
        pieces.append((at, score[at], scale[at]))
        pieces.append((live, self.gate_entries(layer, rows, live, low, high, scale, score), np.ones(len(live))))
        out = self.place(pieces, constant)
        if not sound:
            # The rows hold such a pre-activation in [L, 0] where the ReLU is off, and h in [0, U+] where it is on.
            at = np.flatnonzero(off)
            self.hold(layer, rows, at, low[at], np.zeros(len(at)))
            at = np.flatnonzero(on)
            self.hold(layer, out, at, np.zeros(len(at)), high[at])
        elif self.bounds.cutoff is not None:
            # Beyond the cutoff the ReLU may be in the other state, where the expression would not be its output.
            for at, least, most in ((np.flatnonzero(off), -np.inf, 0.0), (np.flatnonzero(on), 0.0, np.inf)):
                self.hold(layer, rows, at, np.full(len(at), least), np.full(len(at), most))
        return out

    def gate_entries(
        self, layer: Layer, rows: Expressions, at: Index, low: Array, high: Array, scale: Array, score: Index
    ) -> Index:
        """Variables a, h and where needed z for gated ReLUs; returns the columns of h."""
        pre, _ = self.add_pre(layer, rows, at, low[at], high[at])
        act, columns = self.add_act(layer, at, np.zeros(len(at)), np.maximum(high[at], 0.0))
        # A score may move the pre-activation below 0, so that a ReLU with L >= 0 may still be open.
        stable = self.gate.without_state(low[at])
        state = np.full(len(at), -1, dtype=np.int64)
        state[~stable] = len(self.state) + np.arange(int((~stable).sum()))
        self.state.extend(self.names(layer, at[~stable]))
        self.gated.append(Gated(act, pre, low[at], high[at], scale[at], score[at], state))
        return columns

    def maximum(self, k: int, layer: Layer, rows: Expressions) -> Expressions:
        assert layer.pool is not None
        windows = layer.pool.windows(layer.pre_shape)
        size = int(np.prod(layer.pre_shape))
        inputs = np.where(windows >= 0, windows + size * np.arange(self.n)[:, None, None], -1).reshape(
            -1, windows.shape[1]
        )
        inside = inputs >= 0
        # Bounds that hold for the trained network only, or up to a cutoff only, would drop entries that can be the
        # maximum.
        valid = self.bounds if self.gate.sound and self.bounds.cutoff is None else self.sound
        low = np.where(inside, valid.lower[k].ravel()[inputs], -np.inf)
        high = np.where(inside, valid.upper[k].ravel()[inputs], -np.inf)
        best = low.argmax(axis=1)
        candidate = inside & (high > low.max(axis=1)[:, None])
        candidate[np.arange(len(best)), best] = True

        # One unit's constants times its score: the maximum is the largest constant times that score.
        counts = rows.counts()
        column = np.full(len(counts), -1, dtype=np.int64)
        column[counts == 1] = rows.matrix.indices[rows.matrix.indptr[:-1][counts == 1]]
        value = np.zeros(len(counts))
        value[counts == 1] = rows.matrix.data[rows.matrix.indptr[:-1][counts == 1]]
        constant = np.where(candidate, rows.constant[inputs], -np.inf)
        columns = np.where(candidate, column[inputs], -1)
        simple = (~candidate | (counts[inputs] == 0)).all(axis=1)
        scaled = (~candidate | ((counts[inputs] <= 1) & (rows.constant[inputs] == 0) & (value[inputs] >= 0))).all(
            axis=1
        )
        units = int(self.first_unit[-1])
        scaled &= ~simple & (columns.max(axis=1) < units)
        scaled &= (~candidate | (columns == -1) | (columns == columns.max(axis=1)[:, None])).all(axis=1)
        single = (candidate.sum(axis=1) == 1) & ~simple & ~scaled

        pieces: list[tuple[Index, Index, Array]] = []
        result = np.where(simple, constant.max(axis=1), 0.0)
        at = np.flatnonzero(scaled)
        largest = np.where(candidate, value[inputs], 0.0).max(axis=1)
        pieces.append((at, columns[at].max(axis=1), largest[at]))
        at = np.flatnonzero(single)
        passed = rows.take(inputs[at, best[at]])
        copied = passed.matrix.tocoo()
        pieces.append((at[copied.row], copied.col.astype(np.int64), copied.data))
        result[at] = passed.constant
        live = np.flatnonzero(~simple & ~scaled & ~single)
        pieces.append((live, self.pool_entries(layer, rows, live, inputs, candidate, low, high), np.ones(len(live))))
        return self.place(pieces, result)

    def pool_entries(
        self,
        layer: Layer,
        rows: Expressions,
        at: Index,
        inputs: Index,
        candidate: NDArray[np.bool_],
        low: Array,
        high: Array,
    ) -> Index:
        """Variables h for max-pooling outputs and q for their candidates; returns the columns of h."""
        high, low = np.where(candidate, high, -np.inf)[at], np.where(candidate, low, -np.inf)[at]
        act, columns = self.add_act(layer, at, low.max(axis=1), high.max(axis=1))
        row, entry = np.nonzero(candidate[at])
        largest, second = -np.sort(-high, axis=1)[:, :2].T if len(at) else np.zeros((2, 0))
        is_largest = entry == high.argmax(axis=1)[row]
        rest = np.where(is_largest, second[row], largest[row])
        names = list(self.names(layer, at))
        self.choice.extend((*names[r], e) for r, e in zip(row.tolist(), entry.tolist(), strict=True))
        self.pooled.append(Pooled(act[row], rows.take(inputs[at][row, entry]), rest - low[row, entry]))
        return columns


def _product(left: sp.csr_array, right: sp.csr_array) -> sp.csr_array:
    """The product left @ right, quicker where ``right`` only moves and scales columns.

    That is the case where no row of ``right`` has two entries and no column has. A large product
    without many zeros is one of dense matrices.
    """
    entries, uses = np.diff(right.indptr), np.bincount(right.indices, minlength=right.shape[1])
    if (entries > 1).any() or (uses > 1).any():
        used = np.flatnonzero(uses)
        work, most = int(entries[left.indices].sum()), left.shape[0] * left.shape[1] * len(used)
        if work <= max(_DENSE, most / 4):
            return sp.csr_array(left @ right)
        place = np.cumsum(uses > 0) - 1
        part = sp.csr_array((right.data, place[right.indices], right.indptr), shape=(right.shape[0], len(used)))
        found = sp.csr_array(left.toarray() @ part.toarray())
        return sp.csr_array((found.data, used[found.indices], found.indptr), shape=(left.shape[0], right.shape[1]))
    factor, column = np.zeros(right.shape[0]), np.full(right.shape[0], -1, dtype=right.indices.dtype)
    rows = np.flatnonzero(np.diff(right.indptr))
    factor[rows], column[rows] = right.data, right.indices
    kept = column[left.indices] >= 0
    pointers = np.concatenate([[0], np.cumsum(kept)])[left.indptr]
    at = left.indices[kept]
    return sp.csr_array((left.data[kept] * factor[at], column[at], pointers), shape=(left.shape[0], right.shape[1]))
