"""The checker of proofs, in rational arithmetic.

It makes the rows anew from the network and the images, and adds them up.

See mathematics:proof-1..4. Every number of the network, of the images and of the proof is a rational number, and no
rounding is done. Only exponentials and logarithms are enclosed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.errors import CheckError, InputError
from oamip_model.network.types import IMAGE, Network
from oamip_model.proofcheck.exact import exp_bounds, log_above
from oamip_model.proofcheck.record import Node, Proof
from oamip_model.proofcheck.rows import NONE, Column, ExactRows

_SCALE = Fraction(1, 10**9)
"""By what share M may be above the largest pre-activation that it is defined as: the bounds' outward rounding."""


@dataclass(frozen=True)
class Checked:
    """The bound and the incumbent's objective that were checked."""

    bound: float
    objective: float
    leaves: int


def check_proof(proof: Proof, network: Network, images: ArrayLike) -> Checked:
    """Check a proof in exact rational arithmetic.

    images: those of the proof among others, in any order; they are found by their hashes.

    Raises InputError where the network or the images are others, CheckError where the proof does not hold.
    """
    network.check_scored()
    if proof.network != network.fingerprint:
        raise InputError(f"proof: it is of network {proof.network}, got {network.fingerprint}")
    given = {hash_of(image): image for image in network.check_images(images)}
    missing = [name for name in proof.images if name not in given]
    if missing or not proof.images:
        raise InputError(f"proof: {len(missing)} of its {len(proof.images)} images are not among those given")
    checker = _Checker(proof, network, [given[name] for name in proof.images])
    if checker.objective() > Fraction(proof.objective):
        raise CheckError("proof: the scores of its incumbent have a larger objective than it says")
    leaves = checker.tree()
    if proof.bound > proof.objective:
        raise CheckError("proof: its bound is above the objective of its incumbent")
    return Checked(proof.bound, proof.objective, leaves)


def hash_of(image: NDArray[np.float64]) -> str:
    """Hash of an image's values."""
    return hashlib.sha256(np.ascontiguousarray(image, dtype=np.float64).tobytes()).hexdigest()


class _Checker(ExactRows):
    def __init__(self, proof: Proof, network: Network, images: Sequence[NDArray[np.float64]]) -> None:
        super().__init__(proof, network, images)
        for n in range(len(images)):
            self._check_bounds(n)

    def _check_bounds(self, n: int) -> None:
        """The bounds must hold for all scores, and the largest ones be those that M is defined as."""
        low: list[list[Fraction]] = []
        high: list[list[Fraction]] = []
        self.exact.append([])
        for k, layer in enumerate(self.network.layers):
            ends: list[tuple[Fraction, Fraction]] = []
            for i in range(self.sizes[k]):
                least = most = self.bias[k][i]
                for source, j, w in self.weights[k][i]:
                    a, b = (self.pixels[n][j],) * 2 if source == IMAGE else (low[source][j], high[source][j])
                    least, most = least + min(w * a, w * b), most + max(w * a, w * b)
                ends.append((least, most))
                if self.low[n][k][i] > least or self.high[n][k][i] < most:
                    raise CheckError(f"proof: bounds of image {n}, layer {layer.name}, place {i} do not hold")
                scale = _SCALE * (1 + abs(least) + abs(most))
                if self.unit(k, i) is not None and self.high[n][k][i] > max(most, NONE) + scale:
                    raise CheckError(f"proof: image {n}, layer {layer.name}, place {i}: the score's scale is another")
            self.exact[n].append(ends)
            if layer.activation == "max":
                ends = [self._largest(k, i, ends) for i in range(layer.size)]
            relu = layer.activation == "relu"
            scored = layer.group is not None
            low.append([NONE if scored else max(a, NONE) if relu else a for a, _ in ends])
            high.append([max(b, NONE) if relu else b for _, b in ends])

    def _largest(self, k: int, i: int, ends: list[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction]:
        """The ends of a window's largest entry."""
        entries = self.entries(k, i)
        return max(ends[j][0] for j in entries), max(ends[j][1] for j in entries)

    def objective(self) -> Fraction:
        """An upper bound of the objective of the incumbent, by a forward pass."""
        scores = [Fraction(s) for s in self.proof.scores]
        total = NONE
        for n, label in enumerate(self.proof.labels):
            outputs: list[list[Fraction]] = []
            for k, layer in enumerate(self.network.layers):
                values = []
                for i in range(self.sizes[k]):
                    a = self.bias[k][i]
                    for source, j, w in self.weights[k][i]:
                        a += w * (self.pixels[n][j] if source == IMAGE else outputs[source][j])
                    if layer.activation == "relu":
                        unit = self.unit(k, i)
                        s = Fraction(1) if unit is None else scores[unit]
                        if self.program.multiplies or unit is None:
                            a = s * max(a, NONE)
                        else:
                            a = max(a - (1 - s) * max(self.high[n][k][i], NONE), NONE)
                    values.append(a)
                windows = [max(values[j] for j in self.entries(k, i)) for i in range(len(self.windows[k]))]
                outputs.append(windows or values)
            logits = outputs[-1]
            over = [o - logits[label] for o in logits]
            if self.program.loss == "hinge":
                others = [o for c, o in enumerate(over) if c != label]
                total += max(NONE, Fraction(self.program.margin) + max(others))
            else:
                # Less the largest, so that no exponent is positive.
                peak = max(over)
                total += peak + log_above(sum((exp_bounds(o - peak)[1] for o in over), NONE))
        share = Fraction(self.program.weight) / len(self.proof.labels)
        return share * total + sum((p * s for p, s in zip(self.prices, scores, strict=True)), NONE)

    def tree(self) -> int:
        """The number of leaves; every point is in one of them, and none holds less than the bound."""
        waiting: list[tuple[int, dict[Column, int]]] = [(0, {})]
        leaves, nodes = 0, self.proof.nodes
        # A node of several parents would be checked once for each way to it, of which there may be 2^nodes.
        children = [child for node in nodes if node.kind != "leaf" for child in (node.low, node.high)]
        if len(set(children)) < len(children):
            raise CheckError("proof: a node is the child of two others")
        while waiting:
            number, fixed = waiting.pop()
            if number >= len(nodes):
                raise CheckError(f"proof: there is no node {number}")
            node = nodes[number]
            if node.kind == "leaf":
                leaves += 1
                if self.least(node, fixed) < Fraction(self.proof.bound):
                    raise CheckError(f"proof: leaf {number} holds less than the bound")
                continue
            if min(node.low, node.high) <= number:
                raise CheckError(f"proof: node {number} has a child before it")
            column = self._split(node)
            waiting += [(node.low, {**fixed, column: 0}), (node.high, {**fixed, column: 1})]
        return leaves

    def _split(self, node: Node) -> Column:
        if node.kind == "score":
            if self.program.scores != "binary" or node.place >= self.first[-1]:
                raise CheckError("proof: it splits by a score that is none, or is not binary")
            return ("s", 0, 0, node.place)
        if node.kind == "choice":
            self.window_entry(node.image, node.layer, node.place)
            return ("q", node.image, node.layer, node.place)
        self.check_place(node.image, node.layer, node.place)
        if self.network.layers[node.layer].activation != "relu":
            raise CheckError("proof: it splits by the state of a layer without a ReLU")
        return ("z", node.image, node.layer, node.place)

    def least(self, node: Node, fixed: dict[Column, int]) -> Fraction:
        """The least objective in a leaf by its multipliers: weak duality."""
        share = Fraction(self.program.weight) / len(self.pixels)
        reduced: dict[Column, Fraction] = {("t", n, 0, 0): share for n in range(len(self.pixels))}
        reduced |= {("s", 0, 0, u): price for u, price in enumerate(self.prices)}
        value = NONE
        rows = [(m.value, self.row(m)) for m in node.rows] + [(t.value, self.tangent(t)) for t in node.tangents]
        for multiplier, (entries, low, high) in rows:
            y = Fraction(multiplier)
            side = low if y > 0 else high
            if side is None:
                raise CheckError("proof: a multiplier has the wrong sign for its row")
            value += y * side
            for column, coefficient in entries.items():
                reduced[column] = reduced.get(column, NONE) - y * coefficient
        for column, cost in reduced.items():
            least, most = self.ends(column, fixed)
            if most is None:
                if cost < 0:
                    raise CheckError("proof: the multipliers of an image's loss are too large")
                value += cost * least
            else:
                value += min(cost * least, cost * most)
        return value
