"""The tangents of a proof's losses: rows that its tree adds to one loaded program.

See mathematics:proof-1. A loss is the cross-entropy of an image's logits.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.network.maps import Array
from oamip_model.solving.proofs.certificates import Rows
from oamip_model.solving.protocol import TreeSession

_LEAST = 1e-9
"""Probabilities below this count as 0. Any probabilities give a valid tangent, and solvers drop small coefficients."""
_CLOSE = 1e-9
"""Share of a loss by which its tangents may fall short."""
_AGE = 10
"""Optima in a row in which a tangent may be slack before it is dropped."""
_MANY = 4
"""Tangents are dropped where more than this many for each image are slack for so long."""
_MISSING = 1e-14
"""Share by which probabilities are made smaller, so that those before the last one have a sum below 1."""
_ENTROPY = 1e-11
"""What an entropy in a row lies below the computed one, beyond its rounding."""


class LossTangents:
    """Tangents t_n >= sum_c p_c o_c - o_y + H(p), for any probabilities p.

    Parameters
    ----------
    losses : array of int
        The columns t of the images, (n,).
    logits : array of int
        The columns of their logits, (n, classes).
    labels : array of int
        Their classes (n,).
    width : int
        Number of columns.
    """

    def __init__(self, losses: NDArray[np.int64], logits: NDArray[np.int64], labels: Sequence[int], width: int) -> None:
        self._losses, self._logits, self._labels, self._width = losses, logits, np.asarray(labels), width
        self.images: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self.slopes: Array = np.zeros((0, logits.shape[1]))
        self.rows = Rows(sp.csr_array((0, width)), np.zeros(0), np.zeros(0))
        self._idle: NDArray[np.int64] = np.zeros(0, dtype=np.int64)

    def short(self, x: Array) -> Array:
        """The amount (n,) by which the tangents fall short of each loss at a point.

        It is 0 where that is little.
        """
        o = x[self._logits]
        peak = o.max(axis=1)
        own = o[np.arange(len(o)), self._labels]
        loss = np.log(np.exp(o - peak[:, None]).sum(axis=1)) + peak - own
        missing = loss - x[self._losses]
        return np.asarray(np.where(missing > _CLOSE * np.maximum(1.0, np.abs(loss)), missing, 0.0))

    def add(self, x: Array, images: NDArray[np.int64], session: TreeSession) -> None:
        """Add the tangents of some images at a point."""
        o = x[self._logits[images]]
        p = np.exp(o - o.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        p[p < _LEAST] = 0.0
        # A file has all but the last probability, which is what is missing to 1 and must not be negative.
        slopes = p * (1.0 - _MISSING)
        slopes[:, -1] = np.maximum(1.0 - slopes[:, :-1].sum(axis=1), 0.0)
        entropy = -(slopes * np.log(np.where(slopes > 0, slopes, 1.0))).sum(axis=1) - _ENTROPY
        values = -slopes
        values[np.arange(len(images)), self._labels[images]] += 1.0
        columns = np.column_stack([self._losses[images], self._logits[images]])
        row = np.repeat(np.arange(len(images)), columns.shape[1])
        entries = np.column_stack([np.ones(len(images)), values]).reshape(-1)
        matrix = sp.csr_array((entries, (row, columns.reshape(-1))), shape=(len(images), self._width))
        added = Rows(matrix, entropy, np.full(len(images), np.inf))
        session.add_rows(matrix, added.low, added.high)
        self.rows = Rows.joined([self.rows, added])
        self.images = np.concatenate([self.images, images])
        self.slopes = np.concatenate([self.slopes, slopes])
        self._idle = np.concatenate([self._idle, np.zeros(len(images), dtype=np.int64)])

    def age(self, x: Array, session: TreeSession) -> None:
        """Count how long each tangent has been slack, and drop those slack for long.

        They are dropped where they are many.
        """
        slack = self.rows.matrix @ x - self.rows.low > 1e-7 * np.maximum(1.0, np.abs(self.rows.low))
        self._idle = np.where(slack, self._idle + 1, 0)
        keep = self._idle < _AGE
        if len(keep) - int(keep.sum()) <= _MANY * len(self._losses):
            return
        session.keep_rows(keep)
        at = np.flatnonzero(keep)
        self.rows, self.images, self.slopes, self._idle = (
            self.rows.take(at), self.images[at], self.slopes[at], self._idle[at]
        )  # fmt: skip
