"""Networks by name."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import nn

from oamip_model.errors import InputError
from oamip_model.training.resnet import ResNet20
from oamip_model.training.vgg import vgg16_bn

_HIDDEN = {"fc3": (300, 100), "fc4": (200, 100, 100)}
_SCALED = {"vgg16-bn": vgg16_bn, "resnet20": ResNet20}
NETWORKS = (*_HIDDEN, "lenet5", "dense-H1-H2-...", *_SCALED, *(f"{name}-WIDTH" for name in _SCALED))
"""Names that :func:`make_network` knows, with hidden sizes for H1, H2, ... and a factor on all sizes for WIDTH."""
_WIDEST = 16


def make_network(name: str, input_shape: Sequence[int] = (1, 28, 28), classes: int = 10, seed: int = 0) -> nn.Module:
    """An untrained network, in eval mode, by name.

    Layers with weights are called conv1, conv2, ..., fc1, fc2, ...; those in a residual block
    stage1.0.conv1, and so on.

    Parameters
    ----------
    name : str
        One of these names:

        - "fc3" has hidden layers of 300 and 100 units, "fc4" of 200, 100 and 100.
        - "dense-H1-H2-..." has hidden layers of these sizes.
        - "lenet5" has convolutions with 6 and 16 filters of 5x5 without padding, then layers of 120 and
          84 units [1]_. ReLU and 2x2 average pooling follow each convolution. A 28x28 image has
          4,684 ReLUs.
        - "vgg16-bn" and "resnet20" (see :func:`~.vgg.vgg16_bn`, :class:`~.resnet.ResNet20`) may have a
          factor on all their sizes, as "vgg16-bn-0.25".
    input_shape : sequence of int, default (1, 28, 28)
        Shape of one image.
    classes : int, default 10
        Number of logits.
    seed : int, default 0
        Seed of the initial weights, which are torch's own. For the convolutions of "vgg16-bn" and
        "resnet20" they are normal [2]_. The global random state is left as it is.

    Returns
    -------
    torch.nn.Module
        A module that takes images ``(n, *input_shape)`` and gives logits (n, classes).

    Raises
    ------
    InputError
        For an unknown name, an input shape that the network cannot take, or sizes below 1.

    References
    ----------
    .. [1] Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning, 1998.
    .. [2] K. He and others: Delving deep into rectifiers, 2015.

    Examples
    --------
    >>> import oamip_model as om
    >>> network = om.make_network("fc3")
    >>> [name for name, _ in network.named_children()]
    ['flatten', 'fc1', 'relu1', 'fc2', 'relu2', 'fc3']
    >>> network.fc1
    Linear(in_features=784, out_features=300, bias=True)
    """
    shape = tuple(input_shape) if isinstance(input_shape, Sequence) else ()
    if not shape or not all(isinstance(size, int) and size >= 1 for size in shape):
        raise InputError(f"input_shape: got {input_shape!r}, accepted are sizes of at least 1, such as (1, 28, 28)")
    if not isinstance(classes, int) or classes < 1:
        raise InputError(f"classes: got {classes!r}, accepted is an integer of at least 1")
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InputError(f"seed: got {seed!r}, accepted is an integer from 0 to 2**63 - 1")
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would reseed the accelerators too, whose state fork_rng does not restore here.
        torch.default_generator.manual_seed(seed)
        return _made(name, shape, classes).eval()


def _made(name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    if name == "lenet5":
        return nn.Sequential(OrderedDict(_lenet5(shape, classes)))
    found = re.fullmatch(rf"({'|'.join(_SCALED)})(?:-([0-9]+(?:\.[0-9]+)?))?", name)
    if found is None:
        return nn.Sequential(OrderedDict(_dense(math.prod(shape), _hidden(name), classes)))
    width = float(found[2] or 1)
    if not 0 < width <= _WIDEST:
        raise InputError(f"network: got {name!r}, accepted is a width above 0 and up to {_WIDEST}")
    if len(shape) != 3:
        raise InputError(f"input_shape: {name} takes (channels, height, width), got {shape}")
    return _SCALED[found[1]]((shape[0], shape[1], shape[2]), classes, width)


def _hidden(name: str) -> tuple[int, ...]:
    if name in _HIDDEN:
        return _HIDDEN[name]
    if not re.fullmatch(r"dense(-[1-9][0-9]{0,5})+", name):
        raise InputError(f"network: got {name!r}, accepted are {', '.join(NETWORKS)} (as in dense-300-100)")
    return tuple(int(size) for size in name.split("-")[1:])


def _dense(features: int, hidden: tuple[int, ...], classes: int, first: int = 1) -> list[tuple[str, nn.Module]]:
    """Flatten, then a Linear and ReLU for each hidden size, then the output; ReLUs are numbered from ``first``."""
    layers: list[tuple[str, nn.Module]] = [("flatten", nn.Flatten())]
    for i, size in enumerate(hidden):
        layers += [(f"fc{i + 1}", nn.Linear(features, size)), (f"relu{i + first}", nn.ReLU())]
        features = size
    return [*layers, (f"fc{len(hidden) + 1}", nn.Linear(features, classes))]


def _lenet5(shape: tuple[int, ...], classes: int) -> list[tuple[str, nn.Module]]:
    if len(shape) != 3 or min(shape[1:]) < 16:
        raise InputError(f"input_shape: lenet5 takes (channels, height, width) of at least 16x16, got {shape}")
    layers: list[tuple[str, nn.Module]] = []
    channels, height, width = shape
    for i, filters in enumerate((6, 16), start=1):
        layers += [
            (f"conv{i}", nn.Conv2d(channels, filters, 5)),
            (f"relu{i}", nn.ReLU()),
            (f"pool{i}", nn.AvgPool2d(2)),
        ]
        channels, height, width = filters, (height - 4) // 2, (width - 4) // 2
    return [*layers, *_dense(channels * height * width, (120, 84), classes, first=3)]
