"""The rows that no gate has a say in.

They are those of affine maps, of ReLUs that bounds decide, and of max pooling.

A layout's arrays stand for the symbols of the mathematics, and columns for h, a, s and z.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from oamip_model.formulation.layout import Expressions
from oamip_model.formulation.rows import MatrixRows, merged, names_of, plus_expressions
from oamip_model.network.maps import Array


def preactivation(model: Any) -> MatrixRows:
    """The pre-activations a equal an affine map of the activations before them.

    See mathematics:model-1.
    """
    x: Expressions = model.layout.value.pre_rows
    rows = MatrixRows.of(model.layout.value.pre, x.constant, x.constant).plus(model.a, np.arange(len(model.a)))
    return merged(plus_expressions(rows, model, x, -1.0))


def logits(model: Any) -> MatrixRows:
    """The logits o equal an affine map of the last hidden activations.

    See mathematics:model-1.
    """
    x: Expressions = model.layout.value.logits
    rows = MatrixRows.of(list(model.LOGIT), x.constant, x.constant).plus(model.o, np.arange(len(model.o)))
    return plus_expressions(rows, model, x, -1.0)


def relu_held(model: Any) -> MatrixRows:
    """Limits of what a decided ReLU reads, where its bounds need not hold.

    Bounds that hold for every score need no such rows. In the published gate they are L <= a <= 0
    for a ReLU that is off, and 0 <= h <= U+ for one that is on (mathematics:gate-pub-4). With a
    cutoff they are a <= 0 and a >= 0 (mathematics:gate-sub-7).
    """
    held = model.layout.value.held
    rows = MatrixRows.of(held.names, held.lower - held.rows.constant, held.upper - held.rows.constant)
    return plus_expressions(rows, model, held.rows, 1.0)


def pool_lower(model: Any) -> MatrixRows:
    """o >= h_j for every window entry that can be the maximum (mathematics:pool-1).

    The output o is a variable h of its own.
    """
    pooled = model.layout.value.pooled
    rows = MatrixRows.of(model.layout.value.choice, pooled.entries.constant).plus(model.h, pooled.act)
    return merged(plus_expressions(rows, model, pooled.entries, -1.0))


def pool_upper(model: Any) -> MatrixRows:
    """o <= h_j + (Umax_{-j} - L_j)(1 - q_j) (mathematics:pool-2)."""
    pooled = model.layout.value.pooled
    big_m: Array = pooled.big_m
    rows = MatrixRows.of(model.layout.value.choice, upper=pooled.entries.constant + big_m).plus(model.h, pooled.act)
    return merged(plus_expressions(rows, model, pooled.entries, -1.0)).plus(model.q, np.arange(len(model.q)), big_m)


def pool_choice(model: Any) -> MatrixRows:
    """One entry of each window is the maximum: its q add up to 1.

    See mathematics:pool-3.
    """
    pooled = model.layout.value.pooled
    outputs, row = np.unique(pooled.act, return_inverse=True)
    rows = MatrixRows.of(names_of(model.layout.value, outputs), 1.0, 1.0)
    ones = (np.ones(len(row)), (row, np.arange(len(row))))
    return rows.plus_matrix(model.q, sp.csr_array(ones, shape=(len(outputs), len(model.q))))
