"""How a linear map joins the units that it reads with those that it makes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Shape: TypeAlias = tuple[int, ...]
Ids: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
NOTHING = -1
"""The cell of an output that reads no input."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Parts of a map's input, such that each output reads one part at most.

    Parameters
    ----------
    inputs : array of int
        The cell of each entry of the flat input, (inputs,). Cells count from 0, without a gap.
    outputs : array of int
        The cell that each entry of the flat output reads, (outputs,), or :data:`NOTHING`.

    Examples
    --------
    >>> pooled = Cells.by_channel(2, 4, 2)
    >>> pooled.inputs.tolist(), pooled.outputs.tolist()
    ([0, 0, 1, 1], [0, 1])
    >>> pooled.every(np.array([True, True, True, False])).tolist()
    [True, False]
    """

    inputs: Ids
    outputs: Ids

    @classmethod
    def by_entry(cls, size: int) -> Cells:
        """The cells of a map from each entry to the one at its place."""
        entries: Ids = np.arange(size)
        return cls(entries, entries)

    @classmethod
    def by_channel(cls, channels: int, inputs: int, outputs: int) -> Cells:
        """The cells of a map from each channel to that at its place.

        channels: their number, or that of blocks of them; inputs, outputs: entries in all.
        """
        numbers: Ids = np.arange(channels)
        return cls(np.repeat(numbers, inputs // channels), np.repeat(numbers, outputs // channels))

    @cached_property
    def first(self) -> Ids:
        """The first input of each cell."""
        return np.asarray(np.unique(self.inputs, return_index=True)[1], dtype=np.int64)

    def carried(self, values: NDArray[Any], nothing: Any) -> NDArray[Any]:
        """The value of the first input of each output's cell, from values (inputs,)."""
        return np.asarray(np.where(self.outputs == NOTHING, nothing, values[self.first][self.outputs]))

    def mixed(self, values: NDArray[Any]) -> Flags:
        """Which inputs are in a cell of several values."""
        differs: Flags = np.asarray(values != values[self.first][self.inputs])
        if not differs.any():
            return differs
        bad = np.zeros(len(self.first), dtype=bool)
        bad[self.inputs[differs]] = True
        return np.asarray(bad[self.inputs], dtype=bool)

    def alike(self, values: NDArray[Any], mixed: Any, nothing: Any) -> NDArray[Any]:
        """The value of each output's cell, ``mixed`` where its inputs differ."""
        return self.carried(np.where(self.mixed(values), mixed, values), nothing)

    def every(self, flags: Flags) -> Flags:
        """Whether all inputs that an output reads are flagged, (outputs,)."""
        cells = np.ones(len(self.first), dtype=bool)
        cells[self.inputs[~flags]] = False
        return np.asarray(cells[self.outputs] | (self.outputs == NOTHING), dtype=bool)

    def read_by(self, flags: Flags) -> Flags:
        """Whether all outputs that read an input are flagged, (inputs,)."""
        cells = np.ones(len(self.first), dtype=bool)
        cells[self.outputs[~flags & (self.outputs != NOTHING)]] = False
        return np.asarray(cells[self.inputs], dtype=bool)


@dataclass(frozen=True, eq=False)
class Shifted:
    """A scale and a shift of each channel of a tensor.

    ``channels`` is the first axis of its ``shape``.
    """

    scale: Array
    shift: Array
    shape: Shape


def by_channel(flags: Flags, channels: int) -> Flags | None:
    """Flags of entries by channel; None where a channel's entries differ.

    >>> by_channel(np.array([True, True, False, False]), 2).tolist(), by_channel(np.array([True, False]), 1)
    ([True, False], None)
    """
    rows = flags.reshape(channels, -1)
    return None if (rows != rows[:, :1]).any() else np.asarray(rows[:, 0])


def merged(weight: Array, blocks: int) -> Array:
    """The weight (outputs, inputs, ...) of one block that does what several do.

    The weight of several is (outputs, inputs of a block, ...).
    """
    out, inside = weight.shape[0] // blocks, weight.shape[1]
    full = np.zeros((weight.shape[0], inside * blocks, *weight.shape[2:]))
    for g in range(blocks):
        rows, columns = slice(g * out, (g + 1) * out), slice(g * inside, (g + 1) * inside)
        full[rows, columns] = weight[rows]
    return full


def parted(weight: Array, blocks: int) -> Array:
    """The weight of several blocks, from that of one.

    Entries between different blocks are dropped.
    """
    out, inside = weight.shape[0] // blocks, weight.shape[1] // blocks
    parts = [weight[g * out : (g + 1) * out, g * inside : (g + 1) * inside] for g in range(blocks)]
    return np.ascontiguousarray(np.concatenate(parts))


def not_space(shape: Shape) -> str | None:
    """Why a map over space cannot read tensors of this shape, None where it can."""
    if len(shape) == 3:
        return None
    return f"reads tensors of shape (n, channels, height, width) here, and got {batched(shape)}"


def batched(shape: Shape) -> str:
    """How the shape of a batch of images is written in messages.

    >>> batched((3, 8, 8))
    '(n, 3, 8, 8)'
    """
    return f"({', '.join(['n', *map(str, shape)])})"


def blocks_left(outputs: Ids, inputs: Ids, rows: Ids, columns: Ids) -> int:
    """How many equal blocks a cut map has, 1 where those that are left are not equal.

    outputs, inputs: the block of each output and input channel; rows, columns: those that are left.
    """
    count = int(outputs[-1]) + 1
    made = np.bincount(outputs[rows], minlength=count)
    read = np.bincount(inputs[columns], minlength=count)
    used = made > 0
    even = len(set(made[used])) == 1 and len(set(read[used])) == 1 and not read[~used].any() and read[used].all()
    return int(used.sum()) if even else 1
