"""The sparsity "parameters": scores weighted by the parameters they save."""

from __future__ import annotations

import numpy as np

from oamip_model.formulation.sparsities.base import Linear
from oamip_model.network.maps import Array
from oamip_model.network.types import Network


class Parameters(Linear):
    """A unit costs its incoming weights and bias, and its outgoing weights."""

    name = "parameters"

    def prices(self, network: Network) -> Array:
        """Parameters that the removal of each unit saves."""
        return np.concatenate([group.parameters for group in network.groups]).astype(np.float64)
