"""The rows of a proof's program as rational numbers.

They are made from the network and the images.

See mathematics:proof-1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.errors import CheckError, InputError
from oamip_model.network.types import IMAGE, Network, Term
from oamip_model.proofcheck.exact import log_above
from oamip_model.proofcheck.record import Multiplier, Proof, Tangent

Column: TypeAlias = tuple[str, int, int, int]
Row: TypeAlias = tuple[dict[Column, Fraction], Fraction | None, Fraction | None]
NONE = Fraction(0)


class ExactRows:
    """Rows by their names, and the bounds of columns."""

    def __init__(self, proof: Proof, network: Network, images: Sequence[NDArray[np.float64]]) -> None:
        self.proof, self.network, self.program = proof, network, proof.program
        self.pixels = [[Fraction(p) for p in image.reshape(-1).tolist()] for image in images]
        self.first = np.cumsum([0, *(group.size for group in network.groups)]).tolist()
        self.last = len(network.layers) - 1
        if network.layers[self.last].activation != "none":
            raise InputError("proof: the network's logits pass an activation, which proofs do not cover")
        self.sizes = [math.prod(layer.pre_shape) for layer in network.layers]
        self.windows = [
            [] if layer.pool is None else layer.pool.windows(layer.pre_shape).tolist() for layer in network.layers
        ]
        if len(proof.scores) != self.first[-1] or len(proof.labels) != len(images):
            raise CheckError("proof: it has other numbers of scores or labels than the network and its images")
        if any(label >= network.classes for label in proof.labels):
            raise CheckError("proof: a label is no class of the network")
        if self.program.scores == "binary" and any(s not in (0.0, 1.0) for s in proof.scores):
            raise CheckError("proof: a score of its incumbent is not binary")
        if self.program.multiplies and self.program.scores != "binary":
            raise CheckError(f"proof: the gate {self.program.gate} has binary scores")
        self.exact: list[list[list[tuple[Fraction, Fraction]]]] = []
        # Cheap checks come first.
        self.low = [self._given(proof.lower, n) for n in range(len(images))]
        self.high = [self._given(proof.upper, n) for n in range(len(images))]
        self.bias = [self._bias(k) for k in range(self.last + 1)]
        self.weights = [self._weights(k) for k in range(self.last + 1)]
        self.prices = self._prices()

    def _bias(self, k: int) -> list[Fraction]:
        layer = self.network.layers[k]
        return [Fraction(b) for b in np.repeat(layer.bias, self.sizes[k] // len(layer.bias)).tolist()]

    def _weights(self, k: int) -> list[list[tuple[int, int, Fraction]]]:
        """By place, the weights of a layer with their sources and the places there."""
        layer = self.network.layers[k]
        matrices = [term.map.matrix(term.input_shape).tocsr() for term in layer.terms]
        return [self._row_weights(layer.terms, matrices, i) for i in range(self.sizes[k])]

    @staticmethod
    def _row_weights(terms: tuple[Term, ...], matrices: list[sp.csr_array], i: int) -> list[tuple[int, int, Fraction]]:
        found = []
        for term, matrix in zip(terms, matrices, strict=True):
            part = slice(matrix.indptr[i], matrix.indptr[i + 1])
            values = zip(matrix.indices[part].tolist(), matrix.data[part].tolist(), strict=True)
            found += [(term.source, j, Fraction(value)) for j, value in values]
        return found

    def _given(self, side: tuple[tuple[tuple[float, ...], ...], ...], n: int) -> list[list[Fraction]]:
        if n >= len(side) or [len(layer) for layer in side[n]] != self.sizes:
            raise CheckError("proof: it does not have bounds of every pre-activation")
        return [[Fraction(value) for value in layer] for layer in side[n]]

    def _prices(self) -> list[Fraction]:
        groups = self.network.groups
        if self.program.sparsity == "mean":
            prices = [Fraction(1)] * self.first[-1]
        else:
            prices = [Fraction(p) for group in groups for p in np.asarray(group.parameters, dtype=float).tolist()]
        return [price / sum(prices) for price in prices]

    def unit(self, k: int, i: int) -> int | None:
        """The score of an activation, None where it has none."""
        layer = self.network.layers[k]
        return None if layer.group is None or layer.units is None else self.first[layer.group] + int(layer.units[i])

    def check_place(self, n: int, k: int, i: int) -> None:
        """Raise CheckError where there is no such activation."""
        if n >= len(self.pixels) or k > self.last or i >= self.sizes[k]:
            raise CheckError(f"proof: there is no image {n}, layer {k}, place {i}")

    def ends(self, column: Column, fixed: dict[Column, int]) -> tuple[Fraction, Fraction | None]:
        """Bounds of a column in a leaf."""
        kind, n, k, i = column
        if column in fixed:
            return Fraction(fixed[column]), Fraction(fixed[column])
        if kind in ("s", "z", "q"):
            return NONE, Fraction(1)
        if kind == "t":
            return NONE, None
        if kind == "a":
            return self.low[n][k][i], self.high[n][k][i]
        if self.windows[k]:
            entries = self.entries(k, i)
            return max(self.low[n][k][j] for j in entries), max(self.high[n][k][j] for j in entries)
        return NONE, max(self.high[n][k][i], NONE)

    def entries(self, k: int, i: int) -> list[int]:
        """The places of the entries of a window, without those in its padding."""
        return [j for j in self.windows[k][i] if j >= 0]

    def passed(self, n: int, k: int, i: int) -> Column:
        """The column of what a layer passes on."""
        return ("a" if self.network.layers[k].activation == "none" else "h", n, k, i)

    def row(self, m: Multiplier) -> Row:
        """A row of the program, by its name."""
        n, k, i = m.image, m.layer, m.place
        if m.family in ("entry", "chosen", "choice", "largest"):
            return self._window_row(m.family, n, k, i)
        self.check_place(n, k, i)
        if m.family == "hinge":
            label = self.proof.labels[n]
            if self.program.loss != "hinge" or k != self.last or i == label:
                raise CheckError("proof: there is no such row of a loss")
            a: dict[Column, Fraction] = {("t", n, 0, 0): Fraction(1), ("a", n, k, i): Fraction(-1)}
            return {**a, ("a", n, k, label): Fraction(1)}, Fraction(self.program.margin), None
        if m.family == "pre":
            entries: dict[Column, Fraction] = {("a", n, k, i): Fraction(1)}
            constant = self.bias[k][i]
            for source, j, w in self.weights[k][i]:
                if source == IMAGE:
                    constant += w * self.pixels[n][j]
                else:
                    column = self.passed(n, source, j)
                    entries[column] = entries.get(column, NONE) - w
            return entries, constant, constant
        if self.network.layers[k].activation != "relu":
            raise CheckError("proof: there is no such row of a layer without a ReLU")
        return self._relu_row(m.family, n, k, i)

    def window_entry(self, n: int, k: int, i: int) -> tuple[int, int]:
        """The window of an entry, and its place before the maximum.

        Raises CheckError where there is no such entry.
        """
        if n >= len(self.pixels) or k > self.last or i >= sum(map(len, self.windows[k])):
            raise CheckError(f"proof: there is no image {n}, layer {k}, entry {i} of a window")
        window, number = divmod(i, len(self.windows[k][0]))
        j = int(self.windows[k][window][number])
        if j < 0:
            raise CheckError(f"proof: entry {i} of layer {k} is in the padding")
        return window, j

    def _window_row(self, family: str, n: int, k: int, i: int) -> Row:
        one = Fraction(1)
        if family == "choice":
            if n >= len(self.pixels) or k > self.last or i >= len(self.windows[k]):
                raise CheckError(f"proof: there is no image {n}, layer {k}, window {i}")
            width = len(self.windows[k][i])
            places = [i * width + number for number, j in enumerate(self.windows[k][i]) if j >= 0]
            return {("q", n, k, place): one for place in places}, one, one
        window, j = self.window_entry(n, k, i)
        entries: dict[Column, Fraction] = {("h", n, k, window): one, ("a", n, k, j): -one}
        if family == "entry":
            return entries, NONE, None
        if family == "largest":
            if not all(self._is_above(n, k, j, other) for other in self.entries(k, window) if other != j):
                raise CheckError(f"proof: entry {i} of image {n}, layer {k} is not the largest of its window")
            return entries, None, NONE
        # h <= a_j + (the largest upper bound of the others - L_j) (1 - q_j)
        slack = max([NONE, *(self.high[n][k][m] - self.low[n][k][j] for m in self.entries(k, window) if m != j)])
        return {**entries, ("q", n, k, i): slack}, None, slack

    def _is_above(self, n: int, k: int, j: int, other: int) -> bool:
        """Whether an entry of a window is at least another one for all scores.

        The ReLUs that they come from say so.
        """
        (source, place, weight), (also, second, factor) = self.weights[k][j][0], self.weights[k][other][0]
        plain = len(self.weights[k][j]) == len(self.weights[k][other]) == 1 and weight == factor == 1
        if not plain or source != also or source == IMAGE or self.network.layers[source].activation != "relu":
            return False
        least, most = self.exact[n][source][place]
        reach = self.exact[n][source][second][1]
        if reach <= 0:
            return self.bias[k][j] >= self.bias[k][other]
        if self.unit(source, place) != self.unit(source, second) or self.bias[k][j] < self.bias[k][other]:
            return False
        if self.program.multiplies or self.unit(source, place) is None:
            return reach <= least
        # Of max(0, a - (1 - s) M) the larger one at s = 1 that begins no later is larger for all s.
        scale, other_scale = (max(self.high[n][source][p], NONE) for p in (place, second))
        return least == most and reach <= least and reach * scale <= least * other_scale

    def _relu_row(self, family: str, n: int, k: int, i: int) -> Row:
        low, high, unit = min(self.low[n][k][i], NONE), max(self.high[n][k][i], NONE), self.unit(k, i)
        h, a, z, s = ("h", n, k, i), ("a", n, k, i), ("z", n, k, i), ("s", 0, 0, -1 if unit is None else unit)
        one = Fraction(1)
        if family == "state":
            return {h: one, z: -high}, None, NONE
        if family == "above":
            # h >= a - (1 - s) U, of both gates; without a score s is 1.
            if unit is None:
                return {h: one, a: -one}, NONE, None
            return {h: one, a: -one, s: -high}, -high, None
        if family == "below":
            if unit is None or self.program.multiplies:
                return {h: one, a: -one, z: -low}, None, -low
            # h <= a - (1 - s) M - (L - M) (1 - z)
            return {h: one, a: -one, s: -high, z: high - low}, None, -low
        if unit is None:
            raise CheckError("proof: there is no row of the score of a unit without one")
        return {h: one, s: -high}, None, NONE

    def tangent(self, tangent: Tangent) -> Row:
        """The row t >= sum_c p_c o_c - o_y + H(p), for any probabilities p.

        The entropy H is enclosed from below.
        """
        n = tangent.image
        if self.program.loss != "cross-entropy" or n >= len(self.pixels):
            raise CheckError("proof: there is no such tangent")
        p = [Fraction(slope) for slope in tangent.slopes]
        p.append(1 - sum(p, NONE))
        if len(p) != self.network.classes or min(p) < 0:
            raise CheckError("proof: the slopes of a tangent are no probabilities")
        entropy = sum((-q * log_above(q) for q in p if q > 0), NONE)
        entries: dict[Column, Fraction] = {("t", n, 0, 0): Fraction(1)}
        for c, q in enumerate(p):
            entries["a", n, self.last, c] = -q + (1 if c == self.proof.labels[n] else 0)
        return entries, entropy, None
