"""Masks for the least squares that follow (mathematics:elim-1..3).

Units are taken out group by group, with the layers before cut and refitted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray

from oamip_model.clock import TimeIsUp
from oamip_model.network.norms import unit_norms
from oamip_model.network.types import IMAGE, Layer, Network, Term
from oamip_model.refit.elimination.layer_error import Owners
from oamip_model.refit.elimination.sweep import Eliminated, eliminate
from oamip_model.refit.importance import output_importance
from oamip_model.refit.least_squares import refit_layer
from oamip_model.refit.moments import Design, System, moments
from oamip_model.refit.options import Refit
from oamip_model.refit.slim import in_blocks, slim_network
from oamip_model.refit.stream import ImageStream
from oamip_model.refit.walk import Walk


def eliminate_units(
    network: Network,
    stream: ImageStream,
    gone: Mapping[str, int],
    options: Refit,
    *,
    swaps: int = 20,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Eliminated]:
    """The units of each group that are kept, such that least squares correct the rest.

    Parameter ``gone`` has the number of removed units of each group. A group is decided where it is
    read first, from the inputs of all layers that read it. The groups before it are then cut and
    their readers refitted. A group whose readers no refit changes is cut by weight norms. Where a
    deadline or Ctrl-C comes first, the groups that were not reached are missing from the result. If
    these are all, TimeIsUp or KeyboardInterrupt is raised.
    """
    found: dict[str, Eliminated] = {}
    try:
        _walk(found, network, stream, gone, options, swaps, progress)
    except (TimeIsUp, KeyboardInterrupt):
        if not found:
            raise
    return {group.name: found[group.name] for group in network.groups if group.name in found}


def _walk(
    found: dict[str, Eliminated],
    network: Network,
    stream: ImageStream,
    gone: Mapping[str, int],
    options: Refit,
    swaps: int,
    progress: Callable[[int, int, str], None] | None,
) -> None:
    """Put the result of one group after the other into ``found``."""
    keep = {group.name: np.ones(group.size, dtype=bool) for group in network.groups}
    walk = Walk(network, slim_network(network, keep), stream, options.device)
    readers = GroupReaders(network, stream, options)
    for k in range(len(network.layers)):
        for g, group in enumerate(network.groups):
            if readers.first[g] != k:
                continue
            systems = readers.systems(walk, g)
            stay = max(1, group.size - gone[group.name])
            if systems:
                found[group.name] = eliminate(systems, group.size, stay, options.ridge, swaps)
            else:
                found[group.name] = _by_norms(unit_norms(network)[group.name], stay)
            keep[group.name] = found[group.name].keep
            walk.recut(keep)
            if progress is not None:
                progress(len(found), len(network.groups), f"{group.name}: error {found[group.name].error:.3g}")
        refit_reader(walk, k, options)


def refit_reader(walk: Walk, k: int, options: Refit) -> None:
    """Give layer k of the walk its least squares, where the cut changes what it reads."""
    design = Design(walk.slim, k)
    if design.refits:
        rows = moments(design, walk, walk.inputs(k), walk.stream.count, rows=options.rows, seed=options.seed)
        refit_layer(walk, design, rows, options.ridge)


def _by_norms(norms: NDArray[np.float64], stay: int) -> Eliminated:
    order = np.argsort(norms, kind="stable")
    keep = np.zeros(len(norms), dtype=bool)
    keep[order[len(order) - stay :]] = True
    unknown = np.full(len(norms), np.nan)
    return Eliminated(keep, order, unknown, unknown, float("nan"), 0)


class GroupReaders:
    """The layers that read each score group, and their least squares.

    first: by group, the layer that reads it first, with weights, -1 where none does.
    """

    def __init__(self, network: Network, stream: ImageStream, options: Refit) -> None:
        self.network, self.options = network, options
        self.owners = _owners(network)
        self.readers = _readers(network, self.owners)
        self.important = output_importance(network, stream, options.seed, options.device)
        self.first = [self._first(g) for g in range(len(network.groups))]

    def _first(self, g: int) -> int:
        for k, layer in enumerate(self.network.layers):
            if any(_reads(self.network, self.owners, k, number, g) for number in range(len(layer.terms))):
                return k
        return -1

    def systems(self, walk: Walk, g: int) -> list[tuple[System, Owners]]:
        """The least squares of all layers that read group g.

        Each has the unit of each column, -1 where it is none of the group.

        The walk stands before the layer that reads the group first. There are none where no refit changes a reader.
        """
        return [system for r in self.readers.get(g, []) for system in self._of_layer(walk, r, g)]

    def _of_layer(self, walk: Walk, r: int, g: int) -> list[tuple[System, Owners]]:
        design, k, options = Design(walk.slim, r), self.first[g], self.options
        batches = walk.inputs(k, None if r == k else r)
        summed = moments(design, walk, batches, walk.stream.count, rows=options.rows, seed=options.seed)
        important = self.important[r]
        for system in summed:
            # Where the answer does not depend on the layer, outputs count by their variance.
            if bool(important.apart.any()):
                made = torch.as_tensor(walk.slim.stays[r][system.outputs], device=important.apart.device)
                system.importance = important.of(made)
        unit = np.full(int(design.starts[-1]), -1, dtype=np.int64)
        for number in design.terms:
            at = np.flatnonzero(design.channels[:, 0] == number)
            term = self.network.layers[r].terms[number]
            unit[at] = _read_units(term, self.owners[term.source], g)[design.channels[at, 1]]
        return [(system, unit[system.columns]) for system in summed if (unit[system.columns] >= 0).any()]


def _readers(network: Network, owners: list[Owners]) -> dict[int, list[int]]:
    """The layers whose refitted weights read each group, first to last; not those whose units are the group's own."""
    whole = slim_network(network, {group.name: np.ones(group.size, dtype=bool) for group in network.groups})
    found: dict[int, list[int]] = {}
    for r, layer in enumerate(network.layers):
        design = Design(whole, r)
        for g in range(len(network.groups)):
            own = in_blocks(layer) and layer.group == g
            if not own and any(_reads(network, owners, r, number, g) for number in design.terms):
                found.setdefault(g, []).append(r)
    return found


def _reads(network: Network, owners: list[Owners], k: int, number: int, g: int) -> bool:
    """Whether a term's weights read a unit of the group."""
    term = network.layers[k].terms[number]
    if term.source == IMAGE or term.map.trained is None:
        return False
    return bool((_read_units(term, owners[term.source], g) >= 0).any())


def _read_units(term: Term, owners: Owners, g: int) -> Owners:
    """The group's unit that each input channel of a term is, -1 for others: for a dense map, of each entry."""
    by_channel = owners.reshape(term.input_shape[0], -1, 2)[:, 0]
    return np.where(by_channel[:, 0] == g, by_channel[:, 1], -1)


def _owners(network: Network) -> list[Owners]:
    """Group and unit of each activation of each layer, (size, 2), -1 where it is no unit's."""
    found: list[Owners] = []
    for layer in network.layers:
        if layer.group is not None and layer.units is not None:
            found.append(np.stack([np.full(layer.size, layer.group), layer.units], axis=1))
        else:
            found.append(_passed_on(layer, found))
    return found


def _passed_on(layer: Layer, owners: list[Owners]) -> Owners:
    nothing = np.full((layer.size, 2), -1, dtype=np.int64)
    for term in layer.terms:
        if term.source == IMAGE:
            continue
        cells, trained = term.map.cells(term.input_shape), term.map.trained
        if cells is not None and (trained is None or trained.is_depthwise):
            read = owners[term.source]
            found = np.stack([cells.carried(read[:, column], -1) for column in (0, 1)], axis=1)
            if layer.pool is None:
                return found
            first = found.reshape(layer.pre_shape[0], -1, 2)[:, 0]
            return np.repeat(first, layer.size // len(first), axis=0)
    return nothing
