"""Linear maps between layers as arrays, and max pooling.

They are applied without building their matrices.
"""

from oamip_model.network.maps.average_pool import AveragePool
from oamip_model.network.maps.base import Array, Cut, LinearMap, Padding, Shape, TrainedMap
from oamip_model.network.maps.channel_scale import ChannelScale
from oamip_model.network.maps.channelwise import ChannelwiseMap
from oamip_model.network.maps.conv2d import Conv2d
from oamip_model.network.maps.dense import Dense
from oamip_model.network.maps.identity import Identity
from oamip_model.network.maps.max_pool import MaxPool
from oamip_model.network.maps.part import Part
from oamip_model.network.maps.rearrange import Rearrange
from oamip_model.network.maps.units import Cells, Flags, Ids, Shifted
from oamip_model.network.maps.zero_pad import ZeroPad

__all__ = [
    "Array",
    "AveragePool",
    "Cells",
    "ChannelScale",
    "ChannelwiseMap",
    "Conv2d",
    "Cut",
    "Dense",
    "Flags",
    "Identity",
    "Ids",
    "LinearMap",
    "MaxPool",
    "Padding",
    "Part",
    "Rearrange",
    "Shape",
    "Shifted",
    "TrainedMap",
    "ZeroPad",
]
