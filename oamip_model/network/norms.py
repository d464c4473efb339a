"""Weight norms of a network's units, which rank units where scores tie."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.maps import Array, Cells, TrainedMap
from oamip_model.network.types import Layer, Network, ScoreGroup, Term


def unit_norms(network: Network) -> dict[str, Array]:
    """Norm of the incoming times norm of the outgoing weights, {group: (units,)}.

    Biases are left out.

    Both are L2 norms, over all modules that produce the unit and all that read it. Weights are those of the network
    with batch norm folded in. Pooling, flattening and channel scales between a unit and its readers are followed.
    """
    return {group.name: np.sqrt(_incoming(network, group) * _outgoing(network, group)) for group in network.groups}


def outgoing_norms(network: Network) -> dict[str, Array]:
    """Norm of the outgoing weights, {group: (units,)}, as in :func:`unit_norms`."""
    return {group.name: np.sqrt(_outgoing(network, group)) for group in network.groups}


def _incoming(network: Network, group: ScoreGroup) -> Array:
    """Squared norm of the rows of the group's producers, (units,)."""
    total = np.zeros(group.size)
    for layer in network.layers:
        for term in layer.terms:
            if term.name in group.producers:
                weights = term.map.weights
                if weights is not None and len(weights) == group.size:
                    total += np.square(weights).reshape(group.size, -1).sum(axis=1)
    return total


def _outgoing(network: Network, group: ScoreGroup) -> Array:
    """Squared norm of the columns that read the group's units, (units,)."""
    total = np.zeros(group.size)
    # For each layer that passes the units on: the unit of each of its entries (-1: none), and the scale put on it.
    carriers: dict[int, tuple[NDArray[np.int64], Array]] = {}
    for index, layer in enumerate(network.layers):
        if index in group.layers and layer.units is not None:
            carriers[index] = (layer.units, np.ones(layer.size))
        for term in layer.terms:
            if term.source not in carriers:
                continue
            units, scale = carriers[term.source]
            trained = term.map.trained
            if trained is not None and not (trained.blocks > 1 and term.name in group.producers):
                units = units.reshape(term.input_shape[0], -1)[:, 0]
                scale = scale.reshape(term.input_shape[0], -1)[:, 0]
                at = units >= 0
                np.add.at(total, units[at], (_columns(trained) * np.square(scale))[at])
            elif index not in group.layers:
                found = _carried(term, layer, units, scale)
                if found is not None:
                    known, new = carriers.get(index, found), found[0] >= 0
                    carriers[index] = (np.where(new, found[0], known[0]), np.where(new, found[1], known[1]))
    return total


def _carried(
    term: Term, layer: Layer, units: NDArray[np.int64], scale: Array
) -> tuple[NDArray[np.int64], Array] | None:
    """The unit of each entry of a layer that a term makes of these, and its scale; None where it mixes them."""
    cells = term.map.cells(term.input_shape)
    if cells is None:
        return None
    units, scale = cells.carried(units, -1), cells.carried(scale, 0.0)
    factors = term.map.factors(term.input_shape[0])
    if factors is not None:
        scale = scale * np.repeat(factors, len(scale) // len(factors))
    if layer.pool is not None:
        pooled = Cells.by_channel(layer.pre_shape[0], len(units), layer.size)
        units, scale = pooled.carried(units, -1), pooled.carried(scale, 0.0)
    return units, scale


def _columns(map: TrainedMap) -> Array:
    """Squared norm of the weights on each input channel, (inputs,)."""
    squares = np.square(map.weight).reshape(map.blocks, -1, map.weight.shape[1], map.kernel)
    return np.asarray(squares.sum(axis=(1, 3)).reshape(-1))
