"""Torch's operators, one function each.

A function makes nodes of the operator graph from a call in an exported program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.graph import Graph, Value, batch_norm, refuse
from oamip_model.network.maps import Array, AveragePool, Conv2d, Dense, MaxPool, Shape
from oamip_model.network.maps.windows import adaptive_averaging, averaging, is_averaging, same_padding, window_count
from oamip_model.network.readers.operators import Operators


@dataclass(frozen=True)
class Weights:
    """A tensor that does not depend on the image, and its module.

    It may belong to a parameter instead.
    """

    array: Array
    owner: str


@dataclass(frozen=True)
class Activations:
    """A tensor that depends on the image."""

    value: Value


@dataclass(frozen=True)
class Call:
    """One operator of an exported program.

    It has its layer's name and type, its arguments, and one image's output shape.
    """

    name: str
    kind: str
    operator: str
    arguments: dict[str, Any]
    shape: Shape

    def error(self, reason: str = "is not supported") -> InputError:
        """The refusal of this layer."""
        return refuse(self.name, self.kind, reason)

    def tensor(self, argument: str) -> Value:
        """The argument, which must depend on the image."""
        given = self.arguments[argument]
        if not isinstance(given, Activations):
            raise self.error(f"reads a constant as its {argument}")
        return given.value

    def weights(self, argument: str) -> Weights:
        """The argument, which must be a constant."""
        given = self.arguments[argument]
        if not isinstance(given, Weights):
            raise self.error(f"has a {argument} that depends on the image")
        return given

    def array(self, argument: str) -> Array | None:
        """The argument's numbers, None where it is left out."""
        return None if self.arguments.get(argument) is None else self.weights(argument).array


def is_accepted(operator: str) -> bool:
    """Whether there is a function for the operator."""
    return OPERATORS.find(operator) is not None


def emit(graph: Graph, call: Call) -> Value:
    """Append a call of an accepted operator.

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


def _pair(given: int | Sequence[int]) -> tuple[int, int]:
    values = [given] * 2 if isinstance(given, int) else list(given)
    return (int(values[0]), int(values[-1]))


def _conv(graph: Graph, call: Call) -> Value:
    weights = call.weights("weight")
    if weights.array.ndim != 4 or call.arguments.get("transposed"):
        raise call.error()
    stride, dilation = _pair(call.arguments["stride"]), _pair(call.arguments["dilation"])
    padding = call.arguments["padding"]
    kernel = weights.array.shape[2:]
    if padding == "same":
        before, after = zip(*(same_padding(k, d) for k, d in zip(kernel, dilation, strict=True)), strict=True)
    else:
        before = after = _pair(0 if padding == "valid" else padding)
    map = Conv2d(weights.array, stride, (*before, *after), dilation, call.arguments["groups"])
    return graph.affine(call.name, call.tensor("input"), map, call.array("bias"), weights.owner)


def _linear(graph: Graph, call: Call) -> Value:
    weights = call.weights("weight")
    return graph.affine(call.name, call.tensor("input"), Dense(weights.array), call.array("bias"), weights.owner)


def _matmul(graph: Graph, call: Call) -> Value:
    first, second = (
        ("mat1", "mat2") if call.operator == "addmm" else ("self", "mat2" if call.operator == "mm" else "other")
    )
    if isinstance(call.arguments[first], Weights) and isinstance(call.arguments[second], Activations):
        rows = call.weights(first).array
        return graph.average(call.name, call.kind, call.tensor(second), rows, height=True)
    weights = call.weights(second)
    if len(graph.shape(call.tensor(first))) == 3 and is_averaging(weights.array.T):
        return graph.average(call.name, call.kind, call.tensor(first), weights.array.T, height=False)
    if weights.array.ndim != 2 or any(call.arguments.get(name, 1) != 1 for name in ("alpha", "beta")):
        raise call.error()
    dense = Dense(np.ascontiguousarray(weights.array.T))
    value = graph.affine(call.name, call.tensor(first), dense, owner=weights.owner)
    return graph.shift(call.name, value, call.weights("self").array) if call.operator == "addmm" else value


def _batch_norm(graph: Graph, call: Call) -> Value:
    if call.arguments.get("training") or call.arguments["running_mean"] is None:
        raise call.error("normalises by the statistics of the batch; it needs running statistics and eval mode")
    mean = call.weights("running_mean")
    map, bias = batch_norm(
        mean.array, call.weights("running_var").array, call.arguments["eps"], call.array("weight"), call.array("bias")
    )
    return graph.affine(call.name, call.tensor("input"), map, bias, mean.owner)


def _max_pool(graph: Graph, call: Call) -> Value:
    x = call.tensor("self")
    kernel, dilation = _pair(call.arguments["kernel_size"]), _pair(call.arguments["dilation"])
    stride = _pair(call.arguments["stride"] or kernel)
    pads = _pair(call.arguments["padding"])
    if len(graph.shape(x)) != 3:
        raise call.error("reads tensors other than (n, channels, height, width)")
    output = [
        window_count(length, k, s, (p, p), d, call.arguments["ceil_mode"])
        for length, k, s, p, d in zip(graph.shape(x)[1:], kernel, stride, pads, dilation, strict=True)
    ]
    return graph.max_pool(call.name, x, MaxPool(kernel, stride, pads + pads, dilation, (output[0], output[1])))


def _average_pool(graph: Graph, call: Call) -> Value:
    x = call.tensor("self")
    if len(graph.shape(x)) != 3:
        raise call.error("reads tensors other than (n, channels, height, width)")
    kernel = _pair(call.arguments["kernel_size"])
    stride, pads = _pair(call.arguments["stride"] or kernel), _pair(call.arguments["padding"])
    divisor = call.arguments["divisor_override"]
    axes = [
        averaging(length, k, s, (p, p), call.arguments["ceil_mode"], call.arguments["count_include_pad"])
        for length, k, s, p in zip(graph.shape(x)[1:], kernel, stride, pads, strict=True)
    ]
    if divisor is not None:
        axes = [(axis > 0).astype(np.float64) for axis in axes]
        axes[0] /= divisor
    return graph.affine(call.name, x, AveragePool(axes[0], axes[1]))


def _adaptive_average_pool(graph: Graph, call: Call) -> Value:
    x = call.tensor("self")
    if len(graph.shape(x)) != 3:
        raise call.error("reads tensors other than (n, channels, height, width)")
    sizes = zip(graph.shape(x)[1:], call.arguments["output_size"], strict=True)
    rows, columns = (adaptive_averaging(length, output) for length, output in sizes)
    return graph.affine(call.name, x, AveragePool(rows, columns))


def _mean(graph: Graph, call: Call) -> Value:
    x = call.tensor("self")
    axes = {axis % (len(graph.shape(x)) + 1) for axis in call.arguments.get("dim") or ()}
    return graph.mean(call.name, x, axes, bool(call.arguments.get("keepdim")))


def _add(graph: Graph, call: Call) -> Value:
    first, second = call.arguments["self"], call.arguments["other"]
    if call.arguments["alpha"] != 1:
        raise call.error(f"adds with a factor alpha={call.arguments['alpha']}")
    if isinstance(first, Activations) and isinstance(second, Activations):
        return graph.add(call.name, first.value, second.value)
    if first is None or second is None:
        raise call.error("adds the size of a tensor")
    tensor, constant = (first, second) if isinstance(first, Activations) else (second, first)
    numbers = constant.array if isinstance(constant, Weights) else np.asarray(constant, dtype=np.float64)
    return graph.shift(call.name, tensor.value, numbers)


def _pad(graph: Graph, call: Call) -> Value:
    mode = call.arguments.get("mode", "constant")
    if mode != "constant":
        raise call.error(f"pads by {mode} (its padding_mode)")
    x = call.tensor("self")
    given = [int(n) for n in call.arguments["pad"]]
    last = [(before, after) for before, after in zip(given[::2], given[1::2], strict=True)][::-1]
    axes = len(graph.shape(x)) + 1
    pads = [(0, 0)] * (axes - len(last)) + last
    if pads[0] != (0, 0):
        raise call.error("pads the batch")
    return graph.pad(call.name, call.kind, x, pads[1:], float(call.arguments.get("value") or 0.0))


def _relu(graph: Graph, call: Call) -> Value:
    return graph.relu(call.name, call.tensor("self"))


def _reshape(graph: Graph, call: Call) -> Value:
    return graph.reshape(call.name, call.tensor("self"), call.shape)


def _dropout(graph: Graph, call: Call) -> Value:
    if call.arguments["train"]:
        raise call.error("is active; it needs eval mode (functional dropout: training=self.training)")
    return call.tensor("input")


def _same(graph: Graph, call: Call) -> Value:
    return call.tensor("self")


_OPERATORS: dict[str, Callable[[Graph, Call], Value]] = {
    **dict.fromkeys(("conv2d", "convolution"), _conv),
    "linear": _linear,
    **dict.fromkeys(("addmm", "mm", "matmul"), _matmul),
    **dict.fromkeys(("batch_norm", "_native_batch_norm_legit_no_training"), _batch_norm),
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices"), _max_pool),
    "avg_pool2d": _average_pool,
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    **dict.fromkeys(("adaptive_avg_pool2d", "_adaptive_avg_pool2d"), _adaptive_average_pool),
    "mean": _mean,
    **dict.fromkeys(("add", "add_"), _add),
    **dict.fromkeys(("relu", "relu_"), _relu),
    **dict.fromkeys(("flatten", "view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "unflatten"), _reshape),
    **dict.fromkeys(("dropout", "dropout_", "feature_dropout", "alpha_dropout", "feature_alpha_dropout"), _dropout),
    **dict.fromkeys(("alias", "detach", "detach_", "clone", "contiguous", "to", "_to_copy", "lift_fresh_copy"), _same),
}
OPERATORS: Operators[Call] = Operators("operator of torch", "oamip_model.torch_operators", _OPERATORS)
