"""The variables of a layout while it is being made.

They are the entries of the index sets, and the column of each variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.layout import Expressions, Gated, Held, Index, Layout, Name, Pooled
from oamip_model.network.maps import Array
from oamip_model.network.types import Layer, Network

_PRE, _ACT = 1, 2
"""Kinds of columns after the scores (kind 0): pre-activations a, activations h."""


class Entries:
    """Entries of the sets PRE, ACT, STATE and CHOICE, added layer by layer.

    Columns are numbered as variables are needed, scores first; :meth:`finish` sorts them into those of s, a and h.
    """

    def __init__(self, network: Network, images: int) -> None:
        self.network, self.n = network, images
        self.first_unit = np.cumsum([0, *(group.size for group in network.groups)])
        self.columns = int(self.first_unit[-1])
        self.width = self.columns + 2 * images * sum(
            int(np.prod(layer.pre_shape)) + layer.size for layer in network.layers
        )
        self.kind: list[NDArray[np.int8]] = [np.zeros(self.columns, dtype=np.int8)]
        self.pre: list[Name] = []
        self.act: list[Name] = []
        self.state: list[Name] = []
        self.choice: list[tuple[int, str, int, int]] = []
        self.pre_rows: list[Expressions] = []
        self.pre_range: list[tuple[Array, Array]] = []
        self.held: list[Expressions] = []
        self.held_names: list[Name] = []
        self.held_range: list[tuple[Array, Array]] = []
        self.act_range: list[tuple[Array, Array]] = []
        self.gated: list[Gated] = []
        self.pooled: list[Pooled] = []
        self.score_lower = np.zeros(self.columns)
        self.outputs: list[Expressions] = []

    def names(self, layer: Layer, at: Index) -> Iterator[tuple[int, str, int]]:
        """(image, layer, activation) of some rows of a layer's stacked output."""
        size = layer.size if layer.activation == "max" else int(np.prod(layer.pre_shape))
        image, activation = np.divmod(at, size)
        return zip(image.tolist(), [layer.name] * len(at), activation.tolist(), strict=True)

    def new_columns(self, count: int, kind: int) -> Index:
        """Numbers of new columns of one kind."""
        first = self.columns
        self.columns += count
        self.kind.append(np.full(count, kind, dtype=np.int8))
        return np.arange(first, self.columns)

    def add_pre(self, layer: Layer, rows: Expressions, at: Index, lower: Array, upper: Array) -> tuple[Index, Index]:
        """Add variables a for some rows, with the bounds of each.

        Returns their entries of PRE and their columns.
        """
        first = len(self.pre)
        self.pre.extend(self.names(layer, at))
        self.pre_rows.append(rows.take(at))
        self.pre_range.append((lower, upper))
        return np.arange(first, len(self.pre)), self.new_columns(len(at), _PRE)

    def add_act(self, layer: Layer, at: Index, lower: Array, upper: Array) -> tuple[Index, Index]:
        """Add variables h for some activations.

        Returns their entries of ACT and their columns.
        """
        first = len(self.act)
        self.act.extend(self.names(layer, at))
        self.act_range.append((lower, upper))
        return np.arange(first, len(self.act)), self.new_columns(len(at), _ACT)

    def hold(self, layer: Layer, rows: Expressions, at: Index, lower: Array, upper: Array) -> None:
        """Rows that hold some expressions within limits."""
        self.held_names.extend(self.names(layer, at))
        self.held.append(rows.take(at))
        self.held_range.append((lower, upper))

    def place(self, pieces: list[tuple[Index, Index, Array]], constant: Array) -> Expressions:
        """Expressions from pieces (rows, columns, coefficients) that do not overlap."""
        rows, columns, values = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
        matrix = sp.csr_array((values, (rows, columns)), shape=(len(constant), self.width))
        matrix.eliminate_zeros()
        return Expressions(matrix, constant)

    def named(self, layer: Layer, rows: Expressions, lower: Array, upper: Array) -> Expressions:
        """The same expressions, with a variable a for each that has several variables.

        Bounds are given for each expression.
        """
        long = rows.counts() > 1
        at = np.flatnonzero(long)
        _, columns = self.add_pre(layer, rows, at, lower[at], upper[at])
        short = rows.matrix.tocoo()
        stays = ~long[short.row]
        pieces = [
            (at, columns, np.ones(len(at))),
            (short.row[stays].astype(np.int64), short.col[stays].astype(np.int64), short.data[stays]),
        ]
        return self.place(pieces, np.where(long, 0.0, rows.constant))

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
            held=Held(
                self.held_names,
                final(self.held),
                joined([low for low, _ in self.held_range]),
                joined([high for _, high in self.held_range]),
            ),
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
