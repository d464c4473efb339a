"""Scores that need no solver, to compare with: random ranks, and the norms of the weights in and out of each unit."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.ops import Array, ChannelScale, Conv2d, Dense, LinearMap
from oamip_model.network.types import Network, ScoreGroup

Baseline: TypeAlias = Literal["random", "weight-norm"]


def baseline_scores(network: Network, method: Baseline, seed: int = 0) -> dict[str, Array]:
    """Scores of every unit by a simple rule, {group: (units,) in [0, 1]}, first layer first.

    ``random``: ranks of a permutation drawn with ``seed``, so that no two units of a layer tie. ``weight-norm``: the
    product of the norms of the incoming and the outgoing weights (:func:`unit_norms`), divided by the layer's largest.

    Raises InputError for another method, or a seed that is not a whole number from 0.

    Example:
        >>> import torch, oamip_model as om
        >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> network = om.read_network(module, input_shape=(4,))
        >>> sorted(baseline_scores(network, "random", seed=1)["0"].round(2).tolist())
        [0.33, 0.67, 1.0]
    """
    if method == "random":
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(f"seed: got {seed!r}, a whole number from 0 is needed")
        return {
            group.name: (np.random.default_rng([seed, index]).permutation(group.size) + 1.0) / group.size
            for index, group in enumerate(network.groups)
        }
    if method == "weight-norm":
        norms = unit_norms(network)
        return {name: norm / norm.max() if norm.max() > 0 else norm for name, norm in norms.items()}
    raise InputError(f"baseline: unknown method {method!r}, known are {', '.join(get_args(Baseline))}")


def unit_norms(network: Network) -> dict[str, Array]:
    """Norm of the incoming times norm of the outgoing weights of every unit, {group: (units,)}, biases left out.

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
