"""How many parameters the removal of a unit saves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Layer

Ids = NDArray[np.int64]


def saved_parameters(layers: tuple[Layer, ...], outputs: list[Ids], producers: dict[str, Ids]) -> Array:
    """Parameters that removing each unit saves, by the unit's number.

    They are its rows, its biases, and its outgoing columns.

    outputs: the unit of each activation, by layer; producers: that of each channel, by name.
    Weights that two layers share count once. Batch norm counts as a bias where it is folded in.
    """
    saved = np.zeros(max(int(ids.max()) for ids in (*outputs, *producers.values())) + 1)
    counted: set[str] = set()
    units = [_one_unit_per_channel(ids, layer.pre_shape[0]) for ids, layer in zip(outputs, layers, strict=True)]
    for unit_of_channel, layer in zip(units, layers, strict=True):
        if layer.bias.any():
            np.add.at(saved, unit_of_channel[unit_of_channel >= 0], 1)
        for term in layer.terms:
            trained = term.map.trained
            if trained is None and term.map.held is not None:
                np.add.at(saved, unit_of_channel[unit_of_channel >= 0], term.map.parameters // len(unit_of_channel))
            if trained is None or term.name in counted:
                continue
            counted.add(term.name)
            weight = trained.held
            made = producers[term.name]
            np.add.at(saved, made, weight[0].size)
            if term.source == IMAGE:
                continue
            read = _one_unit_per_channel(outputs[term.source], term.input_shape[0])
            groups = trained.blocks
            rows = weight.shape[0] // groups
            columns = np.full(len(read), rows * trained.kernel, np.float64)
            # What leaves with the unit's own rows (a depthwise filter) has been counted.
            columns -= _rows_of_their_own(made, read, groups) * trained.kernel
            np.add.at(saved, read[read >= 0], columns[read >= 0])
    return saved


def _rows_of_their_own(made: Ids, read: Ids, blocks: int) -> Ids:
    """How many rows of its block have the unit of a channel, for each channel that is read (-1: of several)."""
    step = int(max(made.max(), read.max())) + 2
    rows = np.arange(len(made)) // (len(made) // blocks) * step + made + 1
    columns = np.arange(len(read)) // (len(read) // blocks) * step + read + 1
    known, counts = np.unique(rows, return_counts=True)
    place = np.minimum(np.searchsorted(known, columns), len(known) - 1)
    return np.where((known[place] == columns) & (read >= 0), counts[place], 0)


def _one_unit_per_channel(ids: Ids, channels: int) -> Ids:
    """The unit of each channel, -1 where a channel holds several."""
    by_channel = ids.reshape(channels, -1)
    return np.where((by_channel == by_channel[:, :1]).all(axis=1), by_channel[:, 0], -1)
