"""Linear functions below and above the outputs of a layer.

Their variables are the layer's pre-activations and scores (mathematics:bounds-3).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.maps import Array

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Functions:
    """Linear functions below and above each output of a layer.

    Each is slope * a[entry] + gain * s[its unit] + constant.

    Parameters
    ----------
    slope, gain, constant : tuple of array
        Pairs (below, above) of arrays (n, outputs).
    entry : array of int, optional
        The pre-activation that each max-pooling output reads, (n, outputs). Without it output i
        reads pre-activation i.
    """

    slope: tuple[Array, Array]
    gain: tuple[Array, Array]
    constant: tuple[Array, Array]
    entry: NDArray[np.int64] | None = None


def relu_functions(low: Array, high: Array, known: Mask, scored: bool, by_score: bool = False) -> Functions:
    """Functions around ReLU outputs with pre-activations in [low, high].

    A constant pre-activation c has h = s max(c, 0) for a scored unit (mathematics:model-2).
    Otherwise h lies below U+ s. It also lies below U (a - L) / (U - L) where the ReLU is open, and
    below a - L (1 - s) where it is on (mathematics:bounds-3). These hold in the gates ``switch``
    and ``subtractive``, whose M is at least U+. Together they are the concave envelope of either
    gate over the box of (a, s). From below h is at least 0. A score of 0 reaches that, so a slope
    would gain nothing.

    A ReLU without a score has the functions of CROWN (Zhang, Weng, Chen, Hsieh, Daniel 2018).

    Parameters
    ----------
    low, high : array
        Bounds (n, pre-activations).
    known : array of bool
        Whether a pre-activation is one number, whatever the scores are, (n, pre-activations).
    scored : bool
        Whether the units have scores.
    by_score : bool, default False
        Whether to take U+ s as the function above.

    Returns
    -------
    Functions
        A function below and one above each output.
    """
    zero = np.zeros_like(low)
    on, off = low >= 0, high <= 0
    open_ = ~on & ~off
    slope = np.where(open_, high / np.where(open_, high - low, 1.0), np.where(on, 1.0, 0.0))
    above = np.where(open_, -slope * low, 0.0)
    value = np.where(known, np.maximum(high, 0.0), 0.0)
    if not scored:
        slope = np.where(known, 0.0, slope)
        below = np.where(known, 0.0, np.where(open_, high > -low, on)).astype(np.float64)
        return Functions((below, slope), (zero, zero), (value, np.where(known, value, above)))
    if by_score:
        return Functions((zero, zero), (value, np.maximum(high, 0.0)), (zero, zero))
    gain = np.where(known, value, np.where(on, low, 0.0))
    above = np.where(known, 0.0, np.where(on, -low, above))
    return Functions((zero, np.where(known, 0.0, slope)), (value, gain), (zero, above))


def max_functions(
    windows: NDArray[np.int64], low: Array, high: Array, scale: Array, unit: NDArray[np.int64]
) -> tuple[Functions, NDArray[np.int64]]:
    """Functions around max-pooling outputs with inputs in [low, high].

    The maximum of several r s with one s is the largest r times s. Otherwise the output is at least
    the input with the largest lower bound, and equal to it where no other can be larger. It is at
    most the largest upper bound in any case.

    Parameters
    ----------
    windows : array of int
        The inputs of each output, (outputs, entries), -1 for none.
    low, high : array
        Bounds (n, inputs).
    scale : array
        The number r where an input is r s exactly, NaN elsewhere, (n, inputs).
    unit : array of int
        The unit whose score an input has, (inputs,), -1 for none.

    Returns
    -------
    Functions
        A function below and one above each output.
    array of int
        The units of the outputs, (outputs,).
    """
    inside = (windows >= 0)[None]
    lows, highs = np.where(inside, low[:, windows], -np.inf), np.where(inside, high[:, windows], -np.inf)
    largest = lows.max(axis=2, keepdims=True)
    # Scored inputs can all be 0, so among equal lower bounds the largest upper one is taken.
    best = np.where(lows == largest, highs, -np.inf).argmax(axis=2)
    others = highs.copy()
    np.put_along_axis(others, best[:, :, None], -np.inf, axis=2)
    single = others.max(axis=2) <= largest[:, :, 0]
    top = highs.max(axis=2)
    known = top == largest[:, :, 0]
    scales = np.where(inside, scale[:, windows], 0.0).max(axis=2)
    units = np.where(inside[0], unit[windows], -2)
    first = units.max(axis=1)
    exact = ~np.isnan(scales) & ((units == first[:, None]) | (units == -2)).all(axis=1) & (first >= 0)
    gain = np.where(exact & ~known, scales, 0.0)
    free = ~known & ~exact
    entry = np.take_along_axis(np.broadcast_to(windows[None], lows.shape), best[:, :, None], axis=2)[:, :, 0]
    functions = Functions(
        (free.astype(np.float64), (free & single).astype(np.float64)),
        (gain, gain),
        (np.where(known, top, 0.0), np.where(known | (free & ~single), top, 0.0)),
        entry,
    )
    return functions, first


def affine_functions(low: Array, high: Array) -> Functions:
    """Functions of a layer without activation: its pre-activations themselves.

    The pre-activations have the shape (n, pre-activations).
    """
    known = low == high
    slope, value = np.where(known, 0.0, 1.0), np.where(known, low, 0.0)
    zero = np.zeros_like(low)
    return Functions((slope, slope), (zero, zero), (value, value))
