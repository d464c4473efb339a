"""Weight norms of a network's units, which rank units where scores tie."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.ops import Array, ChannelScale, Conv2d, Dense, LinearMap
from oamip_model.network.types import Network, ScoreGroup


def unit_norms(network: Network) -> dict[str, Array]:
    """Norm of the incoming times norm of the outgoing weights, {group: (units,)}.

    Biases are left out.

    Both are L2 norms, over all modules that produce the unit and all that read it. Weights are those of the network
    with batch norm folded in. Pooling, flattening and channel scales between a unit and its readers are followed.
    """
    return {group.name: np.sqrt(_incoming(network, group) * _outgoing(network, group)) for group in network.groups}


def _incoming(network: Network, group: ScoreGroup) -> Array:
    """Squared norm of the rows of the group's producers, (units,)."""
    total = np.zeros(group.size)
    for layer in network.layers:
        for term in layer.terms:
            if term.name in group.producers:
                rows = _rows(term.map)
                if rows is not None and rows.size == group.size:
                    total += rows
    return total


def _rows(mapping: LinearMap) -> Array | None:
    if isinstance(mapping, Dense | Conv2d):
        return np.asarray(np.square(mapping.weight).reshape(len(mapping.weight), -1).sum(axis=1))
    return np.asarray(np.square(mapping.scale)) if isinstance(mapping, ChannelScale) else None


def _outgoing(network: Network, group: ScoreGroup) -> Array:
    """Squared norm of the columns that read the group's units, (units,)."""
    total = np.zeros(group.size)
    # For each layer that passes the units on: the unit of each of its channels, and the scale put on it so far.
    carriers: dict[int, tuple[NDArray[np.int64], Array]] = {}
    for index, layer in enumerate(network.layers):
        if index in group.layers and layer.units is not None:
            units = layer.units.reshape(layer.shape[0], -1)[:, 0]
            carriers[index] = (units, np.ones(len(units)))
        for term in layer.terms:
            if term.source not in carriers:
                continue
            units, scale = (_spread(values, term.input_shape[0]) for values in carriers[term.source])
            depthwise = isinstance(term.map, Conv2d) and term.name in group.producers and term.map.groups > 1
            if isinstance(term.map, Dense | Conv2d) and not depthwise:
                np.add.at(total, units, _columns(term.map) * np.square(scale))
            elif index not in group.layers:
                factor = term.map.scale if isinstance(term.map, ChannelScale) else 1.0
                units, scale = (_spread(values, layer.shape[0]) for values in (units, scale * factor))
                carriers[index] = (units, scale)
    return total


def _spread(values: NDArray[Any], channels: int) -> NDArray[Any]:
    """Values per channel for the channels of a reshaped tensor: flattening gives every position its channel's value."""
    if len(values) == channels:
        return values
    return np.repeat(values, channels // len(values)) if channels > len(values) else values[:: len(values) // channels]


def _columns(mapping: Dense | Conv2d) -> Array:
    """Squared norm of the weights on each input channel, (inputs,)."""
    squares = np.square(mapping.weight)
    if isinstance(mapping, Dense):
        return np.asarray(squares.sum(axis=0))
    groups, inputs = mapping.groups, mapping.weight.shape[1]
    return np.asarray(squares.reshape(groups, -1, inputs, squares[0, 0].size).sum(axis=(1, 3)).reshape(-1))
