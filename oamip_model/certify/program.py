"""The mixed-integer program of flat networks over a box of inputs.

See mathematics:box-3. Its columns are the inputs, the nodes in order, and a state of each ReLU or window that is open.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.certify.box import Box
from oamip_model.certify.flat import Node
from oamip_model.certify.substitution import Line
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE
from oamip_model.solving.protocol import Arrays

Index = NDArray[np.int64]


@dataclass
class BoxProgram:
    """A program that grows node by node. ``arrays`` is the finished one."""

    box: Box
    starts: list[int] = field(default_factory=list)
    low: list[Array] = field(default_factory=list)
    high: list[Array] = field(default_factory=list)
    integral: list[NDArray[np.bool_]] = field(default_factory=list)
    rows: list[tuple[list[tuple[Index, Index, Array]], Array, Array]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    width: int = 0

    def __post_init__(self) -> None:
        self.columns(self.box.lower, self.box.upper)

    def columns(self, low: Array, high: Array, integral: bool = False) -> Index:
        """New columns with these bounds."""
        first, self.width = self.width, self.width + len(low)
        self.low.append(low)
        self.high.append(high)
        self.integral.append(np.full(len(low), integral))
        return np.arange(first, self.width)

    def binaries(self, count: int) -> Index:
        """New binary columns."""
        return self.columns(np.zeros(count), np.ones(count), integral=True)

    def at(self, source: int) -> Index:
        """The columns of a node, or of the inputs."""
        if source == IMAGE:
            return np.arange(self.box.size)
        return self.starts[source] + np.arange(self.sizes[source])

    def add_rows(self, pieces: list[tuple[Index, Array | float]], low: Array | float, high: Array | float) -> None:
        """Rows low <= sum of values * columns <= high, one for each entry of the pieces."""
        count = len(pieces[0][0])
        entries = [(np.arange(count), columns, np.broadcast_to(value, (count,))) for columns, value in pieces]
        self.rows.append((entries, np.broadcast_to(low, (count,)), np.broadcast_to(high, (count,))))

    def add_line(self, own: Index, line: Line) -> None:
        """Rows that say that columns are a linear function of nodes."""
        entries = [(np.arange(len(own)), own, np.ones(len(own)))]
        for source, matrix in line.terms:
            part = matrix.tocoo()
            entries.append((part.row, self.at(source)[part.col], -part.data))
        self.rows.append((entries, line.constant, line.constant))

    def add_node(self, node: Node, low: Array, high: Array, offset: int = 0) -> None:
        """Add a node of a flat network with these bounds.

        Its sources stand ``offset`` places later here.
        """
        own = self.columns(low, high)
        self.starts.append(int(own[0]) if len(own) else self.width)
        self.sizes.append(len(own))
        if node.kind == "affine":
            assert node.bias is not None
            terms = tuple((s if s == IMAGE else s + offset, matrix) for s, matrix in node.terms)
            self.add_line(own, Line(terms, node.bias))
        elif node.kind == "relu":
            self._relu(own, node.of + offset)
        else:
            assert node.windows is not None
            self._max(own, node.of + offset, node.windows)

    def add_linear(self, line: Line, low: Array, high: Array) -> None:
        """A node that is a linear function of earlier ones, with these bounds."""
        own = self.columns(low, high)
        self.starts.append(int(own[0]) if len(own) else self.width)
        self.sizes.append(len(own))
        self.add_line(own, line)

    def bounds(self, source: int) -> tuple[Array, Array]:
        """The bounds of a node's columns."""
        at = self.at(source)
        return np.concatenate(self.low)[at], np.concatenate(self.high)[at]

    def _relu(self, h: Index, source: int) -> None:
        a, (low, high) = self.at(source), self.bounds(source)
        on, some = np.flatnonzero(low >= 0), np.flatnonzero((low < 0) & (high > 0))
        # A ReLU that is always off has the bounds 0 and 0.
        if len(on):
            self.add_rows([(h[on], 1.0), (a[on], -1.0)], 0.0, 0.0)
        if len(some):
            z = self.binaries(len(some))
            h, a, low, high = h[some], a[some], low[some], high[some]
            one = np.ones(len(some))
            self.add_rows([(h, one), (a, -one)], 0.0, np.inf)
            self.add_rows([(h, one), (a, -one), (z, -low)], -np.inf, -low)
            self.add_rows([(h, one), (z, -high)], -np.inf, 0.0)

    def _max(self, h: Index, source: int, windows: NDArray[np.int64]) -> None:
        a, (low, high) = self.at(source), self.bounds(source)
        inside = windows >= 0
        floor = np.append(low, -np.inf)[windows].max(axis=1)
        top = np.append(high, -np.inf)[windows].max(axis=1)
        row, place = np.nonzero(inside & (np.append(high, -np.inf)[windows] >= floor[:, None]))
        entry = windows[row, place]
        one = np.ones(len(row))
        q = self.binaries(len(row))
        self.add_rows([(h[row], one), (a[entry], -one)], 0.0, np.inf)
        # Where entry j is chosen, the output is no more than it.
        slack = top[row] - low[entry]
        self.add_rows([(h[row], one), (a[entry], -one), (q, slack)], -np.inf, slack)
        each = [(row, q, one)]
        self.rows.append((each, np.ones(len(h)), np.ones(len(h))))

    def arrays(self, cost: Array | None = None, sense: int = 1) -> Arrays:
        """The program, with costs (columns,) or none."""
        parts, low, high, first = [], [], [], 0
        for entries, least, most in self.rows:
            for row, column, value in entries:
                parts.append((row + first, column, value))
            low.append(least)
            high.append(most)
            first += len(least)
        row, column, value = (np.concatenate(side) for side in zip(*parts, strict=True))
        matrix = sp.csr_array((value, (row, column)), shape=(first, self.width))
        return Arrays(
            matrix, np.zeros(self.width) if cost is None else cost, np.concatenate(self.low), np.concatenate(self.high),
            np.concatenate(low), np.concatenate(high), np.concatenate(self.integral), sense=sense,
        )  # fmt: skip
