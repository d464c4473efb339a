"""Makes a layout: walks through the network and gives a variable only to what bounds and images do not decide.

Each layer's output is kept as expressions in the variables so far; the next layer's affine map is applied to those. So
a pre-activation that is constant for an image, a ReLU that is always on or off, and everything affine, cost no
variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.bounds import Bounds
from oamip_model.formulation.layout import Expressions, Gated, Index, Layout, Pooled
from oamip_model.network.ops import Array
from oamip_model.network.types import IMAGE, Layer, Network


def arrange(network: Network, images: Array, bounds: Bounds, sound: Bounds, gate: str) -> Layout:
    """Layout of the program for images (n, *input_shape).

    bounds: L and U, valid for the gate; sound: interval bounds that hold for every score, which fix the scale M of the
    sound gates and bound what goes into max pooling; gate: "published" | "subtractive" | "switch".
    """
    return _Arrangement(network, images, bounds, sound, gate).run()


_PRE, _ACT = 1, 2
"""Kinds of columns after the scores (kind 0): pre-activations a, activations h."""


class _Arrangement:
    def __init__(self, network: Network, images: Array, bounds: Bounds, sound: Bounds, gate: str) -> None:
        self.network, self.images, self.bounds, self.sound, self.gate = network, images, bounds, sound, gate
        self.n = len(images)
        self.first_unit = np.cumsum([0, *(group.size for group in network.groups)])
        # Columns are numbered as variables are needed: scores first, then a and h as they come.
        self.width = int(self.first_unit[-1]) + 2 * self.n * sum(
            int(np.prod(layer.pre_shape)) + layer.size for layer in network.layers
        )
        self.kind = [np.zeros(int(self.first_unit[-1]), dtype=np.int8)]
        self.columns = int(self.first_unit[-1])
        self.pre: list[tuple[int, str, int]] = []
        self.act: list[tuple[int, str, int]] = []
        self.state: list[tuple[int, str, int]] = []
        self.choice: list[tuple[int, str, int, int]] = []
        self.pre_rows: list[Expressions] = []
        self.pre_range: list[tuple[Array, Array]] = []
        self.act_range: list[tuple[Array, Array]] = []
        self.gated: list[Gated] = []
        self.pooled: list[Pooled] = []
        self.score_lower = np.zeros(int(self.first_unit[-1]))
        self.outputs: list[Expressions] = []

    def run(self) -> Layout:
        for k, layer in enumerate(self.network.layers):
            rows = self.affine(layer)
            if layer.activation == "relu":
                out = self.relu(k, layer, rows)
            elif layer.activation == "max":
                out = self.maximum(k, layer, rows)
            elif k < len(self.network.layers) - 1 and (rows.counts() > 1).any():
                # A variable of its own keeps the next layer's rows as short as its weights are.
                out = self.named(layer, rows)
            else:
                out = rows
            self.outputs.append(out)
        return self.finish()

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
            source = self.outputs[term.source]
            size = len(source.constant) // self.n
            constant = constant + (matrix @ source.constant.reshape(self.n, size).T).T.ravel()
            images = [matrix @ source.matrix[i * size : (i + 1) * size] for i in range(self.n)]
            parts.append(sp.csr_array(sp.vstack(images, format="csr")))
        total = sum(parts[1:], parts[0]) if parts else sp.csr_array((len(constant), self.width))
        total = sp.csr_array(total)
        total.eliminate_zeros()
        return Expressions(total, constant)

    def names(self, layer: Layer, at: Index) -> Iterator[tuple[int, str, int]]:
        """(image, layer, activation) of some rows of a layer's stacked output."""
        size = layer.size if layer.activation == "max" else int(np.prod(layer.pre_shape))
        image, activation = np.divmod(at, size)
        return zip(image.tolist(), [layer.name] * len(at), activation.tolist(), strict=True)

    def new_columns(self, count: int, kind: int) -> Index:
        first = self.columns
        self.columns += count
        self.kind.append(np.full(count, kind, dtype=np.int8))
        return np.arange(first, self.columns)

    def add_pre(
        self, layer: Layer, rows: Expressions, at: Index, lower: Array | None = None, upper: Array | None = None
    ) -> tuple[Index, Index]:
        """New variables a for some rows; returns their entries of PRE and their columns."""
        first = len(self.pre)
        self.pre.extend(self.names(layer, at))
        self.pre_rows.append(rows.take(at))
        free = np.full(len(at), np.inf)
        self.pre_range.append((-free if lower is None else lower, free if upper is None else upper))
        return np.arange(first, len(self.pre)), self.new_columns(len(at), _PRE)

    def add_act(self, layer: Layer, at: Index, lower: Array, upper: Array) -> tuple[Index, Index]:
        """New variables h for some activations; returns their entries of ACT and their columns."""
        first = len(self.act)
        self.act.extend(self.names(layer, at))
        self.act_range.append((lower, upper))
        return np.arange(first, len(self.act)), self.new_columns(len(at), _ACT)

    def place(self, pieces: list[tuple[Index, Index, Array]], constant: Array) -> Expressions:
        """Expressions from pieces (rows, columns, coefficients) that do not overlap."""
        rows, columns, values = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        matrix = sp.csr_array((values, (rows, columns)), shape=(len(constant), self.width))
        matrix.eliminate_zeros()
        return Expressions(matrix, constant)

    def named(self, layer: Layer, rows: Expressions) -> Expressions:
        """The same expressions, with a variable a for each that has more than one variable in it."""
        long = rows.counts() > 1
        at = np.flatnonzero(long)
        _, columns = self.add_pre(layer, rows, at)
        short = rows.matrix.tocoo()
        stays = ~long[short.row]
        pieces = [
            (at, columns, np.ones(len(at))),
            (short.row[stays].astype(np.int64), short.col[stays].astype(np.int64), short.data[stays]),
        ]
        return self.place(pieces, np.where(long, 0.0, rows.constant))

    def relu(self, k: int, layer: Layer, rows: Expressions) -> Expressions:
        low, high = self.bounds.lower[k].ravel(), self.bounds.upper[k].ravel()
        published = self.gate == "published"
        c, fixed = rows.constant, rows.counts() == 0
        score = np.full(len(c), -1, dtype=np.int64)
        if layer.group is not None and layer.units is not None:
            score = np.tile(layer.units + self.first_unit[layer.group], self.n)
        scored = score >= 0
        # A constant is open only in the published gate, where the box around it reaches over 0.
        decided = fixed & ((high <= 0) | (low >= 0)) if published else fixed
        scale = np.maximum(high if published else self.sound.upper[k].ravel(), 0.0)
        constant = np.where(decided & ~scored, np.maximum(c, 0.0), 0.0)

        pieces: list[tuple[Index, Index, Array]] = []
        at = np.flatnonzero(decided & scored & (high > 0) & (published | (c > 0)))
        if published:
            # h = c - (1 - s) U+ >= 0 leaves the score a least value.
            constant[at] = c[at] - scale[at]
            np.maximum.at(self.score_lower, score[at], 1.0 - c[at] / scale[at])
            pieces.append((at, score[at], scale[at]))
        else:
            pieces.append((at, score[at], c[at]))

        off = ~decided & (high <= 0)
        if published:
            # The published rows hold the pre-activation of a ReLU that is always off to its bounds.
            at = np.flatnonzero(off)
            self.add_pre(layer, rows, at, low[at], np.zeros(len(at)))
        on = np.flatnonzero(~decided & ~scored & (low >= 0) & ~off)
        limits = (np.zeros(len(on)), high[on]) if published else (None, None)
        _, columns = self.add_pre(layer, rows, on, *limits)
        pieces.append((on, columns, np.ones(len(on))))
        live = np.flatnonzero(~decided & ~off & (scored | (low < 0)))
        pieces.append((live, self.gate_entries(layer, rows, live, low, high, scale, score), np.ones(len(live))))
        return self.place(pieces, constant)

    def gate_entries(
        self, layer: Layer, rows: Expressions, at: Index, low: Array, high: Array, scale: Array, score: Index
    ) -> Index:
        """Variables a, h and where needed z for gated ReLUs; returns the columns of h."""
        pre, _ = self.add_pre(layer, rows, at)
        act, columns = self.add_act(layer, at, np.zeros(len(at)), np.maximum(high[at], 0.0))
        # A score moves the pre-activation of 3a below 0, so there a ReLU that is always on is open all the same.
        stable = (low[at] >= 0) & ((score[at] < 0) | (self.gate != "subtractive"))
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
        # The published bounds hold for the trained network only and would drop entries that can be the maximum.
        valid = self.sound if self.gate == "published" else self.bounds
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

    def finish(self) -> Layout:
        """The layout, with columns counted as those of s, a and h in turn."""
        kinds = np.concatenate(self.kind)
        order = np.argsort(kinds, kind="stable")
        position = np.empty_like(order)
        position[order] = np.arange(len(order))

        def final(parts: list[Expressions]) -> Expressions:
            matrix = sp.vstack([p.matrix for p in parts], format="csr") if parts else sp.csr_array((0, self.width))
            moved = (matrix.data, position[matrix.indices], matrix.indptr)
            constant = np.concatenate([p.constant for p in parts]) if parts else np.zeros(0)
            return Expressions(sp.csr_array(moved, shape=(matrix.shape[0], self.columns)), constant)

        def joined(arrays: list[Array]) -> Array:
            return np.concatenate(arrays) if arrays else np.zeros(0)

        # A network without gated ReLUs has one empty entry too, so there is always something to join.
        empty = np.zeros(0, dtype=np.int64)
        self.gated.append(Gated(empty, empty, np.zeros(0), np.zeros(0), np.zeros(0), empty, empty))
        gated: list[Any] = [np.concatenate([getattr(g, f.name) for g in self.gated]) for f in fields(Gated)]
        return Layout(
            unit=[(group.name, u) for group in self.network.groups for u in range(group.size)],
            pre=self.pre,
            act=self.act,
            state=self.state,
            choice=self.choice,
            pre_rows=final(self.pre_rows),
            pre_lower=joined([low for low, _ in self.pre_range]),
            pre_upper=joined([high for _, high in self.pre_range]),
            act_lower=joined([low for low, _ in self.act_range]),
            act_upper=joined([high for _, high in self.act_range]),
            gated=Gated(*gated),
            pooled=Pooled(
                np.concatenate([p.act for p in self.pooled]) if self.pooled else np.zeros(0, dtype=np.int64),
                final([p.entries for p in self.pooled]),
                joined([p.big_m for p in self.pooled]),
            ),
            logits=final([self.outputs[-1]]),
            score_lower=self.score_lower,
        )
