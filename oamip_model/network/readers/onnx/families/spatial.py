"""Convolutions, pooling and changes of size of ONNX."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from oamip_model.network.emit.linear import Windows, along_space, convolution, max_pooled, transposed_convolution
from oamip_model.network.graph import Graph, Value
from oamip_model.network.maps import Shape
from oamip_model.network.maps.windows import averaging, resizing, window_count
from oamip_model.network.readers.onnx.call import Call

_PLACES = {"half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
           "tf_half_pixel_for_nn"}  # fmt: skip


@dataclass(frozen=True)
class _Window:
    """Sliding windows over the axes behind the channels; ``pads`` holds (before, after) of each."""

    kernel: list[int]
    strides: list[int]
    pads: list[tuple[int, int]]
    dilations: list[int]


def _window(shape: Shape, call: Call, kernel: list[int]) -> _Window:
    count = len(kernel)
    if len(shape) != count + 1 or count not in (1, 2, 3):
        raise call.error(f"has windows of {count} axes for images of {len(shape)}; accepted are channels and 1 to 3")
    strides = call.attributes.get("strides") or [1] * count
    dilations = call.attributes.get("dilations") or [1] * count
    given = call.attributes.get("pads") or [0] * 2 * count
    if len(strides) != count or len(dilations) != count or len(given) != 2 * count:
        raise call.error("has strides, dilations or paddings of another number of axes than its kernel")
    mode = call.attributes.get("auto_pad", "NOTSET")
    if mode not in ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"):
        raise call.error(f"pads by {mode}")
    pads = []
    for axis in range(count):
        before, after = (given[axis], given[count + axis]) if mode == "NOTSET" else (0, 0)
        if mode.startswith("SAME"):
            length = shape[1 + axis]
            span = (-(-length // strides[axis]) - 1) * strides[axis] + dilations[axis] * (kernel[axis] - 1) + 1
            total = max(span - length, 0)
            before = total // 2 if mode == "SAME_UPPER" else total - total // 2
            after = total - before
        pads.append((int(before), int(after)))
    if min(min(pad) for pad in pads) < 0:
        raise call.error("cuts its input off by a negative padding")
    return _Window([int(n) for n in kernel], [int(n) for n in strides], pads, [int(n) for n in dilations])


def _conv(graph: Graph, call: Call) -> Value:
    weights = call.constant(1)
    weight, x = weights.weights, call.image(graph)
    w = _window(graph.shape(x), call, list(weight.shape[2:]))
    windows = Windows(w.strides, w.pads, w.dilations, int(call.attributes.get("group", 1)))
    value = convolution(graph, call.name, x, weight, call.array(2), windows, call.owner(weights))
    return call.whole(graph, value)


def _conv_transpose(graph: Graph, call: Call) -> Value:
    weights = call.constant(1)
    weight, x = weights.weights, call.image(graph)
    shape, kernel = graph.shape(x), list(weight.shape[2:])
    mode = call.attributes.get("auto_pad", "NOTSET")
    plain = {name: value for name, value in call.attributes.items() if name != "auto_pad"}
    w = _window(shape, replace(call, attributes=plain), kernel)
    more = [int(n) for n in call.attributes.get("output_padding") or [0] * len(kernel)]
    asked = call.attributes.get("output_shape")
    pads = w.pads
    if asked or mode.startswith("SAME"):
        lengths = asked or [n * s for n, s in zip(shape[1:], w.strides, strict=True)]
        pads = []
        for axis, length in enumerate(lengths):
            span = (kernel[axis] - 1) * w.dilations[axis] + 1
            total = w.strides[axis] * (shape[1 + axis] - 1) + more[axis] + span - int(length)
            before = total - total // 2 if mode == "SAME_LOWER" else total // 2
            pads.append((before, total - before))
    windows = Windows(w.strides, pads, w.dilations, int(call.attributes.get("group", 1)))
    value = transposed_convolution(graph, call.name, x, weight, call.array(2), windows, call.owner(weights), more)
    return call.whole(graph, value)


def _max_pool(graph: Graph, call: Call) -> Value:
    x = call.image(graph)
    w = _window(graph.shape(x), call, call.attributes["kernel_shape"])
    if any(d != 1 for d in w.dilations) and str(call.attributes.get("auto_pad", "")).startswith("SAME"):
        raise call.error("is dilated and pads by SAME, where onnxruntime does not do what ONNX defines")
    ceil = bool(call.attributes.get("ceil_mode", 0))
    output = [
        window_count(length, k, s, pads, d, ceil)
        for length, k, s, pads, d in zip(graph.shape(x)[1:], w.kernel, w.strides, w.pads, w.dilations, strict=True)
    ]
    return call.whole(graph, max_pooled(graph, call.name, x, w.kernel, w.strides, w.pads, w.dilations, output))


def _average_pool(graph: Graph, call: Call) -> Value:
    x = call.image(graph)
    w = _window(graph.shape(x), call, call.attributes["kernel_shape"])
    if any(d != 1 for d in w.dilations):
        raise call.error("is dilated")
    ceil, counted = bool(call.attributes.get("ceil_mode", 0)), bool(call.attributes.get("count_include_pad", 0))
    matrices = [
        averaging(length, k, s, pads, ceil, counted)
        for length, k, s, pads in zip(graph.shape(x)[1:], w.kernel, w.strides, w.pads, strict=True)
    ]
    return call.whole(graph, along_space(graph, call.name, x, matrices))


def _global_pool(graph: Graph, call: Call) -> Value:
    x = call.image(graph)
    sizes = list(graph.shape(x)[1:])
    if call.operator == "GlobalAveragePool":
        value = along_space(graph, call.name, x, [np.full((1, n), 1.0 / n) for n in sizes])
    else:
        ones = [1] * len(sizes)
        value = max_pooled(graph, call.name, x, sizes, ones, [(0, 0)] * len(sizes), ones, ones)
    return call.whole(graph, value)


def _resize(graph: Graph, call: Call) -> Value:
    old = call.opset < 11 or call.operator == "Upsample"
    mode = str(call.attributes.get("mode", "nearest"))
    if mode not in ("nearest", "linear"):
        raise call.error(f"is of mode {mode}; accepted are nearest and linear")
    places = "asymmetric" if old else str(call.attributes.get("coordinate_transformation_mode", "half_pixel"))
    if places not in _PLACES:
        raise call.error(f"takes its coordinates by {places}")
    if call.attributes.get("antialias"):
        raise call.error("removes aliasing")
    rounding = "floor" if old else str(call.attributes.get("nearest_mode", "round_prefer_floor"))
    x = call.image(graph)
    full = (call.batch or 1, *graph.shape(x))
    scales, sizes = _changes(call, old)
    axes = [axis % len(full) for axis in call.attributes.get("axes", range(len(full)))]
    if call.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch" or len(scales or sizes or []) != len(
        axes
    ):
        raise call.error("does not say the change of size of each axis")
    matrices = [np.eye(n) for n in full]
    for place, axis in enumerate(axes):
        scale = scales[place] if scales else sizes[place] / full[axis]  # type: ignore[index]
        # In single precision, as onnxruntime: 6 times 7/6 is 7 then, and falls short of it in double precision.
        output = int(np.float32(full[axis]) * np.float32(scale)) if scales else int(sizes[place])  # type: ignore[index]
        if axis < 2 and output != full[axis]:
            raise call.error("changes the number of images or channels")
        if output != full[axis]:
            matrices[axis] = resizing(full[axis], output, scale, mode, places, rounding)
    return call.whole(graph, along_space(graph, call.name, x, matrices[2:]))


def _changes(call: Call, old: bool) -> tuple[list[float] | None, list[int] | None]:
    """Scales or sizes, by axis."""
    if "scales" in call.attributes:
        return [float(s) for s in call.attributes["scales"]], None
    if "height_scale" in call.attributes:
        return [1.0, 1.0, float(call.attributes["height_scale"]), float(call.attributes["width_scale"])], None
    scales = call.array(1 if old else 2)
    if scales is not None and scales.size:
        return [float(s) for s in scales], None
    sizes = None if old else call.array(3)
    return None, None if sizes is None else [int(n) for n in sizes]


SPATIAL: dict[str, Callable[[Graph, Call], Value]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _global_pool),
    **dict.fromkeys(("Resize", "Upsample"), _resize),
}
