"""A network without its cut units, and the way back to the first size.

It is plain data of smaller arrays.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.maps import Array, Flags, Ids, LinearMap
from oamip_model.network.maps.units import by_channel
from oamip_model.network.types import IMAGE, Layer, Network


class _NotUniformError(Exception):
    """Raised where a channel is removed in one place and kept in another. It never leaves the file."""


@dataclass(frozen=True, eq=False)
class Slim:
    """A network without its cut units, and the places of the rest.

    The places are those in the full network.

    Parameters
    ----------
    full : Network
        The full network.
    network : Network
        The smaller one, without score groups where ``gates`` is empty.
    gates : dict of int to array
        Masks (units,) by group index that the smaller network still needs. There are some only
        where a cut channel cannot be removed.
    stays : tuple of array
        For each layer the channels that are left, of the first axis of the pre-activation.
    rows, columns : dict of tuple to array
        By (layer, term): for dense maps the rows and columns of the weight that are left, for
        convolutions the output and input channels.
    """

    full: Network
    network: Network
    gates: dict[int, Array]
    stays: tuple[Ids, ...]
    rows: dict[tuple[int, int], Ids]
    columns: dict[tuple[int, int], Ids]

    @property
    def has_all_layers(self) -> bool:
        """Whether every layer has a channel left."""
        return all(len(left) for left in self.stays)

    def widen(self, changed: Network) -> Network:
        """The full network with the weights of ``changed``.

        ``changed`` is the smaller one with some weights replaced.

        Weights of cut units are zero in a changed layer where they were read, and as they were where they are made.
        """
        layers = []
        for k, (full, before, after) in enumerate(
            zip(self.full.layers, self.network.layers, changed.layers, strict=True)
        ):
            bias = full.bias
            if after.bias is not before.bias:
                bias = bias.copy()
                bias[self.stays[k]] = after.bias
            terms = []
            for number, term in enumerate(full.terms):
                if after.terms[number].map is not before.terms[number].map:
                    place = (self.rows[k, number], self.columns[k, number])
                    term = replace(term, map=_widened(term.map, after.terms[number].map, *place))
                terms.append(term)
            layers.append(replace(full, bias=bias, terms=tuple(terms)))
        return replace(self.full, layers=tuple(layers))

    def reads_cut(self, layer: int, term: int) -> bool:
        """Whether the term's weights read units that are cut."""
        if (layer, term) not in self.columns:
            return False
        if self.gates:
            return _gated_before(self.full, layer, term, self.gates)
        trained = self.full.layers[layer].terms[term].map.trained
        return trained is not None and len(self.columns[layer, term]) < trained.inputs

    @cached_property
    def affected(self) -> set[int]:
        """The layers that read cut units, or what such layers make.

        Each layer of a walk asks for them.
        """
        found: set[int] = set()
        for k, layer in enumerate(self.full.layers):
            if any(term.source in found or self.reads_cut(k, n) for n, term in enumerate(layer.terms)):
                found.add(k)
        return found


def slim_network(network: Network, keep: Mapping[str, NDArray[np.bool_]]) -> Slim:
    """The network without the units that are not kept.

    keep: {group: (units,) True where the unit is kept}.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> slim = slim_network(om.read_network(module, (4,)), {"0": np.array([True, False, True])})
    >>> [term.map.weight.shape for layer in slim.network.layers for term in layer.terms]
    [(2, 4), (2, 2)]
    """
    masks = {g: np.asarray(keep[group.name], dtype=bool) for g, group in enumerate(network.groups)}
    try:
        gone = _gone(network, masks)
        return _slim(network, gone)
    except _NotUniformError:
        gates = {g: mask.astype(np.float64) for g, mask in masks.items() if not mask.all()}
        nothing = [np.zeros(layer.pre_shape[0], dtype=bool) for layer in network.layers]
        whole = _slim(network, nothing)
        return replace(whole, network=network, gates=gates)


def scored_slim(network: Network, group: int, masks: Mapping[int, Array]) -> Network | None:
    """The network without cut units of the other groups; this group is scored.

    masks: (units,) by group index, 0 where a unit is cut. None where a cut channel cannot be taken out, or a layer
    would have none left.
    """
    names = [entry.name for entry in network.groups]
    whole = {entry.name: np.ones(entry.size, dtype=bool) for entry in network.groups}
    slim = slim_network(network, whole | {names[g]: np.asarray(mask) > 0.5 for g, mask in masks.items() if g != group})
    if slim.gates or not slim.has_all_layers:
        return None
    entry = network.groups[group]
    layers = list(slim.network.layers)
    for k in entry.layers:
        units = network.layers[k].units
        assert units is not None
        left = units.reshape(network.layers[k].pre_shape[0], -1)[slim.stays[k]].reshape(-1)
        layers[k] = replace(layers[k], group=0, units=left)
    return replace(slim.network, layers=tuple(layers), groups=(entry,))


def frozen_terms(network: Network) -> set[tuple[int, int]]:
    """Terms, as (layer, term), whose weights no refit may change.

    These read the image with nothing but linear maps in between, or share their weights with another layer.
    """
    names = Counter(term.name for layer in network.layers for term in layer.terms if term.name)
    behind: list[bool] = []
    found = set()
    for k, layer in enumerate(network.layers):
        sources = [term.source != IMAGE and behind[term.source] for term in layer.terms]
        behind.append(layer.activation != "none" or any(sources))
        for number, term in enumerate(layer.terms):
            if term.map.trained is None or not sources[number] or (term.name and names[term.name] > 1):
                found.add((k, number))
    return found


def in_blocks(layer: Layer) -> bool:
    """Whether one of the layer's maps has its channels in several blocks."""
    return any(map is not None and map.blocks > 1 for map in (term.map.trained for term in layer.terms))


def _widened(full: LinearMap, slim: LinearMap, rows: Ids, columns: Ids) -> LinearMap:
    whole, part = full.trained, slim.trained
    assert whole is not None
    assert part is not None
    weight = whole.full_weight.copy()
    weight[rows] = 0.0
    weight[np.ix_(rows, columns)] = part.full_weight
    return whole.with_full_weight(weight)


def _by_channel(flags: Flags, channels: int) -> Flags:
    """Flags of activations by channel; raises where a channel's activations differ."""
    found = by_channel(flags, channels)
    if found is None:
        raise _NotUniformError
    return found


def _spread(flags: Flags, size: int) -> Flags:
    return np.repeat(flags, size // len(flags))


def _gone(network: Network, masks: Mapping[int, Flags]) -> list[Flags]:
    """Which channels of each layer are cut, or only lead to cut ones."""
    layers = network.layers
    gone = [np.zeros(layer.pre_shape[0], dtype=bool) for layer in layers]
    for k, layer in enumerate(layers):
        if layer.group is not None and layer.units is not None:
            gone[k] = _by_channel(~masks[layer.group][layer.units], layer.pre_shape[0])
    before = -1
    while before != sum(int(flags.sum()) for flags in gone):
        before = sum(int(flags.sum()) for flags in gone)
        for k, layer in enumerate(layers):
            if k < len(layers) - 1:
                gone[k] = gone[k] | _constant_zero(layer, gone)
        for k in range(len(layers) - 2, -1, -1):
            gone[k] = gone[k] | _unread(network, k, gone)
    return gone


def _constant_zero(layer: Layer, gone: list[Flags]) -> Flags:
    """Channels whose terms all read cut units, and that have no bias."""
    size = int(np.prod(layer.pre_shape))
    zero = _spread(np.asarray(layer.bias == 0), size)
    for term in layer.terms:
        if term.source == IMAGE:
            return np.zeros(layer.pre_shape[0], dtype=bool)
        cells = term.map.cells(term.input_shape)
        if cells is None:
            return np.zeros(layer.pre_shape[0], dtype=bool)
        zero = zero & cells.every(_spread(gone[term.source], int(np.prod(term.input_shape))))
    return _channels_of(zero, layer.pre_shape[0])


def _channels_of(flags: Flags, channels: int) -> Flags:
    return np.asarray(flags.reshape(channels, -1).all(axis=1))


def _unread(network: Network, k: int, gone: list[Flags]) -> Flags:
    """Channels of layer k that only cut ones read."""
    layer = network.layers[k]
    free = np.ones(layer.size, dtype=bool)
    if not any(term.source == k for other in network.layers for term in other.terms):
        return np.zeros(layer.pre_shape[0], dtype=bool)
    for reader, other in enumerate(network.layers):
        for term in other.terms:
            if term.source != k:
                continue
            cells = term.map.cells(term.input_shape)
            if cells is None:
                return np.zeros(layer.pre_shape[0], dtype=bool)
            free = free & cells.read_by(_spread(gone[reader], int(np.prod(other.pre_shape))))
    return _channels_of(free, layer.pre_shape[0])


def _slim(network: Network, gone: list[Flags]) -> Slim:
    rows: dict[tuple[int, int], Ids] = {}
    columns: dict[tuple[int, int], Ids] = {}
    layers = []
    for k, layer in enumerate(network.layers):
        left = np.flatnonzero(~gone[k])
        terms = []
        for number, term in enumerate(layer.terms):
            reads = np.ones(int(np.prod(term.input_shape)), dtype=bool)
            if term.source != IMAGE:
                reads = ~_spread(gone[term.source], network.layers[term.source].size)
            makes = _spread(~gone[k], int(np.prod(layer.pre_shape)))
            cut = term.map.cut(term.input_shape, reads, makes)
            if cut is None:
                raise _NotUniformError
            if cut.rows is not None and cut.columns is not None:
                rows[k, number], columns[k, number] = cut.rows, cut.columns
            terms.append(replace(term, map=cut.map, input_shape=cut.shape))
        bias = layer.bias if len(left) == len(layer.bias) else layer.bias[left]
        layers.append(
            Layer(
                layer.name, tuple(terms), bias, (len(left), *layer.pre_shape[1:]), layer.activation, layer.pool
            )
        )  # fmt: skip
    smaller = Network(network.input_shape, tuple(layers), (), network.source)
    stays = tuple(np.flatnonzero(~flags) for flags in gone)
    return Slim(network, smaller, {}, stays, rows, columns)


def _gated_before(network: Network, layer: int, term: int, gates: Mapping[int, Array]) -> bool:
    """Whether one of the layers that the term reads, with no weights in between, is gated by one of the masks."""
    waiting = [network.layers[layer].terms[term].source]
    while waiting:
        k = waiting.pop()
        if k == IMAGE:
            continue
        read = network.layers[k]
        if read.group in gates:
            return True
        waiting += list(_passed_on(read))
    return False


def _passed_on(layer: Layer) -> Iterator[int]:
    for term in layer.terms:
        trained = term.map.trained
        if trained is None or trained.blocks > 1:
            yield term.source
