"""The rows of a proof, by the names that its file gives them.

See mathematics:proof-1. :mod:`oamip_model.proofcheck` makes the same rows on its own, in rational arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.bounds import interval_bounds
from oamip_model.errors import InputError
from oamip_model.formulation.gates import LOWEST, PRODUCT
from oamip_model.formulation.settings import Formulation
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Network
from oamip_model.proofcheck.record import Family
from oamip_model.proofcheck.rows import Column
from oamip_model.solving.protocol import Arrays

GATES, LOSSES, SPARSITIES = (LOWEST, PRODUCT), ("cross-entropy", "hinge"), ("mean", "parameters")
_NAMES = {"relu": "ReLU", "max": "max pooling"}
_OUTWARD = 1e-11
"""Share by which bounds are moved outward, so that they hold in exact arithmetic."""
_MARGIN = 1e-3
"""Least distance of an entry that is called the largest of its window from the others, relative to 1 + its size."""


def check_provable(network: Network, form: Formulation) -> None:
    """Raise InputError unless proofs cover such a program of this network."""
    for name, value, accepted in (
        ("gate", form.gate, GATES), ("loss", form.loss, LOSSES), ("sparsity", form.sparsity, SPARSITIES),
    ):  # fmt: skip
        if value not in accepted:
            raise InputError(f"{name}: got {value!r}, proofs cover {', '.join(accepted)}")
    if form.relaxed:
        raise InputError("relaxed: got True, proofs cover integer ReLU states")
    if network.layers[-1].activation != "none":
        raise InputError(f"network: proofs cover no {_NAMES[network.layers[-1].activation]} behind the logits")


@dataclass
class NamedRows:
    """Rows by name, with their entries."""

    names: list[tuple[Family, int, int, int]] = field(default_factory=list)
    entries: list[dict[Column, float]] = field(default_factory=list)
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)

    def add(
        self, family: Family, at: tuple[int, int, int], entries: dict[Column, float], sides: tuple[float, float]
    ) -> None:
        """Add the row of a family for an image, a layer and a place, between two sides."""
        self.names.append((family, *at))
        self.entries.append(entries)
        self.low.append(sides[0])
        self.high.append(sides[1])


class ProofProgram:
    """The program of a proof, as rows with names and as arrays.

    low, high: bounds by layer, (n, places); columns: the places of columns by name.
    """

    def __init__(self, network: Network, images: Array, labels: NDArray[np.int64], form: Formulation) -> None:
        self.network, self.images, self.labels, self.form = network, images, np.asarray(labels).tolist(), form
        bounds = interval_bounds(network, images)
        self.least, self.most = bounds.lower, bounds.upper
        self.low: list[Array] = []
        self.high: list[Array] = []
        for low, high in zip(bounds.lower, bounds.upper, strict=True):
            size = _OUTWARD * (1.0 + np.abs(low) + np.abs(high))
            self.low.append(low - size)
            self.high.append(high + size)
        self.first = np.cumsum([0, *(group.size for group in network.groups)])
        self.windows = {
            k: layer.pool.windows(layer.pre_shape) for k, layer in enumerate(network.layers) if layer.pool is not None
        }
        self.columns: dict[Column, int] = {}
        self.rows = NamedRows()
        self.prices = self._prices()
        self._build()
        self.arrays = self._arrays()

    def unit(self, k: int, i: int) -> int | None:
        """The score of an activation, None where it has none."""
        layer = self.network.layers[k]
        return None if layer.units is None or layer.group is None else int(self.first[layer.group] + layer.units[i])

    def _prices(self) -> Array:
        if self.form.sparsity == "mean":
            return np.full(self.first[-1], 1.0 / self.first[-1])
        prices = np.concatenate([np.asarray(group.parameters, dtype=float) for group in self.network.groups])
        return np.asarray(prices / prices.sum())

    def _at(self, column: Column) -> int:
        return self.columns.setdefault(column, len(self.columns))

    def _build(self) -> None:
        for u in range(self.first[-1]):
            self._at(("s", 0, 0, u))
        for n, image in enumerate(self.images):
            pixels = image.reshape(-1)
            self._at(("t", n, 0, 0))
            for k, layer in enumerate(self.network.layers):
                count = math.prod(layer.pre_shape)
                bias = np.repeat(layer.bias, count // len(layer.bias))
                matrices = [sp.csr_array(term.map.matrix(term.input_shape)) for term in layer.terms]
                for i in range(count):
                    entries: dict[Column, float] = {("a", n, k, i): 1.0}
                    constant = float(bias[i])
                    for term, matrix in zip(layer.terms, matrices, strict=True):
                        part = slice(matrix.indptr[i], matrix.indptr[i + 1])
                        if term.source == IMAGE:
                            constant += float(matrix.data[part] @ pixels[matrix.indices[part]])
                            continue
                        kind = "a" if self.network.layers[term.source].activation == "none" else "h"
                        for j, w in zip(matrix.indices[part].tolist(), matrix.data[part].tolist(), strict=True):
                            column = (kind, n, term.source, j)
                            entries[column] = entries.get(column, 0.0) - w
                    self.rows.add("pre", (n, k, i), entries, (constant, constant))
                    if layer.activation == "relu":
                        self._relu(n, k, i, self.unit(k, i))
                for i in range(layer.size if layer.activation == "max" else 0):
                    self._window(n, k, i)
            if self.form.loss == "hinge":
                last, label = len(self.network.layers) - 1, self.labels[n]
                for c in range(self.network.classes):
                    if c != label:
                        row: dict[Column, float] = {
                            ("t", n, 0, 0): 1.0,
                            ("a", n, last, c): -1.0,
                            ("a", n, last, label): 1.0,
                        }
                        self.rows.add("hinge", (n, last, c), row, (self.form.margin, np.inf))
        for row in self.rows.entries:
            for column in row:
                self._at(column)

    def _relu(self, n: int, k: int, i: int, unit: int | None) -> None:
        low, high = min(float(self.low[k][n, i]), 0.0), max(float(self.high[k][n, i]), 0.0)
        if high == 0:
            return
        at, inf = (n, k, i), np.inf
        h, a, z, s = ("h", *at), ("a", *at), ("z", *at), ("s", 0, 0, unit or 0)
        self.rows.add("state", at, {h: 1.0, z: -high}, (-inf, 0.0))
        if unit is None:
            self.rows.add("above", at, {h: 1.0, a: -1.0}, (0.0, inf))
        else:
            self.rows.add("above", at, {h: 1.0, a: -1.0, s: -high}, (-high, inf))
            self.rows.add("score", at, {h: 1.0, s: -high}, (-inf, 0.0))
        if unit is None or self.form.gate == PRODUCT:
            self.rows.add("below", at, {h: 1.0, a: -1.0, z: -low}, (-inf, -low))
        else:
            self.rows.add("below", at, {h: 1.0, a: -1.0, s: -high, z: high - low}, (-inf, -low))

    def _window(self, n: int, k: int, i: int) -> None:
        """The rows of a window's largest entry."""
        h, inf, width = ("h", n, k, i), np.inf, self.windows[k].shape[1]
        entries = [(w, int(j)) for w, j in enumerate(self.windows[k][i]) if j >= 0]
        if (found := self._largest(n, k, entries)) is not None:
            row, at = {h: 1.0, ("a", n, k, found[1]): -1.0}, (n, k, i * width + found[0])
            self.rows.add("entry", at, row, (0.0, inf))
            self.rows.add("largest", at, row, (-inf, 0.0))
            return
        choices: dict[Column, float] = {}
        for w, j in entries:
            a, q, at = ("a", n, k, j), ("q", n, k, i * width + w), (n, k, i * width + w)
            slack = max([0.0, *(float(self.high[k][n, m]) - float(self.low[k][n, j]) for _, m in entries if m != j)])
            self.rows.add("entry", at, {h: 1.0, a: -1.0}, (0.0, inf))
            self.rows.add("chosen", at, {h: 1.0, a: -1.0, q: slack}, (-inf, slack))
            choices[q] = 1.0
        self.rows.add("choice", (n, k, i), choices, (1.0, 1.0))

    def _largest(self, n: int, k: int, entries: list[tuple[int, int]]) -> tuple[int, int] | None:
        """The entry that is the largest of its window for all scores, with a margin; None where none is known to be."""
        (term,) = self.network.layers[k].terms
        if term.source == IMAGE or self.network.layers[term.source].activation != "relu":
            return None
        # A window's layer is an identity, so its places are those of the ReLUs before it.
        low, high = self.least[term.source][n], self.most[term.source][n]
        best = max(entries, key=lambda entry: float(low[entry[1]]))
        m = best[1]
        margin = _MARGIN * (1.0 + abs(float(low[m])))
        exact = self.form.gate == PRODUCT or self.unit(term.source, m) is None
        for _, j in entries:
            off = bool(high[j] <= -margin)
            same = self.unit(term.source, j) == self.unit(term.source, m)
            below = bool(high[j] <= low[m] - margin) and (exact or bool(low[m] == high[m]))
            if not (j == m or off or (same and below)):
                return None
        return best

    def output_ends(self, n: int, k: int, i: int) -> tuple[float, float]:
        """Bounds of what a ReLU or a window passes on."""
        if k in self.windows:
            entries = [j for j in self.windows[k][i].tolist() if j >= 0]
            return float(self.low[k][n, entries].max()), float(self.high[k][n, entries].max())
        return 0.0, max(float(self.high[k][n, i]), 0.0)

    def _arrays(self) -> Arrays:
        places = [(r, self.columns[c], v) for r, row in enumerate(self.rows.entries) for c, v in row.items()]
        row, column, value = (np.array(side) for side in zip(*places, strict=True))
        width = len(self.columns)
        cost, lower, upper = np.zeros(width), np.zeros(width), np.zeros(width)
        for (kind, n, k, i), at in self.columns.items():
            if kind == "a":
                lower[at], upper[at] = self.low[k][n, i], self.high[k][n, i]
            elif kind == "h":
                lower[at], upper[at] = self.output_ends(n, k, i)
            else:
                upper[at] = np.inf if kind == "t" else 1.0
            if kind == "t":
                cost[at] = self.form.weight / len(self.images)
            elif kind == "s":
                cost[at] = self.prices[i]
        matrix = sp.csr_array((value.astype(float), (row, column)), shape=(len(self.rows.low), width))
        return Arrays(
            matrix, cost, lower, upper, np.array(self.rows.low), np.array(self.rows.high), np.zeros(width, bool)
        )
