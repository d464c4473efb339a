"""Products with constant matrices in torch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oamip_model.network.emit.linear import along_space, dense
from oamip_model.network.emit.pointwise import scaled
from oamip_model.network.emit.products import Letters, letters_of, matrices, product
from oamip_model.network.graph import Graph, Value
from oamip_model.network.held import doubles
from oamip_model.network.maps.windows import is_averaging
from oamip_model.network.readers.torch.call import Activations, Call, Weights


def _linear(graph: Graph, call: Call) -> Value:
    weights = call.weights("weight")
    value = dense(graph, call.name, call.tensor("input"), weights.held, owner=weights.owner)
    bias = call.array("bias")
    return value if bias is None else scaled(graph, call.name, value, shift=bias)


def _matmul(graph: Graph, call: Call) -> Value:
    first, second = (
        ("mat1", "mat2") if call.operator == "addmm" else ("self", "mat2" if call.operator == "mm" else "other")
    )
    left = isinstance(call.arguments[first], Weights) and isinstance(call.arguments[second], Activations)
    weights, x = call.weights(first if left else second), call.tensor(second if left else first)
    weight = weights.held if left else weights.turned
    shape = graph.shape(x)
    axis = len(shape) - (2 if left else 1)
    if weight.ndim > 2 and len(shape) > 1 and weight.ndim <= len(shape) + 1:
        return _of_each(graph, call, x, weights, left)
    if weight.ndim != 2 or axis < 0 or any(call.arguments.get(name, 1) != 1 for name in ("alpha", "beta")):
        raise call.error()
    if len(shape) == 3 and axis > 0 and weight.shape[1] == shape[axis] and is_averaging(weight):
        return along_space(graph, call.name, x, [doubles(weight) if n == axis else np.eye(shape[n]) for n in (1, 2)])
    value = dense(graph, call.name, x, weight, axis, weights.owner)
    if call.operator != "addmm":
        return value
    value, shift = call.broadcast(graph, value, call.arguments["self"])
    return scaled(graph, call.name, value, shift=shift)


def _of_each(graph: Graph, call: Call, x: Value, weights: Weights, left: bool) -> Value:
    """Matrices times another constant one each."""
    weight = weights.array
    if weight.ndim == len(graph.shape(x)) + 1:
        if len(weight) != 1:
            raise call.error("multiplies by constants that differ from image to image")
        weight = weight[0]
    value = matrices(graph, call.name, x, weight, left, weights.owner)
    assert value is not None, "torch checked the shapes"
    return value


def _einsum(graph: Graph, call: Call) -> Value:
    equation, given = call.arguments["equation"], call.arguments["tensors"]
    places = [n for n, entry in enumerate(given) if isinstance(entry, Activations)]
    if len(places) > 1:
        raise call.error("multiplies activations")
    x = given[places[0]].value
    counts = [len(graph.shape(x)) + 1 if n in places else entry.held.ndim for n, entry in enumerate(given)]
    found = letters_of(equation, counts)
    if found is None or len(counts) > 2:
        raise call.error(f"has the equation {equation!r}, which is not read")
    (terms, result), (place,) = found, places
    ahead, mine, other = terms[place][:1], terms[place][1:], terms[1 - place] if len(terms) > 1 else ""
    if not result.startswith(ahead) or ahead in other + result[1:] + mine:
        raise call.error(f"has the equation {equation!r}, which mixes the images of a batch")
    weights = given[1 - place] if other else Weights(np.ones(()), "")
    letters = Letters(mine, other, result.removeprefix(ahead))
    value = product(graph, call.name, x, weights.array, letters, weights.owner)
    if value is None:
        raise call.error(f"has the equation {equation!r}, which is not read")
    return value


PRODUCTS: dict[str, Callable[[Graph, Call], Value]] = {
    "linear": _linear,
    **dict.fromkeys(("addmm", "mm", "matmul"), _matmul),
    "einsum": _einsum,
}
