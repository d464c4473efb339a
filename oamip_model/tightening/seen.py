"""Pre-activations of some scores, against which bounds are tested."""

from __future__ import annotations

import numpy as np

from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Network

_DRAWN = 8
_ROUNDING = 1e-9


def seen(network: Network, image: Array) -> list[tuple[Array, Array]]:
    """The least and most pre-activation of each unit over a few choices of scores.

    It has one pair of arrays (units,) for each layer.

    The scores are all 1, all 0, and some at random, whole, so that both sound gates pass the same. The ends are moved
    inward by more than rounding, so that a right bound never lies between them.
    """
    draw = np.random.default_rng(0)
    sizes = [group.size for group in network.groups]
    choices = [[np.full(size, side) for size in sizes] for side in (1.0, 0.0)]
    choices += [[draw.integers(0, 2, size).astype(np.float64) for size in sizes] for _ in range(_DRAWN)]
    passes = [_pre_activations(network, image, scores) for scores in choices]
    found = []
    for each in zip(*passes, strict=True):
        values = np.stack(each)
        slack = _ROUNDING * (1.0 + np.abs(values).max(axis=0))
        found.append((values.min(axis=0) + slack, values.max(axis=0) - slack))
    return found


def _pre_activations(network: Network, image: Array, scores: list[Array]) -> list[Array]:
    outputs: list[Array] = []
    values: list[Array] = []
    for layer in network.layers:
        a = layer.pre_activation([image if term.source == IMAGE else outputs[term.source] for term in layer.terms])
        values.append(np.asarray(a[0].reshape(-1)))
        out = layer.activate(a)
        if layer.group is not None and layer.units is not None:
            out = out * scores[layer.group][layer.units].reshape(layer.shape)
        outputs.append(out)
    return values
