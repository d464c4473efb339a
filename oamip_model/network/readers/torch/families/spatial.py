"""Torch's convolutions, pooling and changes of size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from oamip_model.network.emit.linear import Windows, along_space, convolution, max_pooled, transposed_convolution
from oamip_model.network.graph import Graph, Value
from oamip_model.network.maps.windows import adaptive_averaging, averaging, resizing, same_padding, window_count
from oamip_model.network.readers.torch.call import Call


def _each(given: int | Sequence[int], count: int) -> list[int]:
    """One number for each axis."""
    values = [given] if isinstance(given, int) else list(given)
    return [int(n) for n in (values * count if len(values) == 1 else values)]


def _conv(graph: Graph, call: Call) -> Value:
    weights = call.weights("weight")
    kernel = weights.held.shape[2:]
    count = len(kernel)
    strides, dilations = _each(call.arguments["stride"], count), _each(call.arguments["dilation"], count)
    padding, groups = call.arguments["padding"], int(call.arguments["groups"])
    if padding == "same":
        pads = [same_padding(k, d) for k, d in zip(kernel, dilations, strict=True)]
    else:
        pads = [(p, p) for p in _each(0 if padding == "valid" else padding, count)]
    x, bias = call.tensor("input"), call.array("bias")
    windows = Windows(strides, pads, dilations, groups)
    if call.arguments.get("transposed") or call.operator.startswith("conv_transpose"):
        more = _each(call.arguments["output_padding"], count)
        return transposed_convolution(graph, call.name, x, weights.held, bias, windows, weights.owner, more)
    return convolution(graph, call.name, x, weights.held, bias, windows, weights.owner)


def _space(graph: Graph, call: Call, count: int) -> tuple[Value, list[int]]:
    """The tensor that a pooling over so many axes reads, and their lengths."""
    x = call.tensor("self")
    shape = graph.shape(x)
    if len(shape) != count + 1:
        raise call.error(f"reads tensors other than (n, channels) and {count} axes of space")
    return x, list(shape[1:])


def _axes(call: Call) -> int:
    return int(call.operator.partition("pool")[2][0])


def _max_pool(graph: Graph, call: Call) -> Value:
    count = _axes(call)
    x, lengths = _space(graph, call, count)
    kernel, dilations = (_each(call.arguments[name], count) for name in ("kernel_size", "dilation"))
    strides = _each(call.arguments["stride"] or kernel, count)
    pads = [(p, p) for p in _each(call.arguments["padding"], count)]
    output = [
        window_count(length, k, s, p, d, call.arguments["ceil_mode"])
        for length, k, s, p, d in zip(lengths, kernel, strides, pads, dilations, strict=True)
    ]
    return max_pooled(graph, call.name, x, kernel, strides, pads, dilations, output)


def _average_pool(graph: Graph, call: Call) -> Value:
    count = _axes(call)
    x, lengths = _space(graph, call, count)
    kernel = _each(call.arguments["kernel_size"], count)
    strides = _each(call.arguments["stride"] or kernel, count)
    pads = _each(call.arguments["padding"], count)
    divisor = call.arguments.get("divisor_override")
    matrices = [
        averaging(length, k, s, (p, p), call.arguments["ceil_mode"], call.arguments["count_include_pad"])
        for length, k, s, p in zip(lengths, kernel, strides, pads, strict=True)
    ]
    if divisor is not None:
        matrices = [(matrix > 0).astype(np.float64) for matrix in matrices]
        matrices[0] /= divisor
    return along_space(graph, call.name, x, matrices)


def _adaptive_average_pool(graph: Graph, call: Call) -> Value:
    sizes = call.arguments["output_size"]
    x, lengths = _space(graph, call, _axes(call))
    outputs = _each(sizes, len(lengths))
    matrices = [adaptive_averaging(length, output) for length, output in zip(lengths, outputs, strict=True)]
    return along_space(graph, call.name, x, matrices)


def _adaptive_max_pool(graph: Graph, call: Call) -> Value:
    x, lengths = _space(graph, call, _axes(call))
    outputs = _each(call.arguments["output_size"], len(lengths))
    if any(length % output for length, output in zip(lengths, outputs, strict=True)):
        raise call.error(f"takes maxima of {lengths} at {outputs} places, windows of unequal length")
    kernel = [length // output for length, output in zip(lengths, outputs, strict=True)]
    ones = [1] * len(kernel)
    return max_pooled(graph, call.name, x, kernel, kernel, [(0, 0)] * len(kernel), ones, outputs)


def _upsample(graph: Graph, call: Call) -> Value:
    nearest = "nearest" in call.operator
    count = int(call.operator.rstrip("d")[-1])
    x = call.arguments.get("self") or call.arguments["input"]
    given = call.arguments.get("scale_factors") or [
        call.arguments.get(name)
        for name in (("scales",) if count == 1 else ("scales_d", "scales_h", "scales_w")[-count:])
    ]
    outputs = call.shape[1:]
    value: Value = x.value
    lengths = graph.shape(value)[1:]
    matrices = []
    places = "align_corners" if call.arguments.get("align_corners") else "half_pixel"
    for axis, (length, output) in enumerate(zip(lengths, outputs, strict=True)):
        scale = given[axis] if given[axis] else output / length
        if nearest:
            exact = call.operator.startswith("_upsample_nearest_exact")
            matrices.append(resizing(length, output, scale, "nearest", "half_pixel" if exact else "asymmetric",
                                     "round_prefer_ceil" if exact else "floor"))  # fmt: skip
        else:
            matrices.append(resizing(length, output, scale, "linear", places))
    return along_space(graph, call.name, value, matrices)


SPATIAL: dict[str, Callable[[Graph, Call], Value]] = {
    **dict.fromkeys(
        ("conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _conv
    ),
    **dict.fromkeys(
        ("max_pool1d", "max_pool2d", "max_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices"), _max_pool
    ),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _average_pool),
    **dict.fromkeys(
        ("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d",
         "_adaptive_avg_pool3d"),
        _adaptive_average_pool,
    ),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"), _adaptive_max_pool),
    **dict.fromkeys(
        ("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
         "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d",
         "upsample_trilinear3d"),
        _upsample,
    ),
}  # fmt: skip
