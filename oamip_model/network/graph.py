"""The operator graph that both readers emit, one node per operator.

It holds the checks that every operator must pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.held import held_fields
from oamip_model.network.maps import (
    Array,
    ChannelScale,
    LinearMap,
    MaxPool,
    Padding,
    Rearrange,
    Shape,
    ZeroPad,
)
from oamip_model.network.maps.units import batched, not_space
from oamip_model.network.types import IMAGE

Value: TypeAlias = int
"""A tensor of the graph: the index of the node that makes it, or IMAGE."""

MOST = 2**28
"""Numbers of the largest tensor that one image may have, far above those of the largest networks that are solved."""

ACCEPTED = (
    "dense and convolutional layers, batch norm, averages, sums and constant factors, whatever moves numbers (such as "
    "transposes, slices, concatenation, padding), ReLU, max pooling, LeakyReLU, PReLU, ReLU6, clamp, abs, max and min"
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


@dataclass(frozen=True)
class Joined:
    """Several tensors in one, the sum of a map of each.

    At each place at most one of them is not 0.
    """

    maps: tuple[Rearrange, ...]


LOWEST: Final = float(np.finfo(np.float32).min)
"""Padding with this number, or one below, never holds the maximum of numbers in single precision."""
Operator: TypeAlias = Affine | MaxPool | Border | Joined | Literal["add", "relu", "reshape"]


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
    moved: int = 0
    """Numbers of the indices that moves were made of so far: a small file may double them again and again."""
    _alike: dict[Any, list[Value]] = field(default_factory=dict, repr=False, compare=False)
    """Nodes by what is cheap to compare, so that an operator that comes twice on the same inputs is found."""

    def __post_init__(self) -> None:
        if math.prod(self.input_shape) > MOST:
            raise InputError(f"network: takes images of shape {self.input_shape}; accepted are at most {MOST} pixels")

    def shape(self, value: Value) -> Shape:
        """Shape of one image's tensor."""
        return self.input_shape if value == IMAGE else self.nodes[value].shape

    def move(self, count: int) -> None:
        """Count the numbers of an index that is about to be made.

        Raises InputError where they are too many.
        """
        self.moved += count
        if self.moved > MOST:
            raise InputError(f"network: moves {self.moved} numbers of an image, accepted are {MOST} in all")

    def _append(self, name: str, operator: Operator, inputs: tuple[Value, ...], shape: Shape) -> Value:
        if any(length < 1 for length in shape):
            raise InputError(
                f"layer {name}: an input of shape {self.shape(inputs[0])} leaves an output of shape {shape}"
            )
        if math.prod(shape) > MOST:
            raise InputError(f"layer {name}: leaves an output of shape {shape}; accepted are at most {MOST} numbers")
        for source in inputs:
            border = self._border(source)
            if border is not None and operator != "reshape":
                raise refuse(name, "padding", f"reads a padding of {border[0].value:g}, which only max pooling may")
        # An operator that comes twice on the same inputs is one node, as exporters of files merge it, too.
        owner = operator.owner if isinstance(operator, Affine) else ""
        alike = self._alike.setdefault((type(operator), owner, inputs, shape), [])
        for value in alike:
            if _same(self.nodes[value].operator, operator):
                return value
        self.nodes.append(Node(name, operator, inputs, shape))
        alike.append(len(self.nodes) - 1)
        return alike[-1]

    def _border(self, x: Value) -> tuple[Border, Value] | None:
        """The border that makes ``x``, reshaped or not, and what is within it."""
        while x != IMAGE and self.nodes[x].operator == "reshape":
            (x,) = self.nodes[x].inputs
        node = None if x == IMAGE else self.nodes[x]
        return (node.operator, node.inputs[0]) if node is not None and isinstance(node.operator, Border) else None

    def _space(self, name: str, kind: str, x: Value) -> Shape:
        shape = self.shape(x)
        misfit = not_space(shape)
        if misfit is not None:
            raise refuse(name, kind, misfit)
        return shape

    def affine(self, name: str, x: Value, map: LinearMap, bias: Array | None = None, owner: str = "") -> Value:
        """``map`` applied to x, plus a bias per channel."""
        shape = self.shape(x)
        weight = map.held
        for part, values in (("weight", weight), ("bias", bias)):
            if values is not None and not is_finite(values):
                raise InputError(f"layer {owner or name}: its {part} has a value that is NaN or infinite")
        misfit = map.misfit(shape)
        if misfit is not None:
            raise refuse(name, map.called, misfit)
        first = None if weight is None or not owner else self.weights.setdefault(owner, weight)
        if first is not None and weight is not None and first is not weight and not np.array_equal(first, weight):
            reason = f"uses the weights of {owner} in another form than an earlier layer does"
            raise refuse(name, map.called, reason)
        output = map.output_shape(shape)
        if bias is not None and bias.shape != output[:1]:
            raise InputError(f"layer {name}: its bias has shape {bias.shape}, its output {output[0]} channels")
        return self._append(name, Affine(map, bias, owner), (x,), output)

    def join(self, name: str, parts: tuple[Value, ...], maps: tuple[Rearrange, ...]) -> Value:
        """Tensors joined to one, by the place that each number of it comes from."""
        return self._append(name, Joined(maps), parts, maps[0].index.shape)

    def border(self, name: str, x: Value, padding: Padding, value: float) -> Value:
        """The tensor within a padding below every number, for max pooling."""
        return self._append(name, Border(padding, value), (x,), ZeroPad(padding).output_shape(self.shape(x)))

    def max_pool(self, name: str, x: Value, pool: MaxPool) -> Value:
        """Max pooling of x."""
        border = self._border(x)
        if border is not None:
            x = border[1]
            padding = [a + b for a, b in zip(pool.padding, border[0].padding, strict=True)]
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
        while shape != self.shape(x) and x != IMAGE and self.nodes[x].operator == "reshape":
            (x,) = self.nodes[x].inputs
        return x if shape == self.shape(x) else self._append(name, "reshape", (x,), shape)


def _same(a: Any, b: Any) -> bool:
    """Whether two operators, or parts of them, are of one class and hold the same numbers."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, Affine | Joined | LinearMap):
        return all(map(_same, held_fields(a), held_fields(b)))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)


def is_finite(values: Array) -> bool:
    """Whether no number is NaN or infinite, without an array of as many flags.

    >>> is_finite(np.ones(2)), is_finite(np.array([np.inf, 1.0])), is_finite(np.full(3, 1e308))
    (True, False, True)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite(values.sum())) or bool(np.isfinite(values).all())


def batch_norm(
    mean: Array, variance: Array, eps: float, weight: Array | None, bias: Array | None
) -> tuple[ChannelScale, Array]:
    """Batch norm in eval mode as a scale and a bias per channel."""
    with np.errstate(invalid="ignore", divide="ignore"):
        # In single precision, as ONNX files keep it, so that a module and its file fold to the same weights.
        scale = (1.0 if weight is None else weight) / np.sqrt(variance + float(np.float32(eps)))
        return ChannelScale(scale), (0.0 if bias is None else bias) - mean * scale
