"""ONNX operators, one function each.

A function makes nodes of the operator graph from a node of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from onnx import helper

from oamip_model.errors import InputError
from oamip_model.network.emit.linear import dense, largest_along, reduced
from oamip_model.network.emit.pointwise import (
    absolute,
    added,
    clipped,
    larger,
    leaky,
    relu,
    scaled,
)
from oamip_model.network.graph import Graph, Value, batch_norm
from oamip_model.network.readers.onnx.call import Call, Constant
from oamip_model.network.readers.onnx.families.places import PLACES
from oamip_model.network.readers.onnx.families.products import PRODUCTS
from oamip_model.network.readers.onnx.families.spatial import SPATIAL
from oamip_model.network.readers.operators import Emit, Operators

_MISFIT = (ValueError, TypeError, KeyError, IndexError, ArithmeticError, MemoryError)
"""What comes of a file with sizes and attributes that onnx's checker does not look at."""


def emit(graph: Graph, call: Call) -> list[Value]:
    """Append the node to the graph, and return what it gives.

    Raises InputError where the operator, or the way it is used, is not accepted.
    """
    read = OPERATORS.find(call.operator)
    if read is None:
        quantised = any(part in call.operator for part in ("Quantize", "QLinear", "Integer"))
        raise call.error("is quantised" if quantised else "is not supported")
    try:
        found = read(graph, call)
    except InputError:
        raise
    except _MISFIT as error:
        raise call.error(f"has sizes or attributes that do not fit together ({type(error).__name__})") from error
    return [found] if isinstance(found, int) else found


def register_onnx_operator(name: str, read: Callable[[Graph, Call], Value]) -> None:
    """Read the ONNX operator of this name by a function.

    The function appends nodes to the graph and returns the value that the call gives, or raises ``call.error(reason)``.
    A package offers one in the entry-point group ``oamip_model.onnx_operators``. Raises InputError for an operator that
    is read already.
    """
    OPERATORS.register(name, read)


def _batch_norm(graph: Graph, call: Call) -> Value:
    # Before opset 14 a batch norm that gives its statistics trains.
    gives_statistics = 7 <= call.opset < 14 and call.outputs > 1
    if call.attributes.get("training_mode") or _is_old_training(call) or gives_statistics:
        raise call.error("is in training mode; export the model in eval mode")
    if not call.attributes.get("spatial", 1):
        raise call.error("has spatial=0, statistics for each position; accepted are those of each channel")
    weight, bias, mean, variance = (call.constant(i).numbers for i in range(1, 5))
    map, shift = batch_norm(mean, variance, call.attributes.get("epsilon", 1e-5), weight, bias)
    x = call.image(graph)
    shape = graph.shape(x)
    if map.scale.shape != shape[:1]:
        raise call.error(f"normalises {map.scale.size} channels, and got a batch of shape {(call.batch or 1, *shape)}")
    channels = (-1,) + (1,) * (len(shape) - 1)
    # Exporters store equal weights once, and those of untrained batch norms are all 1: that ties no units.
    value = scaled(graph, call.name, x, map.scale.reshape(channels), shift.reshape(channels), call.name)
    return call.whole(graph, value)


def _reduce(graph: Graph, call: Call) -> Value:
    given = call.integers(1, "axes")
    if not given and call.attributes.get("noop_with_empty_axes"):
        return call.tensor(0)
    axes = call.axes(graph, given or list(range(len(call.full(graph)))))
    keep, x = bool(call.attributes.get("keepdims", 1)), call.tensor(0)
    if call.operator in ("ReduceMax", "ReduceMin"):
        return largest_along(graph, call.name, x, axes, keep, call.operator == "ReduceMax")
    x = absolute(graph, call.name, x) if call.operator == "ReduceL1" else x
    return reduced(graph, call.name, x, axes, keep, call.operator == "ReduceMean")


def _sum(graph: Graph, call: Call) -> Value:
    """Add, Sub, Sum and Mean."""
    signs = [1.0] * len(call.inputs)
    if call.operator == "Sub":
        signs[1] = -1.0
    constants = [given for given in call.inputs if isinstance(given, Constant)]
    total: Value | None = None
    for given, sign in zip(call.inputs, signs, strict=True):
        if isinstance(given, int):
            term = scaled(graph, call.name, given, np.asarray(sign))
            total = term if total is None else added(graph, call.name, total, term)
    assert total is not None
    for given, sign in zip(call.inputs, signs, strict=True):
        if isinstance(given, Constant):
            beside = replace(call, inputs=(total, given))
            total, values = beside.broadcast(graph, _aligned(graph, call, given))
            total = scaled(graph, call.name, total, shift=sign * values)
    if call.operator == "Mean":
        total = scaled(graph, call.name, total, np.asarray(1.0 / len(call.inputs)))
    assert len(constants) < len(call.inputs)
    return total


def _product(graph: Graph, call: Call) -> Value:
    """Mul and Div by a constant."""
    first, second = call.inputs[0], call.inputs[1]
    if isinstance(first, int) and isinstance(second, int):
        raise call.error("multiplies activations" if call.operator == "Mul" else "divides by activations")
    constant = second if isinstance(second, Constant) else first
    if not isinstance(constant, Constant) or (call.operator == "Div" and constant is first):
        raise call.error("divides by activations")
    x, values = call.broadcast(graph, _aligned(graph, call, constant))
    with np.errstate(divide="ignore", invalid="ignore"):
        return scaled(graph, call.name, x, 1.0 / values if call.operator == "Div" else values)


def _aligned(graph: Graph, call: Call, constant: Constant) -> Constant:
    """A constant with the axes that operators before opset 7 give it: where they begin in the other tensor."""
    if call.opset >= 7 or "axis" not in call.attributes:
        return constant
    x = next(n for n, given in enumerate(call.inputs) if isinstance(given, int))
    behind = len(call.full(graph, x)) - call.attributes["axis"] - len(constant.shape)
    return Constant(constant.array.reshape(constant.shape + (1,) * max(behind, 0)), constant.origin)


def _extreme(graph: Graph, call: Call) -> Value:
    """Max and Min of several tensors and constants."""
    largest = call.operator == "Max"
    total: Value | None = None
    for given in call.inputs:
        if isinstance(given, int):
            total = given if total is None else larger(graph, call.name, total, given, largest)
    assert total is not None
    for given in call.inputs:
        if isinstance(given, Constant):
            total, values = replace(call, inputs=(total, given)).broadcast(graph, given)
            total = larger(graph, call.name, total, np.array(values), largest)
    return total


def _power(graph: Graph, call: Call) -> Value:
    exponent = call.constant(1).numbers
    if (exponent != 1).any():
        raise call.error("raises activations to a power")
    return call.broadcast(graph, call.constant(1))[0]


def _clip(graph: Graph, call: Call) -> Value:
    ends = []
    for place, name in enumerate(("min", "max"), 1):
        given = call.array(place)
        if given is not None and given.size != 1:
            raise call.error("has an end that is not one number")
        ends.append(float(given.ravel()[0]) if given is not None else call.attributes.get(name))
    return clipped(graph, call.name, call.tensor(0), *ends)


def _leaky(graph: Graph, call: Call) -> Value:
    if call.operator == "LeakyRelu":
        return leaky(graph, call.name, call.tensor(0), np.asarray(call.attributes.get("alpha", 0.01)))
    slope = call.constant(1)
    if call.opset < 7 and len(slope.shape) == 1 and slope.shape[0] > 1:
        slope = Constant(slope.array.reshape(-1, *[1] * (len(call.full(graph)) - 2)), slope.origin)
    x, values = call.broadcast(graph, slope)
    return leaky(graph, call.name, x, np.array(values))


def _hard_sigmoid(graph: Graph, call: Call) -> Value:
    alpha, beta = (np.asarray(call.attributes.get(n, d)) for n, d in (("alpha", 0.2), ("beta", 0.5)))
    return clipped(graph, call.name, scaled(graph, call.name, call.tensor(0), alpha, beta), 0.0, 1.0)


def _scaler(graph: Graph, call: Call) -> Value:
    offset, scale = (
        np.asarray(call.attributes.get(name, default)) for name, default in (("offset", 0.0), ("scale", 1.0))
    )
    x, offset = replace(call, inputs=(call.tensor(0), Constant(offset))).broadcast(graph, Constant(offset))
    shifted = scaled(graph, call.name, x, shift=-offset)
    x, scale = replace(call, inputs=(shifted, Constant(scale))).broadcast(graph, Constant(scale))
    return scaled(graph, call.name, x, scale)


def _linear_regressor(graph: Graph, call: Call) -> Value:
    targets, x = int(call.attributes.get("targets", 1)), call.tensor(0)
    numbers = np.asarray(call.attributes.get("coefficients", []), dtype=np.float64)
    offsets = np.asarray(call.attributes.get("intercepts", np.zeros(min(max(targets, 0), numbers.size))), np.float64)
    if call.attributes.get("post_transform", "NONE") != "NONE":
        raise call.error(f"transforms its targets by {call.attributes['post_transform']}")
    if targets < 1 or len(offsets) != targets or not numbers.size or numbers.size % targets:
        raise call.error(f"has {numbers.size} coefficients and {len(offsets)} intercepts for {targets} targets")
    value = dense(graph, call.name, x, numbers.reshape(targets, -1), owner=call.name)
    return scaled(graph, call.name, value, shift=offsets)


def _is_old_training(call: Call) -> bool:
    """Whether a batch norm or dropout trains by what opsets before 7 say: they do unless ``is_test`` is set."""
    return call.opset < 7 and not call.attributes.get("is_test", 0)


def _dropout(graph: Graph, call: Call) -> Value:
    active = call.inputs[2] if len(call.inputs) > 2 else None
    trains = active is not None and not (isinstance(active, Constant) and not active.array.any())
    if trains or _is_old_training(call):
        raise call.error("is active; export the model in eval mode")
    return call.tensor(0)


def _cast(graph: Graph, call: Call) -> Value:
    if call.operator == "CastLike":
        like = call.inputs[1]
        kind = 1 if isinstance(like, int) else helper.np_dtype_to_tensor_dtype(call.constant(1).array.dtype)
    else:
        kind = call.attributes["to"]
    if kind not in (1, 10, 11, 16):
        raise call.error("turns activations into something else than floating-point numbers")
    return call.tensor(0)


_OPERATORS: dict[str, Emit[Call]] = {
    **SPATIAL,
    **PLACES,
    **PRODUCTS,
    "BatchNormalization": _batch_norm,
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1"), _reduce),
    **dict.fromkeys(("Add", "Sub", "Sum", "Mean"), _sum),
    **dict.fromkeys(("Mul", "Div"), _product),
    "Neg": lambda graph, call: scaled(graph, call.name, call.tensor(0), np.asarray(-1.0)),
    "Relu": lambda graph, call: relu(graph, call.name, call.tensor(0)),
    "Abs": lambda graph, call: absolute(graph, call.name, call.tensor(0)),
    **dict.fromkeys(("Max", "Min"), _extreme),
    "Pow": _power,
    "Clip": _clip,
    **dict.fromkeys(("LeakyRelu", "PRelu"), _leaky),
    "HardSigmoid": _hard_sigmoid,
    "Dropout": _dropout,
    **dict.fromkeys(("Cast", "CastLike"), _cast),
    "Identity": lambda graph, call: call.tensor(0),
    "Scaler": _scaler,
    "LinearRegressor": _linear_regressor,
}
OF_OTHER_DOMAINS = {("ai.onnx.ml", "Scaler"), ("ai.onnx.ml", "LinearRegressor")}
"""Operators that are read of other domains than ONNX's own."""
OPERATORS: Operators[Call] = Operators("ONNX operator", "oamip_model.onnx_operators", _OPERATORS)
