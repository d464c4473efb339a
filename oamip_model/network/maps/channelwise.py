"""Maps from each channel to the channel at its place."""

from __future__ import annotations

import numpy as np

from oamip_model.network.maps.base import Cut, Ids, LinearMap, Shape
from oamip_model.network.maps.units import Cells, Flags, by_channel


class ChannelwiseMap(LinearMap):
    """A linear map without trained rows.

    Each channel of the output is made from the channel at its place alone.
    """

    def cells(self, shape: Shape) -> Cells | None:
        """One cell for each channel."""
        return Cells.by_channel(shape[0], int(np.prod(shape)), int(np.prod(self.output_shape(shape))))

    def cut(self, shape: Shape, reads: Flags, makes: Flags) -> Cut | None:
        """The map of the channels that are left, the same of input and output."""
        read, made = by_channel(reads, shape[0]), by_channel(makes, shape[0])
        if read is None or made is None or (read != made).any():
            return None
        channels = np.flatnonzero(read)
        return Cut(self.of_channels(channels), (len(channels), *shape[1:]))

    def of_channels(self, channels: Ids) -> LinearMap:
        """The map of these channels alone."""
        return self
