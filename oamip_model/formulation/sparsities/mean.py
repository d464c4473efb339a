"""The sparsity "mean": the mean of the scores of all units."""

from __future__ import annotations

import numpy as np

from oamip_model.formulation.sparsities.base import Linear
from oamip_model.network.maps import Array
from oamip_model.network.types import Network


class Mean(Linear):
    """Every unit has the same price."""

    name = "mean"

    def prices(self, network: Network) -> Array:
        """1 for each unit."""
        return np.ones(sum(group.size for group in network.groups))
