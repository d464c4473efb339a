"""Rows of a program as one sparse matrix for each variable.

It also holds what their rules have in common.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from oamip_model.formulation.layout import Expressions, Layout, Name
from oamip_model.network.maps import Array


@dataclass
class MatrixRows:
    """Rows lower <= sum of blocks @ variables <= upper, one name each.

    Parameters
    ----------
    names : sequence
        The index of each row.
    lower, upper : array
        Bounds (rows,), infinite where there is none.
    blocks : list of tuple
        Pairs of an indexed Var and a csr matrix (rows, len(var)). The columns follow the order of
        the Var's index set.
    """

    names: Sequence[Hashable]
    lower: Array
    upper: Array
    blocks: list[tuple[Any, sp.csr_array]]

    @classmethod
    def of(cls, names: Sequence[Hashable], lower: ArrayLike = -np.inf, upper: ArrayLike = np.inf) -> MatrixRows:
        """Rows without coefficients yet; a single number stands for every row."""
        size = (len(names),)
        return cls(
            names,
            np.array(np.broadcast_to(np.asarray(lower, dtype=np.float64), size)),
            np.array(np.broadcast_to(np.asarray(upper, dtype=np.float64), size)),
            [],
        )

    def plus(self, variable: Any, columns: ArrayLike, coefficients: ArrayLike = 1.0) -> MatrixRows:
        """Add one coefficient to each row.

        Row r gets coefficients[r] times the variable's entry number columns[r].

        A column of -1 leaves the row without this variable.
        """
        index = np.asarray(columns, dtype=np.int64)
        values = np.broadcast_to(np.asarray(coefficients, dtype=np.float64), index.shape)
        keep = (index >= 0) & (values != 0)
        pointers = np.concatenate(([0], np.cumsum(keep)))
        shape = (len(self.names), len(variable))
        return self.plus_matrix(variable, sp.csr_array((values[keep], index[keep], pointers), shape=shape))

    def plus_matrix(self, variable: Any, block: sp.csr_array) -> MatrixRows:
        """A whole block of coefficients, (rows, len(variable))."""
        self.blocks.append((variable, block))
        return self

    def take(self, at: NDArray[np.int64]) -> MatrixRows:
        """Some of the rows, in the order of their numbers ``at``."""
        names = [self.names[k] for k in at.tolist()]
        return MatrixRows(names, self.lower[at], self.upper[at], [(v, b[at]) for v, b in self.blocks])


Rule: TypeAlias = Callable[[Any], MatrixRows]
"""From an instance of the model to the rows of one of its constraints."""


def plus_expressions(rows: MatrixRows, model: Any, expressions: Expressions, sign: float) -> MatrixRows:
    """Rows with sign * (matrix @ (s, a, h)) added.

    The constant is the caller's business.
    """
    units, pre = len(model.s), len(model.a)
    matrix = expressions.matrix * sign
    rows.plus_matrix(model.s, matrix[:, :units])
    rows.plus_matrix(model.a, matrix[:, units : units + pre])
    return rows.plus_matrix(model.h, matrix[:, units + pre :])


def merged(rows: MatrixRows) -> MatrixRows:
    """The same rows with one block per variable."""
    blocks: dict[int, tuple[Any, Any]] = {}
    for variable, block in rows.blocks:
        known = blocks.get(id(variable))
        blocks[id(variable)] = (variable, block if known is None else known[1] + block)
    return MatrixRows(rows.names, rows.lower, rows.upper, list(blocks.values()))


def names_of(layout: Layout, act: NDArray[np.int64]) -> list[Name]:
    """Names (image, layer, activation) of entries of ACT."""
    return [layout.act[k] for k in act.tolist()]
