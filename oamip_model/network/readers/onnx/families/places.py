"""ONNX operators that move numbers, or give their tensors another shape."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_model.network.emit.moves import padded, rearrange
from oamip_model.network.emit.pointwise import chosen, scaled, sided, spread
from oamip_model.network.graph import MOST, Graph, Value
from oamip_model.network.maps import Array, Shape
from oamip_model.network.readers.onnx.call import Call, Constant, MixedError


def _moved(graph: Graph, call: Call) -> list[Value]:
    """What the node makes of the places of its numbers, as moves."""
    x = call.tensor(0)
    images, size = call.batch or 1, math.prod(graph.shape(x))
    if images * size > MOST:
        raise call.error(f"moves {images * size} numbers, more than {MOST}")
    if sum(isinstance(given, int) for given in call.inputs) > 1:
        raise call.error("takes places that depend on the image")
    return _taken(graph, call, call.run(np.arange(1, images * size + 1, dtype=np.float64).reshape(call.full(graph))))


def _scattered(graph: Graph, call: Call) -> Value:
    """Numbers put among constants, or constants among numbers."""
    if call.attributes.get("reduction", "none") != "none":
        raise call.error("adds what it scatters")
    if sum(isinstance(given, int) for given in call.inputs) > 1:
        raise call.error("scatters among activations")
    place = next(n for n, given in enumerate(call.inputs) if isinstance(given, int))
    full = call.full(graph, place)
    fixed = call.run(np.zeros(full))[0]
    found = call.run(np.arange(1, math.prod(full) + 1, dtype=np.float64).reshape(full))[0] - fixed
    shift = fixed if call.batch is None else fixed[0]
    if call.batch is not None and (fixed != shift).any():
        raise call.error("scatters constants that differ from image to image")
    (value,) = _taken(graph, replace(call, inputs=(call.inputs[place],)), [found])
    return scaled(graph, call.name, value, shift=shift)


def _taken(graph: Graph, call: Call, found: list[NDArray[Any]]) -> list[Value]:
    """Moves to where the places of a tensor's numbers are found.

    They are counted from 1 over all images. Raises MixedError where they take numbers of other images.
    """
    x, values = call.tensor(0), []
    size = math.prod(graph.shape(x))
    for array in found:
        places = np.asarray(array).astype(np.int64) - 1
        if call.batch is not None:
            apart = places.ndim and len(places) == call.batch and places.size > 0
            ahead = np.arange(call.batch).reshape((-1,) + (1,) * (places.ndim - 1)) * size if apart else 0
            if not apart or not ((places < 0) | (places - ahead == places[:1])).all() or places[0].max() >= size:
                raise MixedError(call.error("takes numbers of other images, which mixes its images"), x, found)
            places = places[0]
        value = rearrange(graph, call.name, x, places.reshape(places.shape or (1,)))
        values.append(graph.reshape(call.name, value, places.shape))
    return values


def _reshape(graph: Graph, call: Call) -> Value:
    old = call.full(graph)
    if call.operator == "Flatten":
        axis = call.attributes.get("axis", 1)
        axis = axis + len(old) if axis < 0 else axis
        new = [math.prod(old[:axis]), math.prod(old[axis:])]
    elif call.operator == "Reshape":
        given = call.integers(1, "shape") or []
        keep_zero = bool(call.attributes.get("allowzero", 0))
        new = [old[axis] if n == 0 and not keep_zero and axis < len(old) else n for axis, n in enumerate(given)]
    elif call.operator == "Squeeze":
        squeezed = call.integers(1, "axes")
        axes = {axis % len(old) for axis in (squeezed if squeezed is not None else np.flatnonzero(np.equal(old, 1)))}
        new = [n for axis, n in enumerate(old) if axis not in axes]
        if call.batch is not None and 0 in axes:
            new = []
    else:
        added = call.integers(1, "axes") or []
        axes = {axis % (len(old) + len(added)) for axis in added}
        rest = iter(old)
        new = [1 if axis in axes else next(rest) for axis in range(len(old) + len(axes))]
        if call.batch is not None and 0 in axes:
            new = []
    known = math.prod(n for n in new if n != -1)
    if new.count(-1) == 1 and known > 0:
        new[new.index(-1)] = math.prod(old) // known
    mixes = call.batch is not None and (not new or new[0] != call.batch)
    if mixes or math.prod(new) != math.prod(old) or min(new, default=1) < 1:
        raise call.error(f"turns a batch of shape {old} into shape {tuple(new)}, which mixes its images")
    return graph.reshape(call.name, call.tensor(0), _of_image(call, new))


def _of_image(call: Call, full: Sequence[int]) -> Shape:
    return tuple(int(n) for n in (full if call.batch is None else full[1:]))


def _concat(graph: Graph, call: Call) -> Value:
    counts = [len(given.shape) for given in call.inputs if isinstance(given, Constant)]
    count = counts[0] if counts else len(call.full(graph))
    axis = call.attributes.get("axis", 1) % count
    if call.batch is None:
        parts = [given.numbers if isinstance(given, Constant) else given for given in call.inputs]
        return sided(graph, call.name, [part for part in parts if part is not None], axis)
    if axis == 0:
        raise call.error("joins batches, which mixes the images of a batch")
    sides: list[Value | Array] = []
    for given in call.inputs:
        if isinstance(given, Constant):
            array = given.numbers
            if array.ndim != count or not (array == array[:1]).all():
                raise call.error(f"joins a constant of shape {array.shape} that differs from image to image")
            sides.append(array[0])
        elif given is not None:
            sides.append(given)
    return sided(graph, call.name, sides, axis - 1)


def _where(graph: Graph, call: Call) -> Value:
    """One of two tensors at each place, by a constant."""
    if not isinstance(call.inputs[0], Constant):
        raise call.error("chooses by what depends on the image")
    (x, values), sides = (0, np.asarray(0.0)), list(call.inputs[1:3])
    for place, given in enumerate(sides):
        if isinstance(given, int):
            x, values = replace(call, inputs=(given, call.inputs[0])).broadcast(graph, call.inputs[0])
            sides[place] = x
    shape = np.broadcast_shapes(*(graph.shape(given) for given in sides if isinstance(given, int)))
    parts: list[Value | Array] = []
    for given in sides:
        if isinstance(given, Constant):
            x, other = replace(call, inputs=(x, given)).broadcast(graph, given)
            shape = graph.shape(x)
            parts.append(np.array(other))
        else:
            assert given is not None
            parts.append(given)
    made = [spread(graph, call.name, part, shape) if isinstance(part, int) else part for part in parts]
    return chosen(graph, call.name, np.broadcast_to(values != 0, shape), made[0], made[1])


def _pad(graph: Graph, call: Call) -> Value | list[Value]:
    mode = call.attributes.get("mode", "constant")
    if mode != "constant":
        return _moved(graph, call)
    given = call.integers(1, "paddings" if call.opset < 2 else "pads")
    if given is None:
        raise call.error("does not say how far it pads")
    value = call.array(2)
    number = float(value.ravel()[0]) if value is not None and value.size else float(call.attributes.get("value", 0.0))
    count = len(call.full(graph))
    named = None if call.array(3) is None else call.integers(3, "axes")
    axes = list(range(count)) if named is None else [axis % count for axis in named]
    if len(given) != 2 * len(axes):
        raise call.error(f"has {len(given)} paddings for {len(axes)} axes")
    pads = [(0, 0)] * count
    for place, axis in enumerate(axes):
        pads[axis] = (given[place], given[len(axes) + place])
    if call.batch is not None and pads[0] != (0, 0):
        raise call.error("pads the batch")
    if call.batch is not None or (pads[0] == (0, 0) and call.full(graph)[0] == 1 and count > 1):
        value_ = padded(graph, call.name, call.operator, call.image(graph), pads[1:], number)
        return call.whole(graph, value_)
    return padded(graph, call.name, call.operator, call.tensor(0), pads, number)


def moved_back(graph: Graph, call: Call, mixed: NDArray[Any]) -> list[Value]:
    """What a node makes of numbers that were moved from image to image.

    Their places are ``mixed``, and the call's input is the tensor before. Raises MixedError where images remain mixed.
    """
    if sum(isinstance(given, int) for given in call.inputs) > 1:
        raise call.error("takes numbers of other images, which mixes its images")
    return _taken(graph, call, call.run(mixed))


MOVES = {"Transpose", "Slice", "Gather", "GatherElements", "GatherND", "Split", "DepthToSpace", "SpaceToDepth",
         "Flatten", "Reshape", "Squeeze", "Unsqueeze"}  # fmt: skip
"""Operators that may undo what mixes images."""
PLACES: dict[str, Callable[[Graph, Call], Value | list[Value]]] = {
    **dict.fromkeys(
        ("Transpose", "Slice", "Gather", "GatherElements", "GatherND", "Split", "Expand", "Tile", "DepthToSpace",
         "SpaceToDepth", "Trilu", "Compress"),
        _moved,
    ),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    **dict.fromkeys(("ScatterND", "ScatterElements", "Scatter"), _scattered),
    "Concat": _concat,
    "Pad": _pad,
    "Where": _where,
}  # fmt: skip
