"""Products with constant matrices in ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.network.emit.linear import along_space, dense
from oamip_model.network.emit.moves import permuted
from oamip_model.network.emit.pointwise import added, scaled
from oamip_model.network.emit.products import Letters, letters_of, matrices, product
from oamip_model.network.graph import Graph, Value
from oamip_model.network.held import doubles
from oamip_model.network.maps.windows import is_averaging
from oamip_model.network.readers.onnx.call import Call, Constant


def _gemm(graph: Graph, call: Call) -> Value:
    first, second = (call.inputs[0], call.inputs[1])
    if isinstance(first, Constant) and isinstance(second, int) and call.batch is None:
        rows = first.turned if call.attributes.get("transA") else first.weights
        x, axis, weights = call.tensor(1), 1 if call.attributes.get("transB") else 0, first
        value = dense(graph, call.name, x, _times(call, rows), axis, call.owner(weights))
        value = permuted(graph, call.name, value, (1, 0)) if axis else value
    else:
        weights, x = call.constant(1), call.tensor(0)
        turned = bool(call.attributes.get("transA"))
        if turned and call.batch is not None:
            raise call.error("transposes its input, which mixes the images of a batch")
        if len(call.full(graph)) != 2 or len(weights.shape) != 2:
            raise call.error(f"multiplies a tensor of shape {call.full(graph)} by one of {weights.shape}")
        weight = _times(call, weights.weights if call.attributes.get("transB") else weights.turned)
        x = permuted(graph, call.name, x, (1, 0)) if turned else x
        value = dense(graph, call.name, x, weight, owner=call.owner(weights))
    beta = call.attributes.get("beta", 1.0)
    bias = call.inputs[2] if len(call.inputs) > 2 else None
    if isinstance(bias, Constant):
        beside = replace(call, inputs=(value, bias))
        value, values = beside.broadcast(graph, bias)
        return scaled(graph, call.name, value, shift=beta * values)
    return value if bias is None else added(graph, call.name, value, scaled(graph, call.name, bias, np.asarray(beta)))


def _times(call: Call, weight: NDArray[Any]) -> NDArray[Any]:
    alpha = call.attributes.get("alpha", 1.0)
    return weight if alpha == 1 else np.asarray(alpha * doubles(weight))


def _matmul(graph: Graph, call: Call) -> Value:
    left = isinstance(call.inputs[0], Constant) and isinstance(call.inputs[1], int)
    weights, x = call.constant(0 if left else 1), call.tensor(1 if left else 0)
    shape, vector = graph.shape(x), len(weights.shape) == 1
    if left or len(weights.shape) != 2:
        weight = weights.weights
        while weight.ndim > 2 and weight.shape[0] == 1 and weight.ndim <= len(call.full(graph, 1 if left else 0)):
            weight = weight[0]
        weight = weight[None] if vector else weight if left else np.ascontiguousarray(weight.T)
    else:
        weight = weights.turned
    axis = len(shape) - (2 if left and len(call.full(graph, 1 if left else 0)) > 1 else 1)
    misfit = call.error(f"multiplies {call.full(graph, 1 if left else 0)} by an array of shape {weights.shape}")
    if weight.ndim > 2:
        return _of_each(graph, call, left, misfit)
    if weight.ndim != 2 or axis < 0:
        raise misfit
    space = shape[1:] if call.batch is None and len(shape) == 4 and shape[0] == 1 else shape
    if len(space) == 3 and not vector and weight.shape[1] == shape[axis] and is_averaging(weight):
        place = axis - len(shape) + 2
        if place >= 0:
            sides = [doubles(weight) if n == place else np.eye(space[1 + n]) for n in range(2)]
            value = along_space(graph, call.name, graph.reshape(call.name, x, space), sides)
            made = graph.shape(value)
            return graph.reshape(call.name, value, made if len(space) == len(shape) else (1, *made))
    value = dense(graph, call.name, x, weight, axis, call.owner(weights))
    made = graph.shape(value)
    return graph.reshape(call.name, value, made[:axis] + made[axis + 1 :]) if vector else value


def _of_each(graph: Graph, call: Call, left: bool, misfit: InputError) -> Value:
    """Matrices times another constant one each."""
    weights, x = call.constant(0 if left else 1), call.tensor(1 if left else 0)
    weight, count = weights.numbers, len(graph.shape(x))
    if call.batch is not None and weight.ndim == count + 1 and len(weight) == 1:
        weight = weight[0]
    fits = count > 1 and (call.batch is None or weight.ndim <= count)
    value = matrices(graph, call.name, x, weight, left, call.owner(weights)) if fits else None
    if value is None:
        raise misfit
    return value


def _einsum(graph: Graph, call: Call) -> Value:
    equation = call.attributes["equation"]
    places = [n for n, given in enumerate(call.inputs) if isinstance(given, int)]
    if len(places) > 1:
        raise call.error("multiplies activations")
    full = call.full(graph, places[0])
    counts = [len(full) if n in places else len(call.constant(n).shape) for n in range(len(call.inputs))]
    found = letters_of(equation, counts)
    if found is None or len(counts) > 2:
        raise call.error(f"has the equation {equation!r}, which is not read")
    (terms, result), (place,) = found, places
    mine, ahead = terms[place], terms[place][:1] if call.batch is not None else ""
    other = terms[1 - place] if len(terms) > 1 else ""
    if ahead and (not result.startswith(ahead) or ahead in other + result[1:] + mine[1:]):
        raise call.error(f"has the equation {equation!r}, which mixes the images of a batch")
    weights = call.constant(1 - place) if other else Constant(np.ones(()))
    owner = call.owner(weights) if other else ""
    letters = Letters(mine.removeprefix(ahead), other, result.removeprefix(ahead))
    value = product(graph, call.name, call.tensor(place), weights.numbers, letters, owner)
    if value is None:
        raise call.error(f"has the equation {equation!r}, which is not read for shapes {full} and {weights.shape}")
    return value


PRODUCTS: dict[str, Callable[[Graph, Call], Value]] = {"Gemm": _gemm, "MatMul": _matmul, "Einsum": _einsum}
