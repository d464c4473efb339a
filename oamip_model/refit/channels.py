"""Weights of convolutions with and without groups.

It also says which channels belong together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.maps import Array, Conv2d, Dense, LinearMap

Indices: TypeAlias = NDArray[np.int64]


def ungrouped(map: Conv2d) -> Array:
    """The weight of a convolution as if it had one group.

    It has the shape (out, in, kernel height, kernel width).
    """
    if map.groups == 1:
        return map.weight
    out, inside = map.weight.shape[0] // map.groups, map.weight.shape[1]
    full = np.zeros((map.weight.shape[0], inside * map.groups, *map.weight.shape[2:]))
    for g in range(map.groups):
        rows, columns = slice(g * out, (g + 1) * out), slice(g * inside, (g + 1) * inside)
        full[rows, columns] = map.weight[rows]
    return full


def grouped(weight: Array, groups: int) -> Array:
    """The weight of a convolution with groups, from that of :func:`ungrouped`.

    It has the shape (out, in / groups, ...).
    """
    out, inside = weight.shape[0] // groups, weight.shape[1] // groups
    parts = [weight[g * out : (g + 1) * out, g * inside : (g + 1) * inside] for g in range(groups)]
    return np.ascontiguousarray(np.concatenate(parts))


def channel_groups(map: LinearMap) -> tuple[Indices, Indices]:
    """The group of each output and input channel of a map with weights.

    Dense maps have one group.
    """
    assert isinstance(map, Dense | Conv2d)
    count = map.groups if isinstance(map, Conv2d) else 1
    out, inside = map.weight.shape[0], map.weight.shape[1] * count
    return np.arange(out) // (out // count), np.arange(inside) // (inside // count)


def full_weight(map: LinearMap) -> Array:
    """The weight of a dense map or convolution as if it had one group, (out, in, ...)."""
    assert isinstance(map, Dense | Conv2d)
    return ungrouped(map) if isinstance(map, Conv2d) else map.weight


def with_full_weight(map: LinearMap, weight: Array) -> LinearMap:
    """The map whose :func:`full_weight` is this one.

    Entries between different groups are dropped.
    """
    assert isinstance(map, Dense | Conv2d)
    return replace(map, weight=grouped(weight, map.groups) if isinstance(map, Conv2d) else weight)
