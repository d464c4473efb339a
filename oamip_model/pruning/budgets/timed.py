"""Milliseconds of every choice of a network's units, measured part by part.

See mathematics:budget-6.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from oamip_model.clock import tick
from oamip_model.errors import InputError
from oamip_model.network.counting.choices import Count
from oamip_model.network.counting.owners import FREE, Ids, unit_owners
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Network
from oamip_model.pruning.mask import example_images
from oamip_model.pruning.rebuild import to_module
from oamip_model.pruning.timing import callers, has_onnxruntime, median_seconds
from oamip_model.refit.slim import slim_network

_POINTS = 5
"""Choices of a group that are measured at most. Between them milliseconds are interpolated."""
_ROUNDS, _SECONDS = 10, 0.02
"""Calls of a part at most, and seconds for them."""
_WHOLE_ROUNDS, _WHOLE_SECONDS = 50, 1.0
"""The same of a whole network."""
UNIT = 1e-6
"""Milliseconds that a :class:`Count` counts in."""

Masks: TypeAlias = Mapping[str, Sequence[NDArray[np.bool_]]]
Stopwatch: TypeAlias = Callable[[Mapping[str, Network]], dict[str, float]]
"""From networks by name to the milliseconds of one call of each."""


@dataclass(frozen=True)
class Clocks:
    """Measures milliseconds of parts, and of whole networks."""

    engine: str
    images: int

    def __post_init__(self) -> None:
        if self.engine == "onnxruntime" and not has_onnxruntime():
            raise InputError("timed_in: onnxruntime is not installed; accepted is torch, or pip install onnxruntime")

    def parts(self, networks: Mapping[str, Network]) -> dict[str, float]:
        """Milliseconds of parts of networks, by name."""
        return self._measure(networks, _ROUNDS, _SECONDS)

    def whole(self, networks: Mapping[str, Network]) -> dict[str, float]:
        """Milliseconds of networks, by name."""
        return self._measure(networks, _WHOLE_ROUNDS, _WHOLE_SECONDS)

    def _measure(self, networks: Mapping[str, Network], rounds: int, seconds: float) -> dict[str, float]:
        calls = callers(self.engine, {name: (to_module(n), n.input_shape) for name, n in networks.items()})
        bound = {
            name: partial(call, example_images(networks[name].input_shape, count=self.images))
            for name, call in calls.items()
        }
        return {name: 1000 * spent for name, spent in median_seconds(bound, rounds, seconds).items()}


def timed_choices(network: Network, kept: Masks, parts: Stopwatch, whole: float, smallest: float) -> Count:
    """Milliseconds of the network for every combination of some choices of each group.

    A part is one linear map with weights, and the activation behind it. Each is measured alone, for
    some choices of the groups that it makes and reads, and interpolated between them. A factor and a
    constant for all parts give the measured milliseconds of the whole network, and of the smallest
    one. The count is in units of :data:`UNIT`.

    Parameters
    ----------
    network : Network
        The network.
    kept : mapping
        {group: masks (units,), one for each choice}, those that keep most first.
    parts : callable
        Measures small networks by name.
    whole : float
        Milliseconds of the whole network.
    smallest : float
        Milliseconds of the network with the last choice of each group.

    Returns
    -------
    Count
        Tables of groups and of pairs of groups.

    Raises
    ------
    InputError
        Where a choice leaves units that cannot be taken out.
    """
    masks = [[np.asarray(mask, dtype=bool) for mask in kept[group.name]] for group in network.groups]
    points = [np.unique(np.round(np.linspace(0, len(m) - 1, min(_POINTS, len(m)))).astype(int)) for m in masks]
    found = Count()
    tables = []
    for place, groups in _parts(network).items():
        tick(f"measuring milliseconds of layer {network.layers[place[0]].name}")
        tables.append((groups, _measured(network, masks, points, place, groups, parts)))
    first, last = (sum(float(table.flat[n]) for _, table in tables) for n in (0, -1))
    factor = max(whole - smallest, 0.0) / max(first - last, 1e-12)
    found.fixed = round((whole - factor * first) / UNIT)
    for groups, table in tables:
        scaled = np.rint(table * factor / UNIT).astype(np.int64)
        if not groups:
            found.fixed += int(scaled.flat[0])
        elif len(groups) == 1:
            found.add(groups[0], scaled)
        else:
            found.add_pair(groups[0], groups[1], scaled)
    return found


def without(network: Network, keep: Mapping[str, NDArray[np.bool_]]) -> Network:
    """The network without units that are not kept.

    Raises InputError where some could only be set to zero.
    """
    slim = slim_network(network, keep)
    if slim.gates or not slim.has_all_layers:
        raise InputError(
            "milliseconds: this network has units that can only be set to zero, which saves no time; accepted are "
            "macs and parameters"
        )
    return slim.network


def _parts(network: Network) -> dict[tuple[int, int], tuple[int, ...]]:
    """Layer and term of each map with weights, with the groups that it makes and reads: two at most."""
    owners = unit_owners(network)
    found = {}
    for k, layer in enumerate(network.layers):
        for number, term in enumerate(layer.terms):
            if term.map.trained is None:
                continue
            made, read = _most(owners.made[k], owners.starts), _most(owners.columns(term), owners.starts)
            found[k, number] = tuple(dict.fromkeys(g for g in (made, read) if g is not None))
    return found


def _most(ids: Ids, starts: Ids) -> int | None:
    """The group that most of these units are of, None where they are no group's."""
    groups = np.searchsorted(starts, ids[ids != FREE], side="right") - 1
    return int(np.bincount(groups).argmax()) if len(groups) else None


def _measured(
    network: Network,
    masks: list[list[NDArray[np.bool_]]],
    points: list[NDArray[np.int64]],
    place: tuple[int, int],
    groups: tuple[int, ...],
    parts: Stopwatch,
) -> Array:
    """Milliseconds of one part for each choice of its groups, interpolated by the number of units."""
    names = [group.name for group in network.groups]
    whole = {name: own[0] for name, own in zip(names, masks, strict=True)}
    grid = [tuple(at) for at in np.ndindex(*(len(points[g]) for g in groups))]
    made = {}
    for at in grid:
        keep = whole | {names[g]: masks[g][points[g][n]] for g, n in zip(groups, at, strict=True)}
        made[str(at)] = _alone(without(network, keep), *place)
    spent = parts(made)
    table = np.array([spent[str(at)] for at in grid]).reshape([len(points[g]) for g in groups])
    for axis, g in enumerate(groups):
        sizes = np.array([mask.sum() for mask in masks[g]], dtype=np.float64)
        table = np.apply_along_axis(_between, axis, table, sizes, sizes[points[g]])
    return np.asarray(table)


def _between(line: Array, sizes: Array, known: Array) -> Array:
    """Milliseconds at these numbers of units, from those at some of them."""
    order = np.argsort(known)
    return np.asarray(np.interp(sizes, known[order], line[order]))


def _alone(network: Network, k: int, number: int) -> Network:
    """One term of a layer as a network, with the layer's activation."""
    layer = network.layers[k]
    term = replace(layer.terms[number], source=IMAGE)
    layer = replace(layer, terms=(term,), group=None, units=None)
    return Network(term.input_shape, (layer,), (), "a part")
