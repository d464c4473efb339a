"""The linear relaxation of a network up to one layer, for one image.

It is valid in every sound gate (mathematics:bounds-4).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.bounds import Bounds
from oamip_model.formulation.arrange import arrange
from oamip_model.formulation.gates import LOWEST, gate_named
from oamip_model.formulation.layout import Expressions, Layout
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.solving.protocol import Arrays


@dataclass(frozen=True)
class Relaxation:
    """Rows over scores s, pre-activations a, activations h and pooling choices q.

    Costs are all 0.

    arrays: the rows, every column bounded; targets: pre-activations of the layer as expressions in the columns;
    scores: number of columns that are scores.
    """

    arrays: Arrays
    targets: Expressions
    scores: int


def relaxation(network: Network, image: Array, bounds: Bounds, sound: Bounds, layer: int) -> Relaxation:
    """The relaxation before a layer for one image.

    A ReLU without a score has its triangle. One with a score s has no rows for a state z. It has
    the concave envelope of both sound gates over the box of (a, s). From below it has the gate
    ``subtractive`` itself, which lies below ``switch`` (M >= U+):

        h >= 0,  h >= a - (1 - s) M,  h <= U s,  h <= U (a - L) / (U - L)  or, with L >= 0,  h <= a
        - L (1 - s)

    Projecting z out of the rows of the gate gives less: there the last row is that over a - (1 - s)
    M (mathematics:bounds-4).

    Parameters
    ----------
    network : Network
        The network.
    image : array
        One image (1, *input_shape).
    bounds, sound : Bounds
        Bounds so far, and interval bounds, of this image.
    layer : int
        The layer.

    Returns
    -------
    Relaxation
        The program, whose targets are the layer's pre-activations.
    """
    return assembled(arrange(*cut_behind(network, image, bounds, sound, layer), gate_named(LOWEST)))


def cut_behind(
    network: Network, image: Array, bounds: Bounds, sound: Bounds, layer: int
) -> tuple[Network, Array, Bounds, Bounds]:
    """The network that ends with the pre-activations of a layer, with its bounds."""
    last = replace(network.layers[layer], activation="none", pool=None, group=None, units=None)
    cut = replace(network, layers=(*network.layers[:layer], last))
    return cut, image, _until(bounds, layer), _until(sound, layer)


def with_columns(arrays: Arrays, lower: Array, upper: Array) -> Arrays:
    """The program with further continuous columns, in no row yet."""
    count = len(lower)
    return replace(
        arrays, matrix=widened(arrays.matrix, len(arrays.cost) + count),
        cost=np.concatenate([arrays.cost, np.zeros(count)]),
        lower=np.concatenate([arrays.lower, lower]), upper=np.concatenate([arrays.upper, upper]),
        integral=np.concatenate([arrays.integral, np.zeros(count, dtype=bool)]),
    )  # fmt: skip


def _until(bounds: Bounds, layer: int) -> Bounds:
    sides = ("lower", "upper", "output_lower", "output_upper")
    return replace(bounds, **{side: getattr(bounds, side)[: layer + 1] for side in sides})


def assembled(layout: Layout) -> Relaxation:
    """The relaxation of a layout, with its logits as targets; see :func:`relaxation`."""
    scores, pre, act, choice = len(layout.unit), len(layout.pre), len(layout.act), len(layout.choice)
    width = scores + pre + act + choice
    g = layout.gated
    a, h, s = scores + g.pre, scores + pre + g.act, g.score
    scored, on = s >= 0, g.lower >= 0
    blocks: list[tuple[sp.csr_array, Array, Array]] = []

    def add(at: NDArray[np.int64], pieces: list[tuple[NDArray[np.int64], Array]], low: Array, high: Array) -> None:
        rows = np.concatenate([np.arange(len(at))] * len(pieces))
        values = np.concatenate([coefficients[at] for _, coefficients in pieces])
        columns = np.concatenate([where[at] for where, _ in pieces])
        blocks.append((sp.csr_array((values, (rows, columns)), shape=(len(at), width)), low[at], high[at]))

    x = layout.pre_rows
    defined = sp.hstack([sp.csr_array((pre, scores)), sp.eye_array(pre), sp.csr_array((pre, act))], format="csr")
    blocks.append((widened(sp.csr_array(defined - x.matrix), width), x.constant, x.constant))
    one, free = np.ones(len(a)), np.full(len(a), np.inf)
    scale = np.where(scored, g.scale, 0.0)
    add(np.flatnonzero(scored), [(h, one), (a, -one), (s, -scale)], -scale, free)
    add(np.flatnonzero(~scored), [(h, one), (a, -one)], 0 * one, free)
    add(np.flatnonzero(scored), [(h, one), (s, -g.upper)], -free, 0 * one)
    slope = np.where(on, 1.0, g.upper / np.where(on, 1.0, g.upper - g.lower))
    add(np.flatnonzero(~on), [(h, one), (a, -slope)], -free, -slope * g.lower)
    add(np.flatnonzero(on & scored), [(h, one), (a, -one), (s, -g.lower)], -free, -g.lower)

    pooled = layout.pooled
    output, q = scores + pre + pooled.act, np.arange(choice)
    picked = sp.csr_array((np.ones(choice), (q, output)), shape=(choice, width)) - widened(pooled.entries.matrix, width)
    chosen = sp.csr_array((pooled.big_m, (q, width - choice + q)), shape=(choice, width))
    endless = np.full(choice, np.inf)
    blocks.append((sp.csr_array(picked), pooled.entries.constant, endless))
    blocks.append((sp.csr_array(picked + chosen), -endless, pooled.entries.constant + pooled.big_m))
    outputs, row = np.unique(pooled.act, return_inverse=True)
    each = sp.csr_array((np.ones(choice), (row, width - choice + q)), shape=(len(outputs), width))
    blocks.append((each, np.ones(len(outputs)), np.ones(len(outputs))))

    arrays = Arrays(
        sp.csr_array(sp.vstack([block for block, _, _ in blocks], format="csr")), np.zeros(width),
        np.concatenate([layout.score_lower, layout.pre_lower, layout.act_lower, np.zeros(choice)]),
        np.concatenate([np.ones(scores), layout.pre_upper, layout.act_upper, np.ones(choice)]),
        np.concatenate([lower for _, lower, _ in blocks]), np.concatenate([upper for _, _, upper in blocks]),
        np.zeros(width, dtype=bool),
    )  # fmt: skip
    targets = Expressions(widened(layout.logits.matrix, width), layout.logits.constant)
    return Relaxation(arrays, targets, scores)


def widened(matrix: sp.csr_array, width: int) -> sp.csr_array:
    """The matrix with empty columns after its own, ``width`` in all."""
    # Copies, so that sorting one in place does not change the other.
    parts = matrix.data.copy(), matrix.indices.copy(), matrix.indptr.copy()
    return sp.csr_array(parts, shape=(matrix.shape[0], width))
