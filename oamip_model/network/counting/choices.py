"""Sizes of a network for every choice of its units (mathematics:budget-2).

A weight joins one unit that it makes and one that it reads. So each count is a sum over groups and
over pairs of groups. There is a table of numbers for each group, and one for each pair that a map
joins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.counting.owners import FREE, Ids, Owners, unit_owners
from oamip_model.network.counting.size import Size, first_uses
from oamip_model.network.types import Network, Term

Table = NDArray[np.int64]
Kept = Mapping[str, Sequence[NDArray[np.bool_]]]


@dataclass
class Count:
    """A number that depends on one choice for each group.

    fixed: what no choice changes; single: {group: (choices,)}; pairs: {(group, later group): (choices, choices)}. It is
    the sum of all of them at the choices that are made.
    """

    fixed: int = 0
    single: dict[int, Table] = field(default_factory=dict)
    pairs: dict[tuple[int, int], Table] = field(default_factory=dict)

    def at(self, choices: Sequence[int]) -> int:
        """The number where each group has this choice."""
        return (
            self.fixed
            + sum(int(table[choices[g]]) for g, table in self.single.items())
            + sum(int(table[choices[a], choices[b]]) for (a, b), table in self.pairs.items())
        )

    def add(self, group: int, table: Table) -> None:
        """Add a table of one group."""
        self.single[group] = self.single[group] + table if group in self.single else table

    def add_pair(self, first: int, second: int, table: Table) -> None:
        """Add a table (choices of first, choices of second)."""
        if first == second:
            self.add(first, table.diagonal().copy())
            return
        place, table = ((first, second), table) if first < second else ((second, first), table.T)
        self.pairs[place] = self.pairs[place] + table if place in self.pairs else table


@dataclass(frozen=True)
class Counts:
    """Both numbers of a network for every choice of the units that are kept."""

    parameters: Count
    macs: Count

    def at(self, choices: Sequence[int]) -> Size:
        """The size of the network where each group has this choice."""
        return Size(self.parameters.at(choices), self.macs.at(choices))


def count_choices(network: Network, kept: Kept) -> Counts:
    """The counts of the network for every combination of some choices of each group.

    kept: {group: masks (units,), one for each choice}. Convolutions with groups must be left with equal ones.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module, input_shape=(4,))
    >>> counts = count_choices(network, {"0": [np.ones(3, dtype=bool), np.array([True, False, False])]})
    >>> counts.at([0]), network.size, counts.at([1])
    (Size(parameters=23, macs=18), Size(parameters=23, macs=18), Size(parameters=9, macs=6))
    """
    owners = unit_owners(network)
    masks = [np.stack([np.asarray(mask, dtype=bool) for mask in kept[group.name]]) for group in network.groups]
    counts = Counts(Count(), Count())
    first = {id(term) for term in first_uses(network.layers)}
    for k, layer in enumerate(network.layers):
        rows = owners.made[k]
        for term in layer.terms:
            if term.map.held is not None:
                _add_term(counts, term, rows, owners, masks, id(term) in first)
        if layer.biases:
            _add_biases(counts.parameters, rows, layer.bias != 0, owners, masks)
    return counts


def _add_term(
    counts: Counts, term: Term, rows: Ids, owners: Owners, masks: list[NDArray[np.bool_]], first: bool
) -> None:
    """Add a map's weights, and as many multiply-accumulates at each of its positions."""
    trained, made = term.map.trained, _split(rows, owners, masks)
    # One weight or filter for each channel that is made, however many are read.
    read: dict[int, Table] = {FREE: np.ones(1, np.int64)}
    if trained is None:
        kernel, shares = term.map.parameters // len(rows), 1
    elif trained.blocks > 1 and trained.held.shape[1] == 1:
        kernel, shares = trained.kernel, 1
    else:
        kernel, shares, read = trained.kernel, trained.blocks, _split(owners.columns(term), owners, masks)
    for a, of_rows in made.items():
        for b, of_columns in read.items():
            table = np.multiply.outer(of_rows, of_columns) * kernel // shares
            for count, factor in ((counts.parameters, int(first)), (counts.macs, term.positions)):
                if factor:
                    _add_table(count, a, b, factor * table)


def _add_table(count: Count, a: int, b: int, table: Table) -> None:
    if a == FREE and b == FREE:
        count.fixed += int(table[0, 0])
    elif a == FREE or b == FREE:
        count.add(max(a, b), table.ravel())
    else:
        count.add_pair(a, b, table)


def _add_biases(
    count: Count, rows: Ids, used: NDArray[np.bool_], owners: Owners, masks: list[NDArray[np.bool_]]
) -> None:
    """Add a layer's biases, as many as it has channels, and none where all that are left are zeros."""
    parts = _split(rows, owners, masks)
    some = _split(rows[used], owners, masks)
    for g, table in parts.items():
        in_use = some.get(g, np.zeros(1, np.int64)) > 0 if len(parts) == 1 else np.array([True])
        if g == FREE:
            count.fixed += int(table[0]) if in_use[0] else 0
        else:
            count.add(g, np.where(in_use, table, 0))


def _split(ids: Ids, owners: Owners, masks: list[NDArray[np.bool_]]) -> dict[int, Table]:
    """How many of some rows or columns each choice of a group leaves, {group or FREE: (choices,)}."""
    found: dict[int, Table] = {}
    free = int((ids == FREE).sum())
    if free:
        found[FREE] = np.array([free])
    for g, table in enumerate(masks):
        inside = ids[(ids >= owners.starts[g]) & (ids < owners.starts[g + 1])] - owners.starts[g]
        if len(inside):
            found[g] = table @ np.bincount(inside, minlength=table.shape[1])
    return found
