"""ONNX operators, one function each.

A function makes nodes of the operator graph from a node of a model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from oamip_model.network.graph import Graph, Value, batch_norm
from oamip_model.network.maps import Array, AveragePool, Conv2d, Dense, MaxPool, Shape
from oamip_model.network.maps.windows import averaging, is_averaging, window_count
from oamip_model.network.readers.onnx.call import Call, Constant
from oamip_model.network.readers.operators import Operators


def emit(graph: Graph, call: Call) -> Value:
    """Append the node to the graph.

    Raises InputError where the operator, or the way it is used, is not accepted.
    """
    read = OPERATORS.find(call.operator)
    if read is None:
        quantised = any(part in call.operator for part in ("Quantize", "QLinear", "Integer"))
        raise call.error("is quantised" if quantised else "is not supported")
    return read(graph, call)


def register_onnx_operator(name: str, read: Callable[[Graph, Call], Value]) -> None:
    """Read the ONNX operator of this name by a function.

    The function appends nodes to the graph and returns the value that the call gives, or raises ``call.error(reason)``.
    A package offers one in the entry-point group ``oamip_model.onnx_operators``. Raises InputError for an operator that
    is read already.
    """
    OPERATORS.register(name, read)


@dataclass(frozen=True)
class _Window:
    """Sliding windows over height and width; ``pads`` holds (before, after) of each axis."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    pads: tuple[tuple[int, int], tuple[int, int]]

    @property
    def padding(self) -> tuple[int, int, int, int]:
        """(top, left, bottom, right)."""
        (top, bottom), (left, right) = self.pads
        return top, left, bottom, right


def _window(graph: Graph, call: Call, kernel: list[int]) -> _Window:
    shape = graph.shape(call.tensor(0))
    if len(shape) != 3 or len(kernel) != 2:
        raise call.error("is not two-dimensional")
    strides = call.attributes.get("strides") or [1, 1]
    dilations = call.attributes.get("dilations") or [1, 1]
    given = call.attributes.get("pads") or [0, 0, 0, 0]
    mode = call.attributes.get("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise call.error(f"pads by {mode}")
    pads = []
    for axis in range(2):
        before, after = (given[axis], given[2 + axis]) if mode == "NOTSET" else (0, 0)
        if mode.startswith("SAME"):
            length = shape[1 + axis]
            span = (-(-length // strides[axis]) - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
            total = max(span - length, 0)
            before = total // 2 if mode == "SAME_UPPER" else total - total // 2
            after = total - before
        pads.append((int(before), int(after)))
    if min(min(pad) for pad in pads) < 0:
        raise call.error("cuts its input off by a negative padding")
    return _Window(_two(kernel), _two(strides), _two(dilations), (pads[0], pads[1]))


def _two(values: list[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _conv(graph: Graph, call: Call) -> Value:
    weights = call.constant(1)
    weight = np.asarray(weights.array, dtype=np.float64)
    if weight.ndim != 4:
        raise call.error("is not two-dimensional")
    window = _window(graph, call, list(weight.shape[2:]))
    map = Conv2d(weight, window.stride, window.padding, window.dilation, int(call.attributes.get("group", 1)))
    return graph.affine(call.name, call.tensor(0), map, call.array(2), call.owner(weights))


def _gemm(graph: Graph, call: Call) -> Value:
    weights = call.constant(1)
    if call.attributes.get("transA"):
        raise call.error("transposes its input, which mixes the images of a batch")
    weight = call.attributes.get("alpha", 1.0) * np.asarray(weights.array, dtype=np.float64)
    dense = Dense(np.ascontiguousarray(weight if call.attributes.get("transB") else weight.T))
    beta = call.attributes.get("beta", 1.0)
    bias = call.inputs[2] if len(call.inputs) > 2 else None
    value = graph.affine(call.name, call.tensor(0), dense, owner=call.owner(weights))
    if isinstance(bias, Constant):
        return graph.shift(call.name, value, beta * np.asarray(bias.array, dtype=np.float64))
    if bias is not None and beta != 1.0:
        raise call.error(f"adds activations with a factor beta={beta:g}")
    return value if bias is None else graph.add(call.name, value, bias)


def _matmul(graph: Graph, call: Call) -> Value:
    if isinstance(call.inputs[0], Constant) and isinstance(call.inputs[1], int):
        return graph.average(call.name, call.operator, call.tensor(1), _numbers(call.constant(0)), height=True)
    weights = call.constant(1)
    if len(graph.shape(call.tensor(0))) == 3 and is_averaging(_numbers(weights).T):
        return graph.average(call.name, call.operator, call.tensor(0), _numbers(weights).T, height=False)
    if weights.array.ndim != 2:
        raise call.error(f"multiplies by an array of shape {weights.array.shape}")
    dense = Dense(np.ascontiguousarray(np.asarray(weights.array, dtype=np.float64).T))
    return graph.affine(call.name, call.tensor(0), dense, owner=call.owner(weights))


def _batch_norm(graph: Graph, call: Call) -> Value:
    if call.attributes.get("training_mode") or _is_old_training(call):
        raise call.error("is in training mode; export the model in eval mode")
    if not call.attributes.get("spatial", 1):
        raise call.error("has spatial=0, statistics for each position; accepted are those of each channel")
    weight, bias, mean, variance = (np.asarray(call.constant(i).array, dtype=np.float64) for i in range(1, 5))
    map, shift = batch_norm(mean, variance, call.attributes.get("epsilon", 1e-5), weight, bias)
    # Exporters store equal weights once, and those of untrained batch norms are all 1: that ties no units.
    return graph.affine(call.name, call.tensor(0), map, shift, call.name)


def _max_pool(graph: Graph, call: Call) -> Value:
    x = call.tensor(0)
    window = _window(graph, call, call.attributes["kernel_shape"])
    if window.dilation != (1, 1) and str(call.attributes.get("auto_pad", "")).startswith("SAME"):
        raise call.error("is dilated and pads by SAME, where onnxruntime does not do what ONNX defines")
    ceil = bool(call.attributes.get("ceil_mode", 0))
    output = [
        window_count(length, k, s, pads, d, ceil)
        for length, k, s, pads, d in zip(
            graph.shape(x)[1:], window.kernel, window.stride, window.pads, window.dilation, strict=True
        )
    ]
    pool = MaxPool(window.kernel, window.stride, window.padding, window.dilation, _two(output))
    return graph.max_pool(call.name, x, pool)


def _average_pool(graph: Graph, call: Call) -> Value:
    x = call.tensor(0)
    window = _window(graph, call, call.attributes["kernel_shape"])
    if window.dilation != (1, 1):
        raise call.error("is dilated")
    ceil, counted = bool(call.attributes.get("ceil_mode", 0)), bool(call.attributes.get("count_include_pad", 0))
    rows, columns = (
        averaging(length, k, s, pads, ceil, counted)
        for length, k, s, pads in zip(graph.shape(x)[1:], window.kernel, window.stride, window.pads, strict=True)
    )
    return graph.affine(call.name, x, AveragePool(rows, columns))


def _mean(graph: Graph, call: Call) -> Value:
    given = [2, 3] if call.operator == "GlobalAveragePool" else call.integers(1, "axes")
    if not given and call.attributes.get("noop_with_empty_axes"):
        return call.tensor(0)
    axes = call.axes(graph, given or [])
    return graph.mean(call.name, call.tensor(0), axes, bool(call.attributes.get("keepdims", 1)))


def _add(graph: Graph, call: Call) -> Value:
    first, second = call.inputs
    if isinstance(first, int) and isinstance(second, int):
        return graph.add(call.name, first, second)
    tensor, constant = (0, 1) if isinstance(first, int) else (1, 0)
    values = np.asarray(call.constant(constant).array, dtype=np.float64)
    if call.opset < 7 and "axis" in call.attributes:
        # Where the constant's axes begin in the tensor; later operators broadcast as numpy does.
        behind = len(graph.shape(call.tensor(tensor))) + 1 - call.attributes["axis"] - values.ndim
        values = values.reshape(values.shape + (1,) * max(behind, 0))
    return graph.shift(call.name, call.tensor(tensor), values)


def _pad(graph: Graph, call: Call) -> Value:
    x = call.tensor(0)
    mode = call.attributes.get("mode", "constant")
    if mode != "constant":
        raise call.error(f"pads by {mode}")
    given = call.integers(1, "paddings" if call.opset < 2 else "pads")
    if given is None:
        raise call.error("does not say how far it pads")
    value = call.array(2)
    number = float(value.ravel()[0]) if value is not None and value.size else float(call.attributes.get("value", 0.0))
    count = len(graph.shape(x)) + 1
    named = None if call.array(3) is None else call.integers(3, "axes")
    axes = list(range(count)) if named is None else [axis % count for axis in named]
    if len(given) != 2 * len(axes):
        raise call.error(f"has {len(given)} paddings for {len(axes)} axes")
    pads = [(0, 0)] * count
    for place, axis in enumerate(axes):
        pads[axis] = (given[place], given[len(axes) + place])
    if pads[0] != (0, 0):
        raise call.error("pads the batch")
    return graph.pad(call.name, call.operator, x, pads[1:], number)


def _numbers(constant: Constant) -> Array:
    return np.asarray(constant.array, dtype=np.float64)


def _reshape(graph: Graph, call: Call) -> Value:
    x = call.tensor(0)
    old = (call.batch, *graph.shape(x))
    if call.operator == "Flatten":
        axis = call.attributes.get("axis", 1) % len(old)
        new = [int(np.prod(old[:axis])), int(np.prod(old[axis:]))]
    elif call.operator == "Reshape":
        given = call.integers(1, "shape") or []
        keep_zero = bool(call.attributes.get("allowzero", 0))
        new = [old[axis] if n == 0 and not keep_zero and axis < len(old) else n for axis, n in enumerate(given)]
    elif call.operator == "Squeeze":
        squeezed = call.integers(1, "axes")
        if squeezed is None:
            raise call.error("names no axes, which could drop the batch")
        axes = call.axes(graph, squeezed)
        new = [n for axis, n in enumerate(old) if axis not in axes]
        if 0 in axes:
            new = []
    else:
        added = call.integers(1, "axes") or []
        axes = {axis % (len(old) + len(added)) for axis in added}
        rest = iter(old)
        new = [1 if axis in axes else next(rest) for axis in range(len(old) + len(axes))]
        if 0 in axes:
            new = []
    known = int(np.prod([n for n in new if n != -1]))
    if new.count(-1) == 1 and known > 0:
        new[new.index(-1)] = int(np.prod(old)) // known
    if not new or new[0] != call.batch or np.prod(new) != np.prod(old) or min(new) < 1 or len(new) < 2:
        raise call.error(f"turns a batch of shape {old} into shape {tuple(new)}, which mixes its images")
    shape: Shape = tuple(new[1:])
    return graph.reshape(call.name, x, shape)


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
    if call.attributes["to"] not in (1, 10, 11, 16):
        raise call.error("turns activations into something else than floating-point numbers")
    return call.tensor(0)


def _relu(graph: Graph, call: Call) -> Value:
    return graph.relu(call.name, call.tensor(0))


def _same(graph: Graph, call: Call) -> Value:
    return call.tensor(0)


_OPERATORS: dict[str, Callable[[Graph, Call], Value]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _batch_norm,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    **dict.fromkeys(("GlobalAveragePool", "ReduceMean"), _mean),
    "Add": _add,
    "Pad": _pad,
    "Relu": _relu,
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _reshape),
    "Dropout": _dropout,
    "Cast": _cast,
    "Identity": _same,
}
OPERATORS: Operators[Call] = Operators("ONNX operator", "oamip_model.onnx_operators", _OPERATORS)
