"""Bounds of the nodes of flat networks over a box.

Linear functions are substituted back to the box.

See mathematics:box-1..2. A node lies between two functions that are linear in earlier nodes. They
are substituted from the last node to the first, until they are functions of the inputs alone. Their
least and largest values over the box are known.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.bounds.interval import OUTWARD
from oamip_model.bounds.substitution import collect
from oamip_model.certify.box import Box
from oamip_model.certify.flat import Flat, Node
from oamip_model.clock import tick
from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE

_ENTRIES = 4_000_000
"""Coefficients held at once."""


@dataclass(frozen=True, eq=False)
class Line:
    """A function that is linear in earlier nodes.

    It is the sum of ``terms``, (source, matrix) pairs, and a constant.
    """

    terms: tuple[tuple[int, sp.csr_array], ...]
    constant: Array


@dataclass
class Envelope:
    """Bounds of each node, and the linear functions below and above it.

    Nodes are added in order. An affine node has one function, which is both.
    """

    box: Box
    low: list[Array] = field(default_factory=list)
    high: list[Array] = field(default_factory=list)
    under: list[Line] = field(default_factory=list)
    over: list[Line] = field(default_factory=list)

    def interval(self, source: int) -> tuple[Array, Array]:
        """Bounds of a node, or of the inputs."""
        return (self.box.lower, self.box.upper) if source == IMAGE else (self.low[source], self.high[source])

    def of_line(self, line: Line) -> tuple[Array, Array]:
        """Bounds of a linear function by interval arithmetic."""
        low, high, size = line.constant.copy(), line.constant.copy(), np.abs(line.constant)
        for source, matrix in line.terms:
            least, most = self.interval(source)
            up, down = matrix.maximum(0), matrix.minimum(0)
            low, high = low + up @ least + down @ most, high + up @ most + down @ least
            size = size + (up - down) @ np.maximum(np.abs(least), np.abs(most))
        return low - OUTWARD * size, high + OUTWARD * size

    def substituted(self, line: Line, at: NDArray[np.int64]) -> tuple[Array, Array]:
        """Bounds of some entries of a linear function by substitution, (entries,) each."""
        width = max([self.box.size, *(len(low) for low in self.low)])
        step = max(_ENTRIES // width, 1)
        parts = [at[k : k + step] for k in range(0, len(at), step)]
        sides = [[self._one_side(line, part, sign) for part in parts] for sign in (-1.0, 1.0)]
        return -np.concatenate(sides[0]), np.concatenate(sides[1])

    def _one_side(self, line: Line, at: NDArray[np.int64], sign: float) -> Array:
        """Upper bounds of ``sign`` times some entries of a linear function."""
        waiting: dict[int, Array] = {}
        for source, matrix in line.terms:
            collect(waiting, source, sign * matrix[at].toarray())
        total, size = sign * line.constant[at], np.abs(line.constant[at])
        for k in range(len(self.low) - 1, -1, -1):
            if k not in waiting:
                continue
            tick("bounds over a box")
            c = waiting.pop(k)
            size = size + np.abs(c) @ np.maximum(np.abs(self.low[k]), np.abs(self.high[k]))
            if self.under[k] is self.over[k]:
                pieces: tuple[tuple[Array, Line], ...] = ((c, self.over[k]),)
            else:
                pieces = ((np.maximum(c, 0.0), self.over[k]), (np.minimum(c, 0.0), self.under[k]))
            for part, function in pieces:
                total = total + part @ function.constant
                for source, matrix in function.terms:
                    collect(waiting, source, np.ascontiguousarray((matrix.T @ part.T).T))
        if IMAGE in waiting:
            c = waiting[IMAGE]
            total = total + np.maximum(c, 0.0) @ self.box.upper + np.minimum(c, 0.0) @ self.box.lower
            size = size + np.abs(c) @ np.maximum(np.abs(self.box.lower), np.abs(self.box.upper))
        return np.asarray(total + OUTWARD * size)

    def add(self, under: Line, over: Line, low: Array, high: Array) -> None:
        """Add a node with its functions and bounds."""
        if not (np.isfinite(low).all() and np.isfinite(high).all()):
            raise InputError("domain: bounds over it overflow, accepted are smaller inputs or weights")
        self.under.append(under)
        self.over.append(over)
        self.low.append(low)
        self.high.append(high)

    def add_affine(self, line: Line, known: tuple[Array, Array] | None = None, everywhere: bool = False) -> None:
        """Add a linear node, bounded by intervals and by substitution.

        known: bounds that hold besides; everywhere: substitute for all entries, not only those with an open sign.
        """
        low, high = self.of_line(line)
        if known is not None:
            low, high = met((low, high), known)
        deep = any(source != IMAGE for source, _ in line.terms)
        at = np.flatnonzero((low < high) & (everywhere | ((low < 0) & (high > 0))))
        if deep and len(at):
            low[at], high[at] = met((low[at], high[at]), self.substituted(line, at))
        self.add(line, line, low, high)


def met(one: tuple[Array, Array], other: tuple[Array, Array]) -> tuple[Array, Array]:
    """The tighter of two pairs of bounds, entry by entry.

    Where rounding makes them cross, both stand.
    """
    low, high = np.maximum(one[0], other[0]), np.minimum(one[1], other[1])
    crossed = low > high
    return np.where(crossed, np.minimum(low, high), low), np.where(crossed, np.maximum(low, high), high)


def line_of(node: Node) -> Line:
    """The function of an affine node."""
    assert node.bias is not None
    return Line(node.terms, node.bias)


def bounded(net: Flat, box: Box, given: dict[int, tuple[Array, Array]] | None = None) -> Envelope:
    """The nodes of a network with their bounds over a box.

    given: bounds of pre-activations, by node, that are known besides.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> from oamip_model.certify.flat import flat
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> box = Box.of((0, 1), (4,))
    >>> net = flat(om.read_network(module, (4,)))
    >>> found, seen = bounded(net, box), net.values(box.sample(50))
    >>> all(bool((low <= x).all() and (x <= high).all()) for low, high, x in zip(found.low, found.high, seen))
    True
    """
    found = Envelope(box)
    for k, node in enumerate(net.nodes):
        add_node(found, node, None if given is None else given.get(k), last=k == len(net.nodes) - 1)
    return found


def add_node(
    found: Envelope, node: Node, known: tuple[Array, Array] | None = None, offset: int = 0, last: bool = False
) -> None:
    """Add a node of a flat network.

    Its sources stand ``offset`` places later among the nodes here.
    """
    if node.kind == "affine":
        line = line_of(node)
        terms = tuple((source if source == IMAGE else source + offset, matrix) for source, matrix in line.terms)
        found.add_affine(Line(terms, line.constant), known, everywhere=last)
        return
    of = node.of + offset
    low, high = found.low[of], found.high[of]
    if node.kind == "relu":
        under, over = relu_lines(of, low, high)
        found.add(under, over, np.maximum(low, 0.0), np.maximum(high, 0.0))
        return
    assert node.windows is not None
    under, over = _max_lines(of, node.windows, low, high)
    tops = np.append(high, -np.inf)[node.windows].max(axis=1), np.append(low, -np.inf)[node.windows].max(axis=1)
    found.add(under, over, tops[1], tops[0])


def relu_lines(of: int, low: Array, high: Array) -> tuple[Line, Line]:
    """The linear functions around ReLUs of a node with these bounds."""
    on, off = low >= 0, high <= 0
    width = np.where(on | off, 1.0, high - low)
    slope = np.where(on, 1.0, np.where(off, 0.0, high / width))
    constant = np.where(on | off, 0.0, -slope * low)
    below = np.where(on | (~off & (high > -low)), 1.0, 0.0)
    return Line(((of, diagonal(below)),), np.zeros(len(low))), Line(((of, diagonal(slope)),), constant)


def _max_lines(of: int, windows: NDArray[np.int64], low: Array, high: Array) -> tuple[Line, Line]:
    lows, highs = np.append(low, -np.inf)[windows], np.append(high, -np.inf)[windows]
    best = lows.argmax(axis=1)
    row = np.arange(len(windows))
    entry = windows[row, best]
    others = highs.copy()
    others[row, best] = -np.inf
    # Where no other entry can be larger, the maximum is that entry.
    single = others.max(axis=1) <= lows[row, best]
    pick = sp.csr_array((np.ones(len(row)), (row, entry)), shape=(len(row), len(low)))
    under = Line(((of, pick),), np.zeros(len(row)))
    over = Line(((of, sp.csr_array(diagonal(single.astype(np.float64)) @ pick)),),
                np.where(single, 0.0, highs.max(axis=1)))  # fmt: skip
    return under, over


def diagonal(values: Array) -> sp.csr_array:
    """The matrix with these numbers on its diagonal."""
    return sp.csr_array(sp.dia_array((values[None], [0]), shape=(len(values), len(values))))
