"""Which scored unit every activation, row and column of a network belongs to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.types import IMAGE, Network, Term

Ids = NDArray[np.int64]
FREE = -1
"""The unit of what no score gates, such as pixels and logits."""


@dataclass(frozen=True)
class Owners:
    """Units by number, group after group.

    Parts that no score can remove have the number :data:`FREE`.

    Parameters
    ----------
    starts : array of int
        The first unit of each group, and the number of all.
    outputs : tuple of array
        For each layer the units of its activations, after pooling.
    made : tuple of array
        For each layer the units of its channels, before pooling.
    """

    starts: Ids
    outputs: tuple[Ids, ...]
    made: tuple[Ids, ...]

    def columns(self, term: Term) -> Ids:
        """The unit of each channel that a term reads."""
        if term.source == IMAGE:
            return np.full(term.input_shape[0], FREE)
        return by_channel(self.outputs[term.source], term.input_shape[0])


def by_channel(flat: Ids, channels: int) -> Ids:
    """The unit of each channel, FREE where its activations belong to several."""
    table = flat.reshape(channels, -1)
    return np.where((table == table[:, :1]).all(axis=1), table[:, 0], FREE)


def unit_owners(network: Network) -> Owners:
    """The unit that each activation and channel of the network belongs to.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> [flat.tolist() for flat in unit_owners(om.read_network(module, input_shape=(4,))).outputs]
    [[0, 1, 2], [-1, -1]]
    """
    starts = np.cumsum([0, *(group.size for group in network.groups)])
    of_name = {name: g for g, group in enumerate(network.groups) for name in group.producers}
    outputs: list[Ids] = []
    made: list[Ids] = []
    for layer in network.layers:
        size = int(np.prod(layer.pre_shape))
        flat = np.full(size, FREE)
        for term in layer.terms:
            found = _made(term, size, outputs, of_name, starts)
            flat = np.where(flat == FREE, found, flat)
        if layer.group is not None and layer.units is not None:
            flat = starts[layer.group] + layer.units
        channels = by_channel(flat, layer.pre_shape[0])
        made.append(channels)
        outputs.append(flat if layer.pool is None else np.repeat(channels, layer.size // len(channels)))
    return Owners(starts, tuple(outputs), tuple(made))


def _made(term: Term, size: int, outputs: list[Ids], of_name: dict[str, int], starts: Ids) -> Ids:
    """The unit of each entry that a term adds to its layer's pre-activation, flat."""
    if term.map.trained is not None:
        if term.name not in of_name:
            return np.full(size, FREE)
        group = of_name[term.name]
        units = np.arange(starts[group], starts[group + 1])
        return np.repeat(units, size // len(units))
    cells = term.map.cells(term.input_shape)
    if term.source == IMAGE or cells is None:
        return np.full(size, FREE)
    return np.asarray(cells.alike(outputs[term.source], FREE, FREE))
