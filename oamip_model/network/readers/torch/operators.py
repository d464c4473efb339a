"""Torch's operators, one function each.

A function makes nodes of the operator graph from a call in an exported program.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from oamip_model.network.emit.linear import largest_along, reduced
from oamip_model.network.emit.pointwise import absolute, added, clipped, larger, leaky, relu, scaled
from oamip_model.network.graph import Graph, Value, batch_norm
from oamip_model.network.readers.operators import Emit, Operators
from oamip_model.network.readers.torch.call import Activations, Call
from oamip_model.network.readers.torch.families.places import PLACES
from oamip_model.network.readers.torch.families.products import PRODUCTS
from oamip_model.network.readers.torch.families.spatial import SPATIAL


def is_accepted(operator: str) -> bool:
    """Whether there is a function for the operator."""
    return OPERATORS.find(operator) is not None


def emit(graph: Graph, call: Call) -> Value | list[Value]:
    """Append a call of an accepted operator, and return what it gives.

    Raises InputError where the way it is used is not accepted.
    """
    read = OPERATORS.find(call.operator)
    if read is None:
        raise call.error()
    return read(graph, call)


def register_torch_operator(name: str, read: Callable[[Graph, Call], Value]) -> None:
    """Read torch's operator of this name, such as ``cumsum``, by a function.

    The function appends nodes to the graph and returns the value that the call gives, or raises ``call.error(reason)``.
    A package offers one in the entry-point group ``oamip_model.torch_operators``. Raises InputError for an operator
    that is read already.
    """
    OPERATORS.register(name, read)


def _batch_norm(graph: Graph, call: Call) -> Value:
    if call.arguments.get("training") or call.arguments["running_mean"] is None:
        raise call.error("normalises by the statistics of the batch; it needs running statistics and eval mode")
    mean = call.weights("running_mean")
    map, bias = batch_norm(
        mean.array, call.weights("running_var").array, call.arguments["eps"], call.array("weight"), call.array("bias")
    )
    x = call.tensor("input")
    channels = (-1,) + (1,) * (len(graph.shape(x)) - 1)
    return scaled(graph, call.name, x, map.scale.reshape(channels), bias.reshape(channels), mean.owner)


def _reduce(graph: Graph, call: Call) -> Value:
    x = call.tensor("self")
    count = len(graph.shape(x)) + 1
    given = call.arguments.get("dim")
    axes = {axis % count for axis in ([given] if isinstance(given, int) else given or range(count))}
    if 0 in axes:
        raise call.error(f"takes a {call.operator} over axes {sorted(axes)}, which mixes the images of a batch")
    keep = bool(call.arguments.get("keepdim"))
    if call.operator not in ("mean", "sum"):
        inside = {axis - 1 for axis in axes}
        return largest_along(graph, call.name, x, inside, keep, call.operator in ("amax", "max"))
    return reduced(graph, call.name, x, {axis - 1 for axis in axes}, keep, call.operator == "mean")


def _sum(graph: Graph, call: Call) -> Value:
    """Sums and differences, the second one with a factor."""
    first, second = call.arguments["self"], call.arguments["other"]
    factor = call.number("alpha", 1.0) or 0.0
    signs = {"sub": (1.0, -factor), "rsub": (-factor, 1.0)}.get(_plain(call), (1.0, factor))
    (a, b), numbers = signs, np.asarray
    if isinstance(first, Activations) and isinstance(second, Activations):
        terms = scaled(graph, call.name, first.value, numbers(a)), scaled(graph, call.name, second.value, numbers(b))
        return added(graph, call.name, *terms)
    (x, of_x), (constant, of_constant) = (
        ((first, a), (second, b)) if isinstance(first, Activations) else ((second, b), (first, a))
    )
    value, values = call.broadcast(graph, x.value, constant)
    return scaled(graph, call.name, value, numbers(of_x), of_constant * values)


def _plain(call: Call) -> str:
    """The operator's name, without the mark of one that works in place."""
    return {"subtract": "sub"}.get(call.operator.rstrip("_"), call.operator.rstrip("_"))


def _product(graph: Graph, call: Call) -> Value:
    first, second = call.arguments["self"], call.arguments["other"]
    divides = _plain(call) in ("div", "divide", "true_divide")
    if isinstance(first, Activations) and isinstance(second, Activations):
        raise call.error("divides by activations" if divides else "multiplies activations")
    if (divides and not isinstance(first, Activations)) or call.arguments.get("rounding_mode") is not None:
        raise call.error("divides by activations, or rounds")
    x, constant = (first, second) if isinstance(first, Activations) else (second, first)
    value, values = call.broadcast(graph, x.value, constant)
    with np.errstate(divide="ignore", invalid="ignore"):
        return scaled(graph, call.name, value, 1.0 / values if divides else values)


def _clip(graph: Graph, call: Call) -> Value:
    ends = {
        "relu6": (0.0, 6.0),
        "hardtanh": (call.number("min_val", -1.0), call.number("max_val", 1.0)),
    }.get(_plain(call), (call.number("min"), call.number("max")))
    return clipped(graph, call.name, call.tensor("self"), *ends)


def _leaky(graph: Graph, call: Call) -> Value:
    x = call.tensor("self")
    if _plain(call) == "leaky_relu":
        return leaky(graph, call.name, x, np.asarray(call.number("negative_slope", 0.01)))
    slopes = call.weights("weight").array
    shape = graph.shape(x)
    return leaky(graph, call.name, x, slopes.reshape(-1, *[1] * (len(shape) - 1)) if slopes.size > 1 else slopes)


def _extreme(graph: Graph, call: Call) -> Value:
    first, second = call.arguments["self"], call.arguments["other"]
    largest = call.operator in ("maximum", "max")
    if isinstance(first, Activations) and isinstance(second, Activations):
        return larger(graph, call.name, first.value, second.value, largest)
    x, constant = (first, second) if isinstance(first, Activations) else (second, first)
    value, values = call.broadcast(graph, x.value, constant)
    return larger(graph, call.name, value, np.array(values), largest)


def _reduce_or_extreme(graph: Graph, call: Call) -> Value:
    """torch's ``max`` and ``min``, of two tensors or along an axis."""
    return (_extreme if "other" in call.arguments else _reduce)(graph, call)


def _hard_sigmoid(graph: Graph, call: Call) -> Value:
    part = scaled(graph, call.name, call.tensor("self"), np.asarray(1 / 6), np.asarray(0.5))
    return clipped(graph, call.name, part, 0.0, 1.0)


def _dropout(graph: Graph, call: Call) -> Value:
    if call.arguments["train"]:
        raise call.error("is active; it needs eval mode (functional dropout: training=self.training)")
    return call.tensor("input")


def _same(graph: Graph, call: Call) -> Value:
    return call.tensor("self")


_OPERATORS: dict[str, Emit[Call]] = {
    **SPATIAL,
    **PLACES,
    **PRODUCTS,
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("mean", "sum", "amax", "amin"), _reduce),
    **dict.fromkeys(("max", "min"), _reduce_or_extreme),
    **dict.fromkeys(("add", "add_", "sub", "sub_", "subtract", "rsub"), _sum),
    **dict.fromkeys(("mul", "mul_", "multiply", "div", "div_", "divide", "true_divide"), _product),
    "neg": lambda graph, call: scaled(graph, call.name, call.tensor("self"), np.asarray(-1.0)),
    **dict.fromkeys(("relu", "relu_"), lambda graph, call: relu(graph, call.name, call.tensor("self"))),
    **dict.fromkeys(
        ("relu6", "relu6_", "hardtanh", "hardtanh_", "clamp", "clamp_", "clip", "clamp_min", "clamp_min_", "clamp_max"),
        _clip,
    ),
    **dict.fromkeys(("leaky_relu", "leaky_relu_", "prelu", "_prelu_kernel"), _leaky),
    "abs": lambda graph, call: absolute(graph, call.name, call.tensor("self")),
    **dict.fromkeys(("maximum", "minimum"), _extreme),
    **dict.fromkeys(("hardsigmoid", "hardsigmoid_"), _hard_sigmoid),
    **dict.fromkeys(("dropout", "dropout_", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), _dropout),
    **dict.fromkeys(("alias", "detach", "detach_", "clone", "contiguous", "to", "_to_copy", "lift_fresh_copy"), _same),
}
OPERATORS: Operators[Call] = Operators("operator of torch", "oamip_model.torch_operators", _OPERATORS)
