"""Linear operators along any axes, by the maps that there are.

Dense maps along an axis, convolutions of one to three axes and transposed ones, sums, means, and changes of size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from oamip_model.errors import InputError
from oamip_model.network.emit.moves import numbers_of, permuted, rearrange
from oamip_model.network.emit.pointwise import scaled
from oamip_model.network.graph import MOST, Graph, Value, refuse
from oamip_model.network.maps import Array, AveragePool, Conv2d, Dense, MaxPool
from oamip_model.network.maps.units import NOTHING, batched
from oamip_model.network.maps.windows import unchanged

_WIDEST = 2**12
"""Places of an axis for which there may be a matrix that leaves it as it is."""
Pads = Sequence[tuple[int, int]]


def dense(graph: Graph, name: str, x: Value, weight: Array, axis: int = -1, owner: str = "") -> Value:
    """A matrix (outputs, inputs) applied along one axis of each image's tensor."""
    shape = graph.shape(x)
    axis %= max(len(shape), 1)
    outputs, inputs = weight.shape
    if not shape or shape[axis] != inputs:
        raise refuse(name, "Linear", f"reads (n, {inputs}) here, and got {batched(shape)}")
    rest = math.prod(shape) // inputs
    left = (*shape[:axis], outputs, *shape[axis + 1 :])
    if rest == 1:
        value = graph.affine(name, graph.reshape(name, x, (inputs,)), Dense(weight), owner=owner)
        return graph.reshape(name, value, left)
    # The weights are the same at each place of the other axes, so this is a convolution with the axis as channels.
    order = [axis, *(n for n in range(len(shape)) if n != axis)]
    turned = graph.reshape(name, permuted(graph, f"{name}.moved", x, order), (inputs, rest, 1))
    value = graph.affine(name, turned, Conv2d(weight.reshape(outputs, inputs, 1, 1)), owner=owner)
    value = graph.reshape(name, value, tuple(left[n] for n in order))
    return permuted(graph, f"{name}.moved", value, np.argsort(order).tolist())


class Windows(NamedTuple):
    """Strides, padding (before, after) and dilations of a convolution, by axis."""

    strides: Sequence[int]
    pads: Pads
    dilations: Sequence[int]
    groups: int = 1


def convolution(
    graph: Graph, name: str, x: Value, weight: Array, bias: Array | None, windows: Windows, owner: str = ""
) -> Value:
    """A convolution over one, two or three axes after the channels."""
    shape, kernel = graph.shape(x), weight.shape[2:]
    strides, pads, dilations, groups = windows
    if len(shape) != len(kernel) + 1 or len(kernel) not in (1, 2, 3):
        raise refuse(name, "convolution", f"with a kernel of shape {kernel} reads {batched(shape)}")
    if len(kernel) == 1:
        # After the channels comes the width, at a height of one.
        wide = graph.reshape(name, x, (shape[0], 1, shape[1]))
        flat = Windows([1, *strides], [(0, 0), *pads], [1, *dilations], groups)
        value = convolution(graph, name, wide, weight[:, :, None], bias, flat, owner)
        return graph.reshape(name, value, (graph.shape(value)[0], graph.shape(value)[2]))
    if len(kernel) == 2:
        padding = (pads[0][0], pads[1][0], pads[0][1], pads[1][1])
        map = Conv2d(weight, (strides[0], strides[1]), padding, (dilations[0], dilations[1]), groups)
        return graph.affine(name, x, map, bias, owner)
    # Windows of three axes side by side as channels, and their places as an image.
    numbers = np.pad(numbers_of(graph, x), ((0, 0), *pads), constant_values=NOTHING)
    span = [d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True)]
    if any(n < s for n, s in zip(numbers.shape[1:], span, strict=True)):
        raise InputError(f"layer {name}: a window of {tuple(span)} does not fit into {batched(shape)}")
    view = sliding_window_view(numbers, span, axis=(1, 2, 3))
    (a, b, c), (p, q, r) = strides, dilations
    view = view[:, ::a, ::b, ::c, ::p, ::q, ::r]
    if view.size > MOST:
        raise refuse(name, "convolution", f"has windows of {view.size} numbers together")
    places = view.shape[1:4]
    columns = view.transpose(0, 4, 5, 6, 1, 2, 3).reshape(shape[0] * math.prod(kernel), math.prod(places), 1)
    map = Conv2d(weight.reshape(*weight.shape[:1], -1, 1, 1), groups=groups)
    value = graph.affine(name, rearrange(graph, f"{name}.windows", x, columns), map, bias, owner)
    return graph.reshape(name, value, (weight.shape[0], *places))


def transposed_convolution(
    graph: Graph, name: str, x: Value, weight: Array, bias: Array | None, windows: Windows, owner: str = "",
    more: Sequence[int] = (),
) -> Value:  # fmt: skip
    """A transposed convolution, as a convolution of what is spaced out.

    There are zeros between the numbers of its input.

    ``weight`` is (in, out / groups, *kernel); ``more`` is the output padding, by axis.
    """
    shape, kernel = graph.shape(x), weight.shape[2:]
    strides, pads, dilations, groups = windows
    if len(shape) != len(kernel) + 1 or shape[0] != weight.shape[0]:
        raise refuse(name, "transposed convolution", f"of {weight.shape[0]} channels reads {batched(shape)}")
    length = [(n - 1) * s + 1 for n, s in zip(shape[1:], strides, strict=True)]
    if math.prod(length) * shape[0] > MOST:
        raise refuse(name, "transposed convolution", f"puts its input into {math.prod(length)} places")
    apart = np.full((shape[0], *length), NOTHING, np.int64)
    apart[(slice(None), *(slice(None, None, s) for s in strides))] = numbers_of(graph, x)
    inner, outer = shape[0] // groups, weight.shape[1]
    turned = weight.reshape(groups, inner, outer, *kernel).swapaxes(1, 2).reshape(groups * outer, inner, *kernel)
    turned = np.flip(turned, axis=tuple(range(2, turned.ndim)))
    around, cut = [], []
    for (before, after), k, d, extra in zip(pads, kernel, dilations, more or [0] * len(kernel), strict=True):
        ends = (d * (k - 1) - before, d * (k - 1) - after + extra)
        around.append((max(ends[0], 0), max(ends[1], 0)))
        cut.append((max(-ends[0], 0), max(-ends[1], 0)))
    spaced = rearrange(graph, f"{name}.spaced", x, apart)
    ones = [1] * len(kernel)
    plain = Windows(ones, around, dilations, groups)
    value = convolution(graph, name, spaced, np.ascontiguousarray(turned), bias, plain, owner)
    if any(any(ends) for ends in cut):
        inside = tuple(slice(a, n - b) for (a, b), n in zip(cut, graph.shape(value)[1:], strict=True))
        value = rearrange(graph, f"{name}.cut", value, numbers_of(graph, value)[(slice(None), *inside)])
    return value


def along_space(graph: Graph, name: str, x: Value, matrices: Sequence[Array]) -> Value:
    """A matrix (outputs, inputs) along each axis after the channels.

    It is the same for all channels: averages, or a change of size.
    """
    shape = graph.shape(x)
    if len(shape) != len(matrices) + 1 or any(m.shape[1] != n for m, n in zip(matrices, shape[1:], strict=True)):
        raise refuse(name, "pooling", f"reads {len(matrices)} axes of space, and got {batched(shape)}")
    sizes = [m.shape[0] for m in matrices]
    if len(matrices) == 1:
        value = graph.reshape(name, x, (shape[0], 1, shape[1]))
        value = graph.affine(name, value, AveragePool(np.ones((1, 1)), matrices[0]))
    elif len(matrices) == 2:
        value = graph.affine(name, x, AveragePool(matrices[0], matrices[1]))
    else:
        value = x
        for axis, matrix in enumerate(matrices, 1):
            now = graph.shape(value)
            behind = math.prod(now[axis + 1 :])
            planes = graph.reshape(name, value, (math.prod(now[:axis]), now[axis], behind))
            value = graph.affine(name, planes, AveragePool(matrix, unchanged(behind)))
            value = graph.reshape(name, value, (*now[:axis], len(matrix), *now[axis + 1 :]))
    return graph.reshape(name, value, (shape[0], *sizes))


def reduced(graph: Graph, name: str, x: Value, axes: set[int], keep: bool, mean: bool) -> Value:
    """The sum, or the mean, over axes of each image's tensor, counted from 0.

    ``keep`` leaves a 1 in place of each.
    """
    shape = graph.shape(x)
    if not axes:
        return x
    if len(shape) in (2, 3) and 0 not in axes and all(n <= _WIDEST for axis, n in enumerate(shape) if axis not in axes):
        weights = [np.full((1, n), 1.0 / n if mean else 1.0) if axis in axes else unchanged(n)
                   for axis, n in enumerate(shape) if axis]  # fmt: skip
        value = along_space(graph, name, x, weights)
    else:
        order = [n for n in range(len(shape)) if n not in axes] + sorted(axes)
        count = math.prod(shape[axis] for axis in axes)
        turned = graph.reshape(name, permuted(graph, f"{name}.moved", x, order), (math.prod(shape) // count, 1, count))
        value = along_space(graph, name, turned, [np.ones((1, 1)), np.full((1, count), 1.0 / count if mean else 1.0)])
    left = tuple(1 if axis in axes else n for axis, n in enumerate(shape) if keep or axis not in axes)
    return graph.reshape(name, value, left)


def largest_along(graph: Graph, name: str, x: Value, axes: set[int], keep: bool, largest: bool = True) -> Value:
    """The largest (or smallest) number over axes of each image's tensor.

    The axes count from 0. ``keep`` leaves a 1 in place of each.
    """
    shape = graph.shape(x)
    if not axes:
        return x
    if not largest:
        turned = scaled(graph, name, x, np.asarray(-1.0))
        return scaled(graph, name, largest_along(graph, name, turned, axes, keep), np.asarray(-1.0))
    if len(shape) in (2, 3) and 0 not in axes:
        kernel = [n if axis in axes else 1 for axis, n in enumerate(shape)][1:]
    else:
        order = [n for n in range(len(shape)) if n not in axes] + sorted(axes)
        count = math.prod(shape[axis] for axis in axes)
        x = graph.reshape(name, permuted(graph, f"{name}.moved", x, order), (math.prod(shape) // count, count))
        kernel = [count]
    ones, output = [1] * len(kernel), [n // k for n, k in zip(graph.shape(x)[1:], kernel, strict=True)]
    value = max_pooled(graph, name, x, kernel, ones, [(0, 0)] * len(kernel), ones, output)
    left = tuple(1 if axis in axes else n for axis, n in enumerate(shape) if keep or axis not in axes)
    return graph.reshape(name, value, left)


def max_pooled(
    graph: Graph, name: str, x: Value, kernel: Sequence[int], strides: Sequence[int], pads: Pads,
    dilations: Sequence[int], output: Sequence[int],
) -> Value:  # fmt: skip
    """Max pooling over one, two or three axes after the channels."""
    shape = graph.shape(x)
    if len(shape) != len(kernel) + 1 or len(kernel) not in (1, 2, 3):
        raise refuse(name, "max pooling", f"over {len(kernel)} axes reads {batched(shape)}")
    if len(kernel) == 1:
        value = graph.reshape(name, x, (shape[0], 1, shape[1]))
        pool = MaxPool((1, kernel[0]), (1, strides[0]), (0, pads[0][0], 0, pads[0][1]), (1, dilations[0]),
                       (1, output[0]))  # fmt: skip
        value = graph.max_pool(name, value, pool)
    elif len(kernel) == 2:
        padding = (pads[0][0], pads[1][0], pads[0][1], pads[1][1])
        a, b, c, d = ((v[0], v[1]) for v in (kernel, strides, dilations, output))
        value = graph.max_pool(name, x, MaxPool(a, b, padding, c, d))
    else:
        # The maximum over a box: over its depth first, and then over height and width.
        value = graph.reshape(name, x, (shape[0], shape[1], shape[2] * shape[3]))
        pool = MaxPool((kernel[0], 1), (strides[0], 1), (pads[0][0], 0, pads[0][1], 0), (dilations[0], 1),
                       (output[0], shape[2] * shape[3]))  # fmt: skip
        value = graph.reshape(name, graph.max_pool(name, value, pool), (shape[0] * output[0], *shape[2:]))
        value = max_pooled(graph, name, value, kernel[1:], strides[1:], pads[1:], dilations[1:], output[1:])
    return graph.reshape(name, value, (shape[0], *output))
