"""The operator graph that both readers emit, one node per operator.

It holds the checks that every operator must pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.maps import (
    Array,
    AveragePool,
    ChannelScale,
    Identity,
    LinearMap,
    MaxPool,
    Shape,
    ZeroPad,
)
from oamip_model.network.maps.units import batched, not_space
from oamip_model.network.maps.windows import is_averaging, spatial_mean
from oamip_model.network.types import IMAGE

Value: TypeAlias = int
"""A tensor of the graph: the index of the node that makes it, or IMAGE."""

MOST = 2**28
"""Numbers of the largest tensor that one image may have, far above those of the largest networks that are solved."""

ACCEPTED = (
    "Linear, Conv2d, BatchNorm1d and BatchNorm2d, ReLU, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d, mean over space, "
    "ZeroPad2d, Flatten/reshape, Dropout and Identity in eval mode, and addition"
)


def refuse(layer: str, kind: str, reason: str = "is not supported") -> InputError:
    """The error for a layer that has no place in the model.

    It has its name, its type, why, and what is accepted.

    >>> str(refuse("act", "Sigmoid"))[:38]
    'layer act (Sigmoid) is not supported; '
    """
    return InputError(f"layer {layer} ({kind}) {reason}; accepted are {ACCEPTED}")


def room_for(stored: int) -> int:
    """How many numbers of constants a file may work out that stores so many of them."""
    return 2**24 + 16 * stored


@dataclass(frozen=True)
class Affine:
    """A linear map and a bias, one per channel of the output.

    ``owner`` names what the weights belong to.
    """

    map: LinearMap
    bias: Array | None = None
    owner: str = ""


@dataclass(frozen=True)
class Border:
    """Padding below every number, which only max pooling may read.

    It is (top, left, bottom, right).
    """

    padding: tuple[int, int, int, int]
    value: float


LOWEST: Final = float(np.finfo(np.float32).min)
"""Padding with this number, or one below, never holds the maximum of numbers in single precision."""
Operator: TypeAlias = Affine | MaxPool | Border | Literal["add", "relu", "reshape"]


@dataclass(frozen=True)
class Node:
    """One operator: its name for people, its inputs, and its output shape.

    The shape is that of one image's output.
    """

    name: str
    operator: Operator
    inputs: tuple[Value, ...]
    shape: Shape


@dataclass
class Graph:
    """Operators in order.

    The methods append one and return its value; they raise InputError for what does not fit.
    """

    input_shape: Shape
    nodes: list[Node] = field(default_factory=list)
    output: Value = IMAGE
    single: bool = False
    """Whether the source holds its weights in single precision, so that folded ones are rounded to it too."""
    weights: dict[str, Array] = field(default_factory=dict)
    """Weights by their owner: an owner that comes twice shares its weights between two layers."""

    def __post_init__(self) -> None:
        if math.prod(self.input_shape) > MOST:
            raise InputError(f"network: takes images of shape {self.input_shape}; accepted are at most {MOST} pixels")

    def shape(self, value: Value) -> Shape:
        """Shape of one image's tensor."""
        return self.input_shape if value == IMAGE else self.nodes[value].shape

    def _append(self, name: str, operator: Operator, inputs: tuple[Value, ...], shape: Shape) -> Value:
        if any(length < 1 for length in shape):
            raise InputError(
                f"layer {name}: an input of shape {self.shape(inputs[0])} leaves an output of shape {shape}"
            )
        if math.prod(shape) > MOST:
            raise InputError(f"layer {name}: leaves an output of shape {shape}; accepted are at most {MOST} numbers")
        for source in inputs:
            border = None if source == IMAGE else self.nodes[source].operator
            if isinstance(border, Border):
                raise refuse(name, "padding", f"reads a padding of {border.value:g}, which only max pooling may")
        self.nodes.append(Node(name, operator, inputs, shape))
        return len(self.nodes) - 1

    def _space(self, name: str, kind: str, x: Value) -> Shape:
        shape = self.shape(x)
        misfit = not_space(shape)
        if misfit is not None:
            raise refuse(name, kind, misfit)
        return shape

    def affine(self, name: str, x: Value, map: LinearMap, bias: Array | None = None, owner: str = "") -> Value:
        """``map`` applied to x, plus a bias per channel."""
        shape = self.shape(x)
        weight = map.weights
        for part, values in (("weight", weight), ("bias", bias)):
            if values is not None and not np.isfinite(values).all():
                raise InputError(f"layer {owner or name}: its {part} has a value that is NaN or infinite")
        misfit = map.misfit(shape)
        if misfit is not None:
            raise refuse(name, map.called, misfit)
        if owner and weight is not None and not np.array_equal(self.weights.setdefault(owner, weight), weight):
            reason = f"uses the weights of {owner} in another form than an earlier layer does"
            raise refuse(name, map.called, reason)
        output = map.output_shape(shape)
        if bias is not None and bias.shape != output[:1]:
            raise InputError(f"layer {name}: its bias has shape {bias.shape}, its output {output[0]} channels")
        return self._append(name, Affine(map, bias, owner), (x,), output)

    def shift(self, name: str, x: Value, constant: Array) -> Value:
        """The tensor plus a constant, one number or one per channel.

        Channels are those of torch's broadcasting.
        """
        shape = self.shape(x)
        if constant.ndim == len(shape) + 1 and constant.shape[0] != 1:
            raise refuse(
                name,
                "addition",
                f"adds a constant of shape {constant.shape} to {batched(shape)}: its first axis is that of the batch, "
                "one number for each channel is accepted",
            )
        per_channel = (shape[0],) + (1,) * (len(shape) - 1)
        values = constant.reshape(constant.shape[1:]) if constant.ndim == len(shape) + 1 else constant
        if values.ndim > len(shape) or (values.size != 1 and values.shape != per_channel):
            raise refuse(
                name,
                "addition",
                f"adds a constant of shape {constant.shape} to {batched(shape)}: one number for each channel is "
                "accepted",
            )
        return self.affine(name, x, Identity(), np.broadcast_to(values.reshape(-1), shape[:1]).copy())

    def mean(self, name: str, x: Value, axes: set[int], keep: bool) -> Value:
        """The mean over height, width or both.

        ``axes`` counts the batch as axis 0, ``keep`` leaves a 1 in place.
        """
        shape = self.shape(x)
        # The last axis of (n, channels, width) is what a first mean over height leaves.
        spatial = shape if len(shape) == 3 else (shape[0], 1, shape[-1])
        over = {axis + len(spatial) - len(shape) for axis in axes}
        if len(shape) not in (2, 3) or not over or not over <= {2, 3}:
            raise refuse(name, "mean", f"takes a mean over axes {sorted(axes)} of {batched(shape)}, not over space")
        value = self.affine(name, self.reshape(name, x, spatial), spatial_mean(*spatial[1:], 2 in over, 3 in over))
        left = (1 if axis in axes else n for axis, n in enumerate(shape, 1) if keep or axis not in axes)
        return self.reshape(name, value, tuple(left))

    def average(self, name: str, kind: str, x: Value, matrix: Array, height: bool) -> Value:
        """The tensor times a matrix of averages along its height or its width.

        The matrix has the shape (windows, length).
        """
        shape = self._space(name, kind, x)
        if matrix.ndim != 2 or matrix.shape[1] != shape[1 if height else 2] or not is_averaging(matrix):
            raise refuse(name, kind, f"multiplies {batched(shape)} by an array that takes no averages over space")
        other = np.eye(shape[2 if height else 1])
        return self.affine(name, x, AveragePool(matrix, other) if height else AveragePool(other, matrix))

    def pad(self, name: str, kind: str, x: Value, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Value:
        """The tensor with a border of one value.

        ``pads`` are those of its axes from the channels on, (before, after) each.
        """
        shape = self.shape(x)
        if len(pads) != len(shape) or any(pad != (0, 0) for pad in pads[: len(shape) - 2]):
            raise refuse(name, kind, f"pads other axes than height and width of {batched(shape)}")
        if any(n < 0 for pad in pads for n in pad):
            raise refuse(name, kind, "cuts its input off by a negative padding")
        if not any(n for pad in pads for n in pad):
            return x
        if len(shape) != 3:
            raise refuse(name, kind, f"pads {batched(shape)}, which has no height and width")
        (top, bottom), (left, right) = pads[1:]
        padding = (top, left, bottom, right)
        if value == 0:
            return self.affine(name, x, ZeroPad(padding))
        if value <= LOWEST:
            return self._append(name, Border(padding, value), (x,), ZeroPad(padding).output_shape(shape))
        raise refuse(name, kind, f"pads with {value:g}")

    def max_pool(self, name: str, x: Value, pool: MaxPool) -> Value:
        """Max pooling of x."""
        border = None if x == IMAGE else self.nodes[x].operator
        if isinstance(border, Border):
            (x,) = self.nodes[x].inputs
            padding = [a + b for a, b in zip(pool.padding, border.padding, strict=True)]
            pool = replace(pool, padding=(padding[0], padding[1], padding[2], padding[3]))
        shape = self._space(name, "MaxPool2d", x)
        value = self._append(name, pool, (x,), (shape[0], *pool.output))
        if (pool.windows((1, *shape[1:])) < 0).all(axis=1).any():
            raise refuse(name, "MaxPool2d", "has a window that lies in the padding only")
        return value

    def add(self, name: str, a: Value, b: Value) -> Value:
        """The sum of two tensors of one shape."""
        if self.shape(a) != self.shape(b):
            raise refuse(
                name, "addition", f"adds tensors of shapes {batched(self.shape(a))} and {batched(self.shape(b))}"
            )
        return self._append(name, "add", (a, b), self.shape(a))

    def relu(self, name: str, x: Value) -> Value:
        """The positive part of x."""
        return self._append(name, "relu", (x,), self.shape(x))

    def reshape(self, name: str, x: Value, shape: Shape) -> Value:
        """x with another shape, row-major, one image at a time."""
        if math.prod(shape) != math.prod(self.shape(x)):
            raise InputError(f"layer {name}: {self.shape(x)} cannot be reshaped to {shape}")
        return x if shape == self.shape(x) else self._append(name, "reshape", (x,), shape)


def batch_norm(
    mean: Array, variance: Array, eps: float, weight: Array | None, bias: Array | None
) -> tuple[ChannelScale, Array]:
    """Batch norm in eval mode as a scale and a bias per channel."""
    with np.errstate(invalid="ignore", divide="ignore"):
        # In single precision, as ONNX files keep it, so that a module and its file fold to the same weights.
        scale = (1.0 if weight is None else weight) / np.sqrt(variance + float(np.float32(eps)))
        return ChannelScale(scale), (0.0 if bias is None else bias) - mean * scale
