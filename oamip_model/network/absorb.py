"""Batch norm or an added constant behind an activation.

They become part of the weights that read it (mathematics:model-6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from oamip_model.network.layer import IMAGE, Layer, Term
from oamip_model.network.maps import (
    Array,
    AveragePool,
    ChannelScale,
    ChannelwiseMap,
    Conv2d,
    Dense,
    Identity,
    LinearMap,
    Rearrange,
    Shape,
)


@dataclass(frozen=True)
class Shifted:
    """A scale and a shift of each channel of a tensor.

    ``channels`` is the first axis of its ``shape``.
    """

    scale: Array
    shift: Array
    shape: Shape


def shifted(map: LinearMap, bias: Array, shape: Shape) -> Shifted | None:
    """What a map and its bias do to each channel, as a scale and a shift.

    It is None where they do more than that.
    """
    if isinstance(map, Identity):
        return Shifted(np.ones(len(bias)), bias, shape)
    return Shifted(map.scale, bias, shape) if isinstance(map, ChannelScale) else None


def absorbed(map: LinearMap, before: Shifted, read: Shape) -> tuple[LinearMap, Array] | None:
    """The map and bias that do to a tensor what a map does to it shifted.

    The tensor is scaled and shifted; ``read``: its shape there.

    None where that has no bias for each channel: at the zeros around a padded convolution nothing is shifted.

    >>> before = Shifted(np.array([2.0, 1.0]), np.array([0.0, 3.0]), (2,))
    >>> map, bias = absorbed(Dense(np.array([[1.0, 10.0]])), before, (2,))
    >>> map.weight.tolist(), bias.tolist()
    ([[2.0, 10.0]], [30.0])
    """
    if isinstance(map, Dense):
        # A flattened channel has the scale and the shift of the channel at each of its places.
        places = int(np.prod(before.shape[1:]))
        scale, shift = (np.repeat(values, places) for values in (before.scale, before.shift))
        return replace(map, weight=map.weight * scale), map.weight @ shift
    if isinstance(map, Conv2d) and read == before.shape and not (any(map.padding) and before.shift.any()):
        outputs, inputs = len(map.weight) // map.groups, map.weight.shape[1]
        kernels = map.weight.reshape(map.groups, outputs, inputs, *map.weight.shape[2:])
        scale = before.scale.reshape(map.groups, 1, inputs, 1, 1)
        bias = np.einsum("goihw,gi->go", kernels, before.shift.reshape(map.groups, inputs)).reshape(-1)
        return replace(map, weight=(kernels * scale).reshape(map.weight.shape)), bias
    return None


def rearranged(map: Dense, term: Term, owner: str) -> Term:
    """A dense map of what another term rearranges, as one of the tensor that the term reads."""
    assert isinstance(term.map, Rearrange)
    index, size = term.map.index.ravel(), int(np.prod(term.input_shape))
    used = index >= 0
    weight = np.zeros((len(map.weight), size))
    if np.unique(index[used]).size == used.sum():
        weight[:, index[used]] = map.weight[:, used]
    else:
        np.add.at(weight.T, index[used], map.weight.T[used])
    return Term(Dense(weight), term.source, (size,), owner)


def scaled(map: LinearMap, scale: Array) -> LinearMap | None:
    """The map with each channel of its output scaled, None where it has no weights that carry it."""
    if isinstance(map, Dense | Conv2d):
        return replace(map, weight=map.weight * scale.reshape((-1,) + (1,) * (map.weight.ndim - 1)))
    return ChannelScale(map.scale * scale) if isinstance(map, ChannelScale) else None


def over_both_axes(first: LinearMap, second: LinearMap) -> AveragePool | None:
    """Averages over one axis, and then over the other, as one map; None for any other two maps."""
    if not isinstance(first, AveragePool) or not isinstance(second, AveragePool):
        return None
    if _is_identity(first.columns) and _is_identity(second.rows):
        return AveragePool(first.rows, second.columns)
    if _is_identity(first.rows) and _is_identity(second.columns):
        return AveragePool(second.rows, first.columns)
    return None


def _is_identity(matrix: Array) -> bool:
    return np.array_equal(matrix, np.eye(*matrix.shape))


def averages(pool: AveragePool) -> bool:
    """Whether each window's weights sum to one, so that a constant stays what it is."""
    return all(np.allclose(axis.sum(axis=1), 1.0, rtol=0.0, atol=1e-12) for axis in (pool.rows, pool.columns))


def is_positive(layers: list[Layer], source: int) -> bool:
    """Whether a layer's outputs are never below 0: a ReLU, or pooled ReLUs."""
    layer = layers[source]
    if layer.activation == "relu":
        return True
    return not layer.bias.any() and all(
        isinstance(term.map, ChannelwiseMap | Rearrange)
        and not isinstance(term.map, ChannelScale)
        and term.source != IMAGE
        and is_positive(layers, term.source)
        for term in layer.terms
    )


def rounded(layer: Layer) -> Layer:
    """The layer with its numbers in single precision."""
    terms = []
    for term in layer.terms:
        if isinstance(term.map, Dense | Conv2d):
            term = replace(term, map=replace(term.map, weight=_single(term.map.weight)))
        elif isinstance(term.map, ChannelScale):
            term = replace(term, map=ChannelScale(_single(term.map.scale)))
        terms.append(term)
    return replace(layer, terms=tuple(terms), bias=_single(layer.bias))


def _single(values: Array) -> Array:
    """Rounds numbers to single precision, except those that it does not hold."""
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(np.float32).astype(np.float64)
    return np.where(np.isfinite(rounded) & ((rounded != 0) | (values == 0)), rounded, values)
