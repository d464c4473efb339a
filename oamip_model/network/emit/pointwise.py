"""Operators that work on each number alone, by constants or by a positive part.

They are moved before transposes and concatenations, so that they meet the weights that made the numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.emit.moves import (
    base,
    commuting,
    join,
    joined,
    numbers_of,
    parts_of,
    rearrange,
    rejoined,
    support,
)
from oamip_model.network.graph import LOWEST, Graph, Value, refuse
from oamip_model.network.maps import Array, ChannelScale, Identity, Shape
from oamip_model.network.maps.rearrange import places_of
from oamip_model.network.maps.units import NOTHING, Ids, batched


def scaled(
    graph: Graph, name: str, x: Value, scale: Array | None = None, shift: Array | None = None, owner: str = ""
) -> Value:
    """``x * scale + shift``, where both broadcast to the shape of ``x``.

    Examples
    --------
    >>> graph = Graph((2,))
    >>> scaled(graph, "same", -1, np.ones(2), np.zeros(()))
    -1
    """
    for what, values in (("weight", scale), ("bias", shift)):
        if values is not None and not np.isfinite(values).all():
            raise InputError(f"layer {owner or name}: its {what} has a value that is NaN or infinite")
    scale = None if scale is None or (scale == 1).all() else scale
    shift = None if shift is None or not shift.any() else shift
    if scale is None and shift is None:
        return x
    shape = graph.shape(x)
    numbers = [None if v is None else np.broadcast_to(v, shape).ravel() for v in (scale, shift)]
    inner = commuting(graph, x)
    if inner is not None and (shift is None or inner[1].size == math.prod(graph.shape(inner[0]))):
        moved, index = inner
        own = _taken(numbers, places_of(index, math.prod(graph.shape(moved))), graph.shape(moved))
        return rearrange(graph, name, scaled(graph, name, moved, own[0], own[1], owner), index.reshape(shape))
    sides = parts_of(graph, x)
    if sides is not None:
        made = []
        for count, (side, places) in enumerate(zip(sides[0], sides[1], strict=True)):
            own = _taken(numbers, places, graph.shape(side))
            made.append(scaled(graph, name, side, own[0], own[1], owner and f"{owner}.{count}"))
        return rejoined(graph, name, x, made)
    y, behind = base(graph, x)
    at = x if behind is not None else y
    for read in (graph.shape(at), (math.prod(shape),)):
        per = [None if v is None else _by_channel(v, read) for v in numbers]
        if read and all(v is None or found is not None for v, found in zip(numbers, per, strict=True)):
            map = Identity() if per[0] is None else ChannelScale(per[0])
            value = graph.affine(name, graph.reshape(name, at, read), map, per[1], owner)
            return graph.reshape(name, value, shape)
    raise AssertionError("unreachable: in a flat tensor each number is a channel")


def _taken(numbers: Sequence[Array | None], places: Ids, shape: Shape) -> list[Array | None]:
    """Factors and shifts at the places of another tensor's numbers, in its shape."""
    return [None if v is None else v[places].reshape(shape) for v in numbers]


def _by_channel(values: Array, shape: Shape) -> Array | None:
    """One number for each channel, None where they differ within one."""
    table = values.reshape(shape[0] if shape else 1, -1)
    return table[:, 0].copy() if (table == table[:, :1]).all() else None


def relu(graph: Graph, name: str, x: Value) -> Value:
    """The positive part of ``x``."""
    inner = commuting(graph, x)
    if inner is not None:
        y, index = inner
        return rearrange(graph, name, relu(graph, name, y), index.reshape(graph.shape(x)))
    sides = parts_of(graph, x)
    if sides is not None:
        return rejoined(graph, name, x, [relu(graph, name, part) for part in sides[0]])
    y, behind = base(graph, x)
    # In the shape of the map that made it, whose first axis is that of its units.
    return graph.relu(name, x) if behind is not None else graph.reshape(name, graph.relu(name, y), graph.shape(x))


def added(graph: Graph, name: str, a: Value, b: Value) -> Value:
    """The sum of two tensors, which broadcast to one shape."""
    try:
        shape = np.broadcast_shapes(graph.shape(a), graph.shape(b))
    except ValueError:
        raise refuse(
            name, "addition", f"adds tensors of shapes {batched(graph.shape(a))} and {batched(graph.shape(b))}"
        ) from None
    a, b = (spread(graph, name, x, shape) for x in (a, b))
    here, there = support(graph, a), support(graph, b)
    if here is not None and there is not None and not (here & there).any():
        maps = [np.where(at.reshape(shape), numbers_of(graph, x), NOTHING) for x, at in ((a, here), (b, there))]
        return join(graph, name, [a, b], maps)
    inner, other = commuting(graph, a), commuting(graph, b)
    if inner is not None and other is not None and np.array_equal(inner[1], other[1]):
        first, second = (graph.reshape(name, y, graph.shape(inner[0])) for y in (inner[0], other[0]))
        return rearrange(graph, name, added(graph, name, first, second), inner[1].reshape(shape))
    return graph.add(name, a, b)


def spread(graph: Graph, name: str, x: Value, shape: Shape) -> Value:
    """``x`` broadcast to a shape."""
    if graph.shape(x) == shape:
        return x
    return rearrange(graph, name, x, np.broadcast_to(numbers_of(graph, x), shape))


def sided(graph: Graph, name: str, parts: Sequence[Value | Array], axis: int) -> Value:
    """Tensors and constants of each image side by side along an axis."""
    if all(isinstance(part, int) for part in parts):
        return joined(graph, name, [part for part in parts if isinstance(part, int)], axis)
    maps, values = [], [part for part in parts if isinstance(part, int)]
    shapes = [graph.shape(part) if isinstance(part, int) else part.shape for part in parts]
    for k, part in enumerate(parts):
        if isinstance(part, int):
            blocks = [
                numbers_of(graph, part) if n == k else np.full(shape, NOTHING, np.int64)
                for n, shape in enumerate(shapes)
            ]
            maps.append(np.concatenate(blocks, axis=axis))
    fixed = [np.zeros(shape) if isinstance(part, int) else part for part, shape in zip(parts, shapes, strict=True)]
    return scaled(graph, name, join(graph, name, values, maps), shift=np.concatenate(fixed, axis=axis))


def clipped(graph: Graph, name: str, x: Value, low: float | None, high: float | None) -> Value:
    """``x`` from ``low`` to ``high``, by a ReLU at each end.

    None or infinity is no end.

    Examples
    --------
    >>> graph = Graph((2,))
    >>> clipped(graph, "clip", -1, 0.0, 6.0)
    4
    >>> [node.operator if isinstance(node.operator, str) else "affine" for node in graph.nodes]
    ['relu', 'affine', 'relu', 'affine', 'add']
    """
    low = None if low is not None and low <= LOWEST else low
    high = None if high is not None and high >= -LOWEST else high
    if low is not None and high is not None and low >= high:
        raise refuse(name, "Clip", f"clips to {low:g} to {high:g}, so its output is a constant")
    if low is None and high is None:
        return x
    number = np.asarray
    if low is None:
        assert high is not None
        # high - relu(high - x)
        rest = relu(graph, name, scaled(graph, name, x, number(-1.0), number(high)))
        return scaled(graph, name, rest, number(-1.0), number(high))
    above = relu(graph, name, scaled(graph, name, x, shift=number(-low)))
    if high is not None:
        over = relu(graph, f"{name}.high", scaled(graph, name, x, shift=number(-high)))
        above = added(graph, name, above, scaled(graph, name, over, number(-1.0)))
    return scaled(graph, name, above, shift=number(low))


def leaky(graph: Graph, name: str, x: Value, slope: Array) -> Value:
    """``x`` above 0 and ``slope * x`` below.

    It is a multiple of ``x`` and one of its positive part.
    """
    bent = scaled(graph, name, relu(graph, name, x), 1.0 - slope)
    return bent if not slope.any() else added(graph, name, bent, scaled(graph, name, x, slope))


def absolute(graph: Graph, name: str, x: Value) -> Value:
    """The absolute value, as the sum of the positive parts of ``x`` and ``-x``."""
    other = relu(graph, f"{name}.below", scaled(graph, name, x, np.asarray(-1.0)))
    return added(graph, name, relu(graph, name, x), other)


def larger(graph: Graph, name: str, a: Value, b: Value | Array, largest: bool = True) -> Value:
    """The larger (or smaller) of two tensors at each place.

    It is ``b + relu(a - b)``, or ``b - relu(b - a)``.
    """
    sign = np.asarray(1.0 if largest else -1.0)
    if isinstance(b, int):
        difference = added(graph, name, scaled(graph, name, a, sign), scaled(graph, name, b, -sign))
        return added(graph, name, b, scaled(graph, name, relu(graph, name, difference), sign))
    bent = relu(graph, name, scaled(graph, name, a, sign, -sign * b))
    return scaled(graph, name, bent, sign, b)


def beside(graph: Graph, name: str, kind: str, x: Value, values: Array, batch: bool = True) -> tuple[Value, Array]:
    """A tensor and a constant, broadcast to one shape for each image.

    ``batch``: whether the constant may have an axis of the images, which then must be 1.
    """
    shape = graph.shape(x)
    if batch and values.ndim > len(shape):
        if values.ndim > len(shape) + 1 or len(values) != 1:
            raise refuse(
                name,
                kind,
                f"takes a constant of shape {values.shape} with {batched(shape)}: its first axis is that of the batch, "
                "where one number for all images is accepted",
            )
        values = values[0]
    try:
        common = np.broadcast_shapes(shape, values.shape)
    except ValueError:
        raise refuse(name, kind, f"takes a constant of shape {values.shape} with {batched(shape)}") from None
    return spread(graph, name, x, common), np.broadcast_to(values, common)
