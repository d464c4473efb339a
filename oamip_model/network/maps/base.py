"""What every linear map gives.

Tensors are numpy arrays of shape (n, *shape), n images at once. Flattening is row-major, as in torch, so reshaping
a tensor never changes its flat vector.

A map is a frozen dataclass. Its forward pass in torch and its module are in :mod:`oamip_model.torchnet.maps`, under
the same ``name``. Nothing else asks which map it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.held import Doubles
from oamip_model.network.maps import units
from oamip_model.network.maps.units import Array, Cells, Flags, Ids, Shape, Shifted, by_channel, merged, parted
from oamip_model.registry import fault

__all__ = ["Array", "Cut", "Ids", "LinearMap", "Padding", "Shape", "TrainedMap"]

Padding = tuple[int, int, int, int]
"""(top, left, bottom, right)."""


@dataclass(frozen=True, eq=False)
class Cut:
    """A map without some of its inputs and outputs.

    ``shape`` is that of one image's input. ``rows`` and ``columns`` are the output and input
    channels that are left, of a map with rows of weights.
    """

    map: LinearMap
    shape: Shape
    rows: Ids | None = None
    columns: Ids | None = None


class LinearMap(ABC):
    """A linear map from tensors of one shape to tensors of another, without bias.

    The first four methods and a ``name`` are needed. The defaults of the others are right for a map without weights,
    but units that go through it carry no scores, and nothing is folded.
    """

    name: ClassVar[str]
    """Under which its forward pass in torch is registered."""

    def __new__(cls, *_: object, **__: object) -> Self:
        """A new map. Raises InputError for a class that lacks a method."""
        if cls.__abstractmethods__:
            raise InputError(f"map: {fault(cls, LinearMap)}")
        return super().__new__(cls)

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """Shape of one image's output, for one image's input ``shape``."""

    @abstractmethod
    def apply(self, x: Array) -> Array:
        """The map applied to n tensors: (n, *shape) to (n, *output_shape(shape))."""

    @abstractmethod
    def matrix(self, shape: Shape) -> sp.csr_array:
        """The map as a sparse matrix over flat tensors, (outputs, inputs)."""

    @abstractmethod
    def magnitude(self) -> LinearMap:
        """The same map with absolute weights, for interval arithmetic.

        With it radius_out = magnitude(radius_in).
        """

    def misfit(self, shape: Shape) -> str | None:
        """Why tensors of this shape cannot be read ("reads (n, 3) here"), or None."""
        return None

    def transposed(self, shape: Shape) -> Callable[[Array], Array]:
        """The map from coefficients (rows, outputs) to those of inputs (rows, inputs)."""
        matrix = cache(lambda: sp.csr_array(self.matrix(shape).T))
        return lambda c: np.ascontiguousarray((matrix() @ c.T).T)

    def matrix_rows(self, shape: Shape) -> Callable[[Ids], Array]:
        """The map from numbers of outputs to their rows of the matrix, (rows, inputs)."""
        matrix = cache(lambda: self.matrix(shape))
        return lambda rows: np.asarray(matrix()[rows].toarray())

    @property
    def called(self) -> str:
        """Its name in messages."""
        return type(self).__name__

    @property
    def weights(self) -> Array | None:
        """What was trained of it, by output channel; None where nothing was."""
        return None

    @property
    def held(self) -> NDArray[Any] | None:
        """:attr:`weights` as they are kept, which may be in single precision."""
        return self.weights

    def with_weights(self, weights: Array) -> LinearMap:
        """The map with these :attr:`weights` in the place of its own."""
        raise TypeError(f"{type(self).__name__} has no weights")

    @property
    def trained(self) -> TrainedMap | None:
        """The map itself where its output channels are units of its own; else None."""
        return None

    @property
    def parameters(self) -> int:
        """Number of weights."""
        return 0 if self.held is None else int(self.held.size)

    def positions(self, shape: Shape) -> int:
        """How often one image uses each weight."""
        return int(np.prod(self.output_shape(shape)[1:]))

    def multiplications(self, shape: Shape) -> int:
        """Multiply-accumulates of one image (mathematics:budget-1)."""
        return self.parameters * self.positions(shape) if self.parameters else 0

    def cells(self, shape: Shape) -> Cells | None:
        """What each output reads, where it is a part of the input; else None.

        In a map without rows of weights, an output belongs to the unit that it reads, if it is one.
        """
        return None

    def cut(self, shape: Shape, reads: Flags, makes: Flags) -> Cut | None:
        """The map from the inputs that are left to the outputs that are left.

        reads, makes: their flags in the flat tensors. None where the map cannot be taken apart in this way.
        """
        return Cut(self, shape) if reads.all() and makes.all() else None

    # Methods for folding (mathematics:model-6).

    @property
    def moves(self) -> tuple[Ids, int] | None:
        """The place of each output in a flat input, and its size; None if it does more."""
        return None

    @property
    def passes_on(self) -> bool:
        """Whether it gives what it reads, unchanged."""
        return False

    @property
    def keeps_sign(self) -> bool:
        """Whether it gives no number below 0 where it reads none."""
        return False

    @property
    def keeps_constants(self) -> bool:
        """Whether a channel that is a constant is the same constant in the output."""
        return False

    @property
    def border(self) -> Padding | None:
        """The zeros that it puts around each channel, where that is all that it does."""
        return None

    def bordered(self, padding: Padding) -> LinearMap | None:
        """The map of a tensor with these zeros around it, as one map of the tensor."""
        return None

    def factors(self, channels: int) -> Array | None:
        """The factor on each channel where that is all that it does, else None."""
        return None

    def scaled(self, factors: Array) -> LinearMap | None:
        """The map with each channel of its output times a factor.

        None where it has no weights that carry it.
        """
        weights = self.weights
        return None if weights is None else self.with_weights((weights.T * factors).T)

    def after(self, first: LinearMap) -> LinearMap | None:
        """Another map and then this one, as one map; None where there is none."""
        return None

    def absorbing(self, before: Shifted, read: Shape) -> tuple[LinearMap, Array] | None:
        """The map and bias of a tensor that this map reads scaled and shifted.

        read: the shape in which this map reads it. None where no bias for each channel does it.
        """
        return None


@dataclass(frozen=True)
class TrainedMap(LinearMap):
    """A linear map with rows of weights, whose output channels are units of their own.

    ``weight`` is (outputs, inputs of one block, ...), of channels; behind them stands the kernel, where there is one.
    Single precision becomes double precision when it is first asked for.
    """

    weight: Array

    @property
    def weights(self) -> Array | None:
        """See :class:`LinearMap`."""
        return self.weight

    @property
    def held(self) -> NDArray[Any]:
        """See :class:`LinearMap`."""
        return vars(self)["weight"]  # type: ignore[no-any-return]

    def with_weights(self, weights: Array) -> LinearMap:
        """See :class:`LinearMap`."""
        return replace(self, weight=weights)

    @property
    def trained(self) -> TrainedMap | None:
        """See :class:`LinearMap`."""
        return self

    @property
    def blocks(self) -> int:
        """Number of equal blocks of channels. An output reads its own block alone."""
        return 1

    def in_blocks(self, weight: Array, blocks: int) -> LinearMap:
        """The map with this weight, of so many blocks."""
        if blocks != 1:
            raise TypeError(f"{type(self).__name__} has no blocks")
        return replace(self, weight=weight)

    @property
    def is_depthwise(self) -> bool:
        """Whether each of several filters reads the channel at its place alone."""
        return 1 < self.blocks == len(self.held) and self.inputs == self.blocks

    @property
    def inputs(self) -> int:
        """Number of input channels."""
        return int(self.held.shape[1]) * self.blocks

    @property
    def kernel(self) -> int:
        """Weights of an output channel on an input channel."""
        return int(np.prod(self.held.shape[2:]))

    @property
    def has_kernel(self) -> bool:
        """Whether it reads channels of many numbers, at many positions."""
        return self.held.ndim > 2

    @property
    def channel_blocks(self) -> tuple[Ids, Ids]:
        """The block of each output and of each input channel."""
        outputs, inputs = len(self.held), self.inputs
        return np.arange(outputs) // (outputs // self.blocks), np.arange(inputs) // (inputs // self.blocks)

    @property
    def full_weight(self) -> Array:
        """The weight as if there were one block, (outputs, inputs, ...)."""
        return self.weight if self.blocks == 1 else merged(self.weight, self.blocks)

    def with_full_weight(self, weight: Array, blocks: int | None = None) -> LinearMap:
        """The map of this :attr:`full_weight`, without what is between its blocks."""
        count = self.blocks if blocks is None else blocks
        return self.in_blocks(weight if count == 1 else parted(weight, count), count)

    def cells(self, shape: Shape) -> Cells | None:
        """See :class:`LinearMap`; one cell for each block."""
        if self.blocks == 1:
            return None
        return Cells.by_channel(self.blocks, int(np.prod(shape)), int(np.prod(self.output_shape(shape))))

    def cut(self, shape: Shape, reads: Flags, makes: Flags) -> Cut | None:
        """See :class:`LinearMap`. Where no equal blocks are left there is one."""
        read, made = by_channel(reads, shape[0]), by_channel(makes, len(self.held))
        if read is None or made is None:
            return None
        rows, columns = np.flatnonzero(made), np.flatnonzero(read)
        left = (len(columns), *shape[1:])
        if reads.all() and makes.all():
            return Cut(self, left, rows, columns)
        weight = np.ascontiguousarray(self.full_weight[np.ix_(rows, columns)])
        blocks = units.blocks_left(*self.channel_blocks, rows, columns)
        return Cut(self.with_full_weight(weight, blocks), left, rows, columns)


TrainedMap.weight = Doubles()  # type: ignore[assignment]
