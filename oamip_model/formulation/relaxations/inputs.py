"""The pre-activations of gated ReLUs, term by term.

Relaxations that look into them need it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from oamip_model.formulation.layout import Index, Layout
from oamip_model.network.maps import Array


@dataclass(frozen=True)
class Inputs:
    """The terms of the pre-activations of gated ReLUs.

    There is one entry for each non-zero weight.

    Parameters
    ----------
    row : array of int
        Entry of :class:`Gated`.
    column : array of int
        Column of the variables s, a, h in turn.
    weight : array
        The weights.
    low, high : array
        Least and most of weight times variable.
    constant : array
        The pre-activations without their terms, (gated,).
    """

    row: Index
    column: Index
    weight: Array
    low: Array
    high: Array
    constant: Array

    @classmethod
    def of(cls, layout: Layout) -> Inputs:
        """The terms of a layout's gated ReLUs, row by row."""
        rows = layout.pre_rows.take(layout.gated.pre)
        terms = rows.matrix.tocoo()
        least = np.concatenate([layout.score_lower, layout.pre_lower, layout.act_lower])[terms.col]
        most = np.concatenate([np.ones(len(layout.unit)), layout.pre_upper, layout.act_upper])[terms.col]
        one, other = terms.data * least, terms.data * most
        return cls(
            terms.row.astype(np.int64), terms.col.astype(np.int64), terms.data,
            np.minimum(one, other), np.maximum(one, other), rows.constant,
        )  # fmt: skip
