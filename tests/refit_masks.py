"""Random masks of a network's units, for tests of refits."""

from __future__ import annotations

import numpy as np

from oamip_model.network.types import Network


def masks(network: Network, seed: int, share: float = 0.5) -> dict[str, np.ndarray]:
    pick = np.random.default_rng(seed)
    found = {}
    for group in network.groups:
        mask = pick.uniform(size=group.size) > share
        mask[pick.integers(group.size)] = True
        found[group.name] = mask
    return found
