"""Operators that only move numbers.

They are transposes, slices, gatherings, borders and concatenations.

Moves in a row become one, and those that undo each other vanish.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.graph import LOWEST, Affine, Graph, Joined, Value, refuse
from oamip_model.network.maps import Identity, Rearrange, Shape, ZeroPad
from oamip_model.network.maps.rearrange import composed, places_of, uses_each_once
from oamip_model.network.maps.units import NOTHING, Ids, batched
from oamip_model.network.types import IMAGE


def base(graph: Graph, x: Value) -> tuple[Value, Ids | None]:
    """The tensor before the moves that made ``x``, and the index of its numbers.

    The index is flat, and None where nothing moved. A reshape moves nothing.
    """
    index: Ids | None = None
    while x != IMAGE:
        node = graph.nodes[x]
        moves = node.operator.map.moves if isinstance(node.operator, Affine) else None
        if moves is not None:
            inner = moves[0].ravel()
            index = inner if index is None else composed(inner, index)
        elif node.operator != "reshape":
            break
        (x,) = node.inputs
    return x, index


def numbers_of(graph: Graph, x: Value) -> Ids:
    """The flat places of a tensor's numbers, in its shape.

    What an operator makes of it is the index of a move.
    """
    shape = graph.shape(x)
    graph.move(math.prod(shape))
    return np.arange(math.prod(shape)).reshape(shape)


def rearrange(graph: Graph, name: str, x: Value, index: Ids) -> Value:
    """The numbers of ``x`` at the places that an index of the result's shape says.

    Examples
    --------
    >>> graph = Graph((2, 3))
    >>> turned = rearrange(graph, "turn", IMAGE, numbers_of(graph, IMAGE).T)
    >>> graph.shape(turned), rearrange(graph, "back", turned, numbers_of(graph, turned).T)
    ((3, 2), -1)
    """
    y, inner = base(graph, x)
    whole = index if inner is None else composed(inner, index)
    size = math.prod(graph.shape(y))
    if whole.size == size and np.array_equal(whole.ravel(), np.arange(size)):
        return graph.reshape(name, y, whole.shape)
    return graph.affine(name, y, Rearrange(np.ascontiguousarray(whole, dtype=np.int64), size))


def permuted(graph: Graph, name: str, x: Value, axes: Sequence[int]) -> Value:
    """The tensor of each image with its axes in another order."""
    return rearrange(graph, name, x, numbers_of(graph, x).transpose(*axes))


def joined(graph: Graph, name: str, parts: Sequence[Value], axis: int) -> Value:
    """The tensors of each image side by side along an axis."""
    shapes = [graph.shape(part) for part in parts]
    if len(parts) == 1:
        return parts[0]
    rest = {shape[:axis] + shape[axis + 1 :] for shape in shapes}
    if len(rest) > 1:
        raise InputError(f"layer {name}: joins tensors of shapes {shapes}, which differ beside axis {axis}")
    maps = []
    for k, part in enumerate(parts):
        graph.move(sum(map(math.prod, shapes)))
        blocks = [
            numbers_of(graph, part) if n == k else np.full(shape, NOTHING, np.int64) for n, shape in enumerate(shapes)
        ]
        maps.append(np.concatenate(blocks, axis=axis))
    return join(graph, name, parts, maps)


def join(graph: Graph, name: str, parts: Sequence[Value], maps: Sequence[Ids]) -> Value:
    """One tensor whose numbers come from several, by an index into each.

    At each place all indices but one are :data:`NOTHING`.
    """
    sources: list[Value] = []
    indices: list[Ids] = []
    for part, index in zip(parts, maps, strict=True):
        y, inner = base(graph, part)
        whole = index if inner is None else composed(inner, index)
        node = None if y == IMAGE else graph.nodes[y]
        if node is not None and isinstance(node.operator, Joined):
            sources.extend(node.inputs)
            indices.extend(composed(map.index, whole) for map in node.operator.maps)
        else:
            sources.append(y)
            indices.append(whole)
    kept: dict[Value, Ids] = {}
    for source, index in zip(sources, indices, strict=True):
        # A tensor that comes twice is one term, since at each place only one of its indices is used.
        kept[source] = index if source not in kept else np.maximum(kept[source], index)
    if len(kept) == 1:
        ((source, index),) = kept.items()
        return rearrange(graph, name, source, index)
    maps_ = (Rearrange(np.ascontiguousarray(index), math.prod(graph.shape(x))) for x, index in kept.items())
    return graph.join(name, tuple(kept), tuple(maps_))


def commuting(graph: Graph, x: Value) -> tuple[Value, Ids] | None:
    """The tensor before a move that uses each of its numbers once, and the index.

    It is None for any other operator.

    What is done to each number alone can be done before the move.
    """
    y, index = base(graph, x)
    if index is None or not uses_each_once(index, math.prod(graph.shape(y))):
        return None
    return y, index


def parts_of(graph: Graph, x: Value) -> tuple[tuple[Value, ...], tuple[Ids, ...], Shape] | None:
    """The tensors that ``x`` joins, and the places in it of their numbers.

    The shape of the whole is the third. It is None where ``x`` joins none, or leaves out some of their numbers.
    """
    y, index = base(graph, x)
    if y == IMAGE or index is not None:
        return None
    node = graph.nodes[y]
    if not isinstance(node.operator, Joined):
        return None
    places = []
    for source, map in zip(node.inputs, node.operator.maps, strict=True):
        size = math.prod(graph.shape(source))
        if not uses_each_once(map.index, size):
            return None
        places.append(places_of(map.index, size))
    return node.inputs, tuple(places), node.shape


def support(graph: Graph, x: Value) -> NDArray[np.bool_] | None:
    """Where a moved tensor has numbers of its source, flat.

    It is None where that is everywhere, or nothing was moved.
    """
    y, index = base(graph, x)
    node = None if y == IMAGE else graph.nodes[y]
    found: NDArray[np.bool_] | None = None
    if node is not None and isinstance(node.operator, Joined):
        found = np.any([map.index.ravel() >= 0 for map in node.operator.maps], axis=0)
        found = found if index is None else (index >= 0) & found[np.maximum(index, 0)]
    elif index is not None:
        found = index >= 0
    return None if found is None or found.all() else found


def rejoined(graph: Graph, name: str, x: Value, parts: Sequence[Value]) -> Value:
    """Other tensors, joined as ``x`` joins its own, in the shape of ``x``."""
    y, _ = base(graph, x)
    operator = graph.nodes[y].operator
    assert isinstance(operator, Joined)
    value = join(graph, name, parts, [map.index for map in operator.maps])
    return graph.reshape(name, value, graph.shape(x))


def padded(graph: Graph, name: str, kind: str, x: Value, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Value:
    """Each image's tensor within a border of one value.

    A negative padding cuts it off.

    ``pads`` are (before, after) of each of its axes. Below every number is for max pooling alone.
    """
    shape = graph.shape(x)
    if len(pads) != len(shape):
        raise refuse(name, kind, f"has paddings of {len(pads)} axes for {batched(shape)}")
    if not any(n for pad in pads for n in pad):
        return x
    usual = len(shape) == 3 and pads[0] == (0, 0) and min(min(pad) for pad in pads) >= 0
    if usual:
        (top, bottom), (left, right) = pads[1:]
        padding = (top, left, bottom, right)
        if value == 0:
            return graph.affine(name, x, ZeroPad(padding))
        if value <= LOWEST:
            return graph.border(name, x, padding, value)
    if not np.isfinite(value) or value <= LOWEST:
        raise refuse(name, kind, f"pads with {value:g}")
    index = np.pad(numbers_of(graph, x), [(max(a, 0), max(b, 0)) for a, b in pads], constant_values=NOTHING)
    cut = tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pads, index.shape, strict=True))
    index = index[cut]
    moved = rearrange(graph, name, x, index)
    if value == 0:
        return moved
    around = graph.reshape(name, moved, (index.size,))
    constant = np.where(index < 0, value, 0.0).ravel()
    return graph.reshape(name, graph.affine(name, around, Identity(), constant), index.shape)
