"""Pre-activations of some scores, against which bounds are tested."""

from __future__ import annotations

import numpy as np

from oamip_model.network.maps import Array
from oamip_model.network.types import Network

_DRAWN = 8
_ROUNDING = 1e-9


def seen(network: Network, image: Array) -> list[tuple[Array, Array]]:
    """The least and most pre-activation of each unit over a few choices of scores.

    It has one pair of arrays (units,) for each layer.

    The scores are all 1, all 0, and some at random, whole, so that both sound gates pass the same. The ends are moved
    inward by more than rounding, so that a right bound never lies between them.
    """
    draw = np.random.default_rng(0)
    sizes = {group.name: group.size for group in network.groups}
    choices = [{name: np.full(size, side) for name, size in sizes.items()} for side in (1.0, 0.0)]
    choices += [
        {name: draw.integers(0, 2, size).astype(np.float64) for name, size in sizes.items()} for _ in range(_DRAWN)
    ]
    passes = [[a[0].reshape(-1) for a, _ in network.layer_values(image, scores)] for scores in choices]
    found = []
    for each in zip(*passes, strict=True):
        values = np.stack(each)
        slack = _ROUNDING * (1.0 + np.abs(values).max(axis=0))
        found.append((values.min(axis=0) + slack, values.max(axis=0) - slack))
    return found
