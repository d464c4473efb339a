"""Batch norm or an added constant behind an activation.

They become part of the weights that read it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from oamip_model.network.ops import Array, ChannelScale, Conv2d, Dense, Identity, LinearMap, Shape


@dataclass(frozen=True)
class Shifted:
    """A scale and a shift of each channel of a tensor.

    ``channels`` is the first axis of its ``shape``.
    """

    scale: Array
    shift: Array
    shape: Shape


def shifted(map: LinearMap, bias: Array, shape: Shape) -> Shifted | None:
    """What a map and its bias do to each channel, as a scale and a shift.

    It is None where they do more than that.
    """
    if isinstance(map, Identity):
        return Shifted(np.ones(len(bias)), bias, shape)
    return Shifted(map.scale, bias, shape) if isinstance(map, ChannelScale) else None


def absorbed(map: LinearMap, before: Shifted, read: Shape) -> tuple[LinearMap, Array] | None:
    """The map and bias that do to a tensor what a map does to it shifted.

    The tensor is scaled and shifted; ``read``: its shape there.

    None where that has no bias for each channel: at the zeros around a padded convolution nothing is shifted.

    >>> before = Shifted(np.array([2.0, 1.0]), np.array([0.0, 3.0]), (2,))
    >>> map, bias = absorbed(Dense(np.array([[1.0, 10.0]])), before, (2,))
    >>> map.weight.tolist(), bias.tolist()
    ([[2.0, 10.0]], [30.0])
    """
    if isinstance(map, Dense):
        # A flattened channel has the scale and the shift of the channel at each of its places.
        places = int(np.prod(before.shape[1:]))
        scale, shift = (np.repeat(values, places) for values in (before.scale, before.shift))
        return replace(map, weight=map.weight * scale), map.weight @ shift
    if isinstance(map, Conv2d) and read == before.shape and not (any(map.padding) and before.shift.any()):
        outputs, inputs = len(map.weight) // map.groups, map.weight.shape[1]
        kernels = map.weight.reshape(map.groups, outputs, inputs, *map.weight.shape[2:])
        scale = before.scale.reshape(map.groups, 1, inputs, 1, 1)
        bias = np.einsum("goihw,gi->go", kernels, before.shift.reshape(map.groups, inputs)).reshape(-1)
        return replace(map, weight=(kernels * scale).reshape(map.weight.shape)), bias
    return None
