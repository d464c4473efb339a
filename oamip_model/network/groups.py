"""Which layers carry a score, and which units share one.

Every channel that a dense or convolutional map makes is a unit, and every activation belongs to a unit. ReLU, pooling,
batch norm and reshapes pass units on; an addition, and a depthwise convolution, tie the units that they bring together.
A ReLU layer carries a score where removing the unit and setting its activation to 0 there are the same thing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from oamip_model.clock import tick
from oamip_model.network.maps import Cells, Ids
from oamip_model.network.maps.units import NOTHING
from oamip_model.network.savings import saved_parameters
from oamip_model.network.types import IMAGE, Layer, ScoreGroup, Term

_FIXED = 0
"""The unit of what cannot be removed: the image, and everything tied to it."""


class _Ties:
    """Union-find over units. The smallest id of a set stands for it, so _FIXED always stands for itself."""

    def __init__(self) -> None:
        self.parents: list[int] = [_FIXED]

    def fresh(self, count: int) -> Ids:
        start = len(self.parents)
        self.parents.extend(range(start, start + count))
        return np.arange(start, start + count)

    def find(self, unit: int) -> int:
        while self.parents[unit] != unit:
            self.parents[unit] = self.parents[self.parents[unit]]
            unit = self.parents[unit]
        return unit

    def tie(self, a: Ids, b: Ids) -> None:
        for first, second in np.unique(np.stack([a.ravel(), b.ravel()]), axis=1).T.tolist():
            roots = self.find(first), self.find(second)
            self.parents[max(roots)] = min(roots)

    def roots(self, ids: Ids) -> Ids:
        table = np.array([self.find(unit) for unit in range(len(self.parents))], dtype=np.int64)
        return table[ids]


@dataclass
class _Units:
    """Units of a network: of every layer's activations (flat), and of the channels that a producer makes and reads."""

    ties: _Ties
    outputs: list[Ids]
    producers: dict[str, Ids]
    readers: dict[str, Ids]


def assign_groups(layers: tuple[Layer, ...]) -> tuple[tuple[Layer, ...], tuple[ScoreGroup, ...]]:
    """The layers with their score groups filled in, and the groups, first layer first.

    A layer has no score where one of its units is tied to the image or to the output. The same
    holds where one is read without a ReLU of its group in between, or has a constant added after
    that ReLU. It also holds where pooling mixes units, and where its units are only a part of a
    producer's.

    Examples
    --------
    >>> import oamip_model as om
    >>> from torch import nn
    >>> module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3)).eval()
    >>> [(group.name, group.size, group.divisor) for group in om.read_network(module, (1, 4, 4)).groups]
    [('0', 2, 18)]
    """
    units = _trace(layers)
    fixed = {_FIXED, *_distinct(units.ties.roots(units.outputs[-1]))}
    outputs = [units.ties.roots(ids) for ids in units.outputs]
    producers = {name: units.ties.roots(ids) for name, ids in units.producers.items()}
    gates = {index for index, layer in enumerate(layers) if layer.activation == "relu"}
    while True:
        blocked = fixed | _read_without_gate(layers, outputs, gates)
        components = _components(outputs, gates)
        kept = [part for part in components if _is_whole([outputs[i] for i in part], producers, blocked)]
        remaining = {index for part in kept for index in part}
        if remaining == gates:
            break
        gates = remaining
    groups: list[ScoreGroup] = []
    filled = list(layers)
    saved = saved_parameters(layers, outputs, producers)
    for number, part in enumerate(sorted(kept)):
        order = _in_order(outputs[part[0]])
        names = tuple(name for name, ids in producers.items() if ids[0] in order)
        divisor = len(order) * _kernel(layers, names[0])
        groups.append(ScoreGroup(layers[part[0]].name, len(order), tuple(part), names, saved[order], divisor))
        numbers = np.full(len(saved), -1)
        numbers[order] = np.arange(len(order))
        for index in part:
            filled[index] = replace(layers[index], group=number, units=numbers[outputs[index]])
    return tuple(filled), tuple(groups)


def _trace(layers: tuple[Layer, ...]) -> _Units:
    units = _Units(_Ties(), [], {}, {})
    for layer in layers:
        tick(f"units of layer {layer.name}")
        ids: Ids = np.full(int(np.prod(layer.pre_shape)), NOTHING)
        for term in layer.terms:
            source = np.zeros(int(np.prod(term.input_shape)), np.int64) if term.source == IMAGE else None
            made = _units_of(term, layer, units.outputs[term.source] if source is None else source, units)
            both = (ids != NOTHING) & (made != NOTHING)
            units.ties.tie(ids[both], made[both])
            ids = np.where(made == NOTHING, ids, made)
        # A layer that reads nothing is a constant.
        ids = np.where(ids == NOTHING, _FIXED, ids)
        if layer.pool is not None:
            ids = _carried(ids, Cells.by_channel(layer.pre_shape[0], len(ids), layer.size), units.ties)
        units.outputs.append(ids)
    return units


def _units_of(term: Term, layer: Layer, source: Ids, units: _Units) -> Ids:
    """Units of a term's output, flat."""
    cells, trained = term.map.cells(term.input_shape), term.map.trained
    if trained is None:
        if cells is None:
            units.ties.tie(source, np.zeros_like(source))
            return np.zeros(int(np.prod(layer.pre_shape)), np.int64)
        return _carried(source, cells, units.ties)
    channels = layer.pre_shape[0]
    if term.name not in units.producers:
        units.producers[term.name] = units.ties.fresh(channels)
        units.readers[term.name] = source.reshape(term.input_shape[0], -1)[:, 0]
    else:
        # A column of weights that are used twice can only be removed for both of its readers.
        by_channel = source.reshape(term.input_shape[0], -1)
        units.ties.tie(by_channel, np.broadcast_to(units.readers[term.name][:, None], by_channel.shape))
    made = units.producers[term.name]
    if trained.is_depthwise:
        by_channel = source.reshape(channels, -1)
        units.ties.tie(by_channel, np.broadcast_to(made[:, None], by_channel.shape))
    return np.repeat(made, int(np.prod(layer.pre_shape[1:])))


def _carried(ids: Ids, cells: Cells, ties: _Ties) -> Ids:
    """Units of outputs that read one cell each. A cell of several units becomes one that cannot be removed."""
    mixed = ids[cells.mixed(ids)]
    if len(mixed):
        ties.tie(mixed, np.zeros_like(mixed))
    return cells.carried(ids, NOTHING)


def _read_without_gate(layers: tuple[Layer, ...], outputs: list[Ids], gates: set[int]) -> set[int]:
    """Units that a dense or convolutional map reads at a place where a score of 0 does not make them 0."""
    blocked: set[int] = set()
    zeroed: list[NDArray[np.bool_]] = []
    for index, layer in enumerate(layers):
        bias = np.repeat(layer.bias != 0, int(np.prod(layer.pre_shape[1:])))
        zero = ~bias
        for term in layer.terms:
            if term.source == IMAGE:
                zero = np.zeros_like(zero)
                continue
            reads = zeroed[term.source]
            cells, trained = term.map.cells(term.input_shape), term.map.trained
            if cells is not None and (trained is None or trained.is_depthwise):
                zero = zero & cells.every(reads)
            else:
                blocked.update(_distinct(outputs[term.source][~reads]))
                zero = np.zeros_like(zero)
        if layer.pool is not None:
            zero = Cells.by_channel(layer.pre_shape[0], len(zero), layer.size).every(zero)
        zeroed.append(np.ones_like(zero) if index in gates else zero)
    return blocked


def _components(outputs: list[Ids], gates: set[int]) -> list[list[int]]:
    """The gated layers, in sets that share units, each in order."""
    parts: list[tuple[set[int], list[int]]] = []
    for index in sorted(gates):
        units, members = set(_distinct(outputs[index])), [index]
        apart = []
        for other, layers in parts:
            if other & units:
                units, members = units | other, layers + members
            else:
                apart.append((other, layers))
        parts = [*apart, (units, sorted(members))]
    return [members for _, members in parts]


def _is_whole(gated: list[Ids], producers: dict[str, Ids], blocked: set[int]) -> bool:
    """Whether all layers of a component hold the same units, all free, and these are the channels of each producer."""
    order = _in_order(gated[0])
    units = set(order.tolist())
    if units & blocked or any(set(_distinct(ids)) != units for ids in gated):
        return False
    made = [ids for ids in producers.values() if units & set(ids.tolist())]
    return bool(made) and all(np.array_equal(ids, order) for ids in made)


def _in_order(ids: Ids) -> Ids:
    """The units of a layer, in the order of their first activation."""
    found = np.array(_distinct(ids), dtype=np.int64)
    first = np.zeros(int(ids.max()) + 1, dtype=np.int64)
    # The last number that is written to a place stays there.
    first[ids[::-1]] = np.arange(len(ids))[::-1]
    return found[np.argsort(first[found])]


def _distinct(ids: Ids) -> list[int]:
    """The units that occur, each once."""
    return np.flatnonzero(np.bincount(ids)).tolist()


def _kernel(layers: tuple[Layer, ...], name: str) -> int:
    """Kernel height times width of the producer called ``name``, 1 for a dense map."""
    maps = (term.map.trained for layer in layers for term in layer.terms if term.name == name)
    return next(trained.kernel for trained in maps if trained is not None)
