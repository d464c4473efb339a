"""What a head sees of one layer.

It is the layer's activations sorted by unit, averaged over a grid where they are many.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from oamip_model.network.maps import Array
from oamip_model.torchnet.layers import TorchLayers, spread_by_unit

FEATURES = 4096
"""Features of one image above which a convolution's activations are averaged: 64 channels of 8x8."""
HELD = 2**27
"""Numbers (in single precision: 512 MiB) that the features of all images may take, unless one a unit is more."""


class Representation:
    """Features of the last layer of a score group, (n, units, positions).

    Images have the shape (n, *input_shape). ``keep`` has the masks of the groups that were cut
    before, by index.

    Where ``pooled``, a convolution's channels are averaged over a grid (adaptive average pooling).
    The sides of the grid are halved, rounding up, until one image has at most ``features`` features
    and all images at most ``held`` numbers. It ends with one feature a unit. A score multiplies a
    whole channel, so it passes through the average, and the features remain linear in the scores.

    ``grid`` has the rows and columns of the averages, None where nothing is averaged. The product
    of ``units`` and ``positions`` is the number of features of one image. ``order``, (units,
    positions), is the place of each in the flat layer. Raises InputError where units have different
    numbers of activations.
    """

    def __init__(
        self,
        layers: TorchLayers,
        images: Array,
        group: int,
        keep: Mapping[int, Tensor],
        *,
        pooled: bool = True,
        features: int = FEATURES,
        held: int = HELD,
    ) -> None:
        self.layers, self.images, self.keep = layers, images, keep
        self.k = layers.network.groups[group].layers[-1]
        layer = layers.network.layers[self.k]
        units, shape = layer.units, layer.shape
        assert units is not None
        self.grid: tuple[int, int] | None = None
        if pooled and _by_channel(shape, units):
            self.grid = _grid(shape, min(features, held // len(images)))
        if self.grid is not None:
            units = np.repeat(units.reshape(shape[0], -1)[:, 0], self.grid[0] * self.grid[1])
        order = spread_by_unit(units, layers.network.groups[group].size)
        self.units, self.positions = order.shape
        self.order = torch.as_tensor(order, device=layers.device)

    def batches(self) -> Iterator[tuple[slice, Tensor]]:
        """The features in parts, each computed when it is needed.

        A part is (slice of the images, (part, units, positions)).
        """
        for part, x in self.layers.batches(self.images, self.layers.batch_size(self.k)):
            with torch.no_grad():
                r = self.layers.output(x, self.keep, self.k)
                if self.grid is not None:
                    r = F.adaptive_avg_pool2d(r, self.grid)
            yield part, r.reshape(len(x), -1)[:, self.order]

    def tensor(self) -> Tensor:
        """The features of all images, (n, units, positions)."""
        shape = (len(self.images), self.units, self.positions)
        features = torch.empty(shape, dtype=self.layers.dtype, device=self.layers.device)
        for part, r in self.batches():
            features[part] = r
        return features


def _by_channel(shape: tuple[int, ...], units: NDArray[np.int64]) -> bool:
    """Whether the layer has two-dimensional channels, each of one unit."""
    return len(shape) == 3 and bool((units.reshape(shape[0], -1) == units.reshape(shape[0], -1)[:, :1]).all())


def _grid(shape: tuple[int, ...], most: int) -> tuple[int, int] | None:
    """Rows and columns that each channel of shape (channels, height, width) is averaged to, None where all fit."""
    channels, height, width = shape
    if channels * height * width <= most:
        return None
    while max(height, width) > 1 and channels * height * width > most:
        height, width = (height + 1) // 2, (width + 1) // 2
    return height, width
