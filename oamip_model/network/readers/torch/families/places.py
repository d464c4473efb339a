"""Torch's operators that move numbers, or give their tensors another shape."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from oamip_model.network.emit.moves import padded, rearrange
from oamip_model.network.emit.pointwise import chosen, sided, spread
from oamip_model.network.graph import MOST, Graph, Value
from oamip_model.network.maps import Array
from oamip_model.network.readers.torch.call import Activations, Call, Weights


def _moved(graph: Graph, call: Call) -> list[Value]:
    """What the operator makes of the places of its numbers, as moves."""
    tensors = [given.value for given in call.arguments.values() if isinstance(given, Activations)]
    if len(tensors) != 1:
        raise call.error("takes places that depend on the image")
    (x,) = tensors
    shape, size = graph.shape(x), math.prod(graph.shape(x))
    if 2 * size > MOST:
        raise call.error(f"moves {size} numbers of each image, more than {MOST // 2}")
    found = call.run(np.arange(1, 2 * size + 1, dtype=np.float64).reshape(2, *shape))
    values = []
    for array in found:
        places = array.astype(np.int64) - 1
        own = places.ndim and len(places) == 2
        if (
            not own
            or places[0].max(initial=-1) >= size
            or not ((places[0] < 0) | (places[1] == places[0] + size)).all()
        ):
            raise call.error("mixes the images of a batch")
        index = places[0].reshape(places[0].shape or (1,))
        values.append(graph.reshape(call.name, rearrange(graph, call.name, x, index), places[0].shape))
    return values


def _reshape(graph: Graph, call: Call) -> Value:
    return graph.reshape(call.name, call.tensor("self"), call.shape)


def _cat(graph: Graph, call: Call) -> Value:
    parts: list[Value | Array] = []
    stacks = call.operator == "stack"
    axis = int(call.arguments.get("dim", 0))
    axis = axis + len(call.shape) + 1 if axis < 0 else axis
    if axis == 0:
        raise call.error("joins batches, which mixes the images of a batch")
    for given in call.arguments["tensors"]:
        if isinstance(given, Activations):
            shape = graph.shape(given.value)
            shape = (*shape[: axis - 1], 1, *shape[axis - 1 :]) if stacks else shape
            parts.append(graph.reshape(call.name, given.value, shape))
        elif isinstance(given, Weights) and (given.array == given.array[:1]).all():
            parts.append(given.array[0] if not stacks else np.expand_dims(given.array[0], axis - 1))
        else:
            raise call.error("joins a constant that differs from image to image")
    return sided(graph, call.name, parts, axis - 1)


def _where(graph: Graph, call: Call) -> Value:
    """One of two tensors at each place, by a constant."""
    fills = call.operator in ("masked_fill", "masked_fill_")
    mask = call.arguments["mask" if fills else "condition"]
    if not isinstance(mask, Weights):
        raise call.error("chooses by what depends on the image")
    first, second = call.arguments["self"], call.arguments["value" if fills else "other"]
    parts: list[Value | Array] = []
    for given in (second, first) if fills else (first, second):
        if isinstance(given, Activations):
            parts.append(spread(graph, call.name, given.value, call.shape))
        else:
            parts.append(_for_one(call, given.array if isinstance(given, Weights) else np.asarray(given)))
    return chosen(graph, call.name, _for_one(call, mask.array) != 0, parts[0], parts[1])


def _for_one(call: Call, values: Array) -> Array:
    """A constant, broadcast to the shape of one image's output."""
    if values.ndim > len(call.shape):
        if not (values == values[:1]).all():
            raise call.error("takes a constant that differs from image to image")
        values = values[0]
    return np.broadcast_to(values.astype(np.float64), call.shape)


def _pad(graph: Graph, call: Call) -> Value | list[Value]:
    if call.arguments.get("mode", "constant") != "constant":
        return _moved(graph, call)
    x = call.tensor("self")
    given = [int(n) for n in call.arguments["pad"]]
    last = [(before, after) for before, after in zip(given[::2], given[1::2], strict=True)][::-1]
    axes = len(graph.shape(x)) + 1
    pads = [(0, 0)] * (axes - len(last)) + last
    if pads[0] != (0, 0):
        raise call.error("pads the batch")
    return padded(graph, call.name, call.kind, x, pads[1:], float(call.arguments.get("value") or 0.0))


PLACES: dict[str, Callable[[Graph, Call], Value | list[Value]]] = {
    **dict.fromkeys(
        ("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "slice", "select", "narrow",
         "index_select", "index", "chunk", "split", "split_with_sizes", "tensor_split", "unbind", "flip", "roll",
         "expand", "expand_as", "repeat", "tile", "repeat_interleave", "pixel_shuffle", "pixel_unshuffle",
         "channel_shuffle", "native_channel_shuffle", "im2col", "reflection_pad1d", "reflection_pad2d",
         "reflection_pad3d", "tril", "triu", "replication_pad1d", "replication_pad2d", "replication_pad3d", "mT",
         "adjoint"),
        _moved,
    ),
    **dict.fromkeys(("flatten", "view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "unflatten"), _reshape),
    **dict.fromkeys(("cat", "concat", "concatenate", "stack"), _cat),
    **dict.fromkeys(("where", "masked_fill", "masked_fill_"), _where),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
}  # fmt: skip
MOVING_VIEWS = {
    "permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "slice", "select", "narrow", "chunk",
    "split", "split_with_sizes", "tensor_split", "unbind", "expand", "expand_as", "index_select", "mT", "adjoint",
}  # fmt: skip
"""Moves whose result shares its input's memory."""
