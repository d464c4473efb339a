"""Max pooling in torch: its forward pass, and a module that does the same."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from oamip_model.network.maps import MaxPool, Shape
from oamip_model.network.maps.windows import window_count


def maximum(pool: MaxPool, a: Tensor) -> Tensor:
    """The maximum of each window, (n, channels, *output).

    Pre-activations have the shape (n, channels, height, width).
    """
    top, left, _, _ = pool.padding
    height = (pool.output[0] - 1) * pool.stride[0] + pool.dilation[0] * (pool.kernel[0] - 1) + 1
    width = (pool.output[1] - 1) * pool.stride[1] + pool.dilation[1] * (pool.kernel[1] - 1) + 1
    # The padding follows from the windows. A ceiling adds to it, and a floor may leave out a part of the image.
    pads = (left, max(0, width - left - a.shape[3]), top, max(0, height - top - a.shape[2]))
    padded = F.pad(a, pads, value=float("-inf"))[:, :, :height, :width]
    return F.max_pool2d(padded, pool.kernel, pool.stride, 0, pool.dilation)


def max_pool_module(pool: MaxPool, shape: Shape, positive: bool = False) -> nn.Module:
    """A module that computes the max pooling of images of this shape.

    It is a MaxPool2d, after a padding where it needs one.

    positive: no number of the images is below 0, so that a padding with zeros never holds the maximum alone.

    Examples
    --------
    >>> max_pool_module(MaxPool((2, 2), (2, 2), (0, 0, 0, 0), (1, 1), (3, 3)), (8, 5, 5)).ceil_mode
    True
    """
    top, left = pool.padding[:2]
    fits = 2 * top <= pool.kernel[0] and 2 * left <= pool.kernel[1]
    for ceil in (False, True):
        counts = tuple(
            window_count(length, pool.kernel[axis], pool.stride[axis], (pad, pad), pool.dilation[axis], ceil)
            for axis, (length, pad) in enumerate(((shape[1], top), (shape[2], left)))
        )
        if fits and counts == pool.output:
            return nn.MaxPool2d(pool.kernel, pool.stride, (top, left), pool.dilation, ceil_mode=ceil)
    # Padding at the far end reaches the end of the last window. Pooling ignores positions that no window reads.
    far = [
        max(0, (pool.output[axis] - 1) * pool.stride[axis] + pool.dilation[axis] * (pool.kernel[axis] - 1) + 1 - size)
        for axis, size in enumerate((shape[1] + top, shape[2] + left))
    ]
    around = (left, far[1], top, far[0])
    padding = nn.ZeroPad2d(around) if positive else nn.ConstantPad2d(around, torch.finfo(torch.float32).min)
    return nn.Sequential(padding, nn.MaxPool2d(pool.kernel, pool.stride, 0, pool.dilation))
