"""VGG-16 with batch norm, for images of any size."""

from __future__ import annotations

import math
from collections import OrderedDict

from torch import nn

_FILTERS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_HIDDEN = (512, 512)


def vgg16_bn(shape: tuple[int, int, int], classes: int, width: float) -> nn.Module:
    """VGG-16 with batch norm: 13 convolutions of 3x3 and 3 dense layers.

    There is 2x2 max pooling after each of 5 blocks.

    shape: (channels, height, width) of an image; width: factor on the filters and hidden units, of which at least one
    is left. A pooling is left out where an image is down to one row or column, so 28x28 images are pooled four times.
    The hidden dense layers have 512 units, as is usual for small images, in place of 4096, and no dropout.

    Source: Simonyan, Zisserman, Very deep convolutional networks for large-scale image recognition, 2015, column D.
    """
    channels, *sides = shape
    layers: list[tuple[str, nn.Module]] = []
    number = 0
    for block, sizes in enumerate(_FILTERS, start=1):
        for size in sizes:
            number += 1
            filters = scaled(size, width)
            # Batch norm subtracts the mean, so a bias would have no effect.
            layers += [
                (f"conv{number}", he_initialised(nn.Conv2d(channels, filters, 3, padding=1, bias=False))),
                (f"bn{number}", nn.BatchNorm2d(filters)),
                (f"relu{number}", nn.ReLU()),
            ]
            channels = filters
        if min(sides) >= 2:
            layers.append((f"pool{block}", nn.MaxPool2d(2)))
            sides = [side // 2 for side in sides]
    layers.append(("flatten", nn.Flatten()))
    features = channels * math.prod(sides)
    for index, size in enumerate(_HIDDEN, start=1):
        units = scaled(size, width)
        layers += [(f"fc{index}", nn.Linear(features, units)), (f"relu{number + index}", nn.ReLU())]
        features = units
    return nn.Sequential(OrderedDict([*layers, (f"fc{len(_HIDDEN) + 1}", nn.Linear(features, classes))]))


def scaled(size: int, width: float) -> int:
    """The size times the width factor, rounded, at least 1."""
    return max(1, round(size * width))


def he_initialised(conv: nn.Conv2d) -> nn.Conv2d:
    """The convolution with weights drawn anew.

    They are normal, of variance 2 / (filters * kernel size).

    Source: He, Zhang, Ren, Sun, Delving deep into rectifiers, 2015, equation 14.
    """
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return conv
