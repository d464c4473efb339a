"""Simple rules that use the incoming weights of each unit."""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from oamip_model.network.maps import Array
from oamip_model.network.types import Network


def incoming_weights(network: Network) -> dict[str, Array]:
    """The incoming weights of every unit, {group: (units, weights)}.

    Biases are left out, and batch norm is folded in.

    A unit that several modules produce, as after a residual addition, has the weights of all of
    them in its row.
    """
    found = {}
    for group in network.groups:
        rows = []
        for layer in network.layers:
            for term in layer.terms:
                weights = term.map.weights
                if term.name in group.producers and weights is not None and len(weights) == group.size:
                    rows.append(weights.reshape(group.size, -1))
        found[group.name] = np.concatenate(rows, axis=1)
    return found


def norms(network: Network, order: int) -> dict[str, Array]:
    """Norm of the incoming weights of every unit, {group: (units,)}.

    ``order`` is 1 or 2.

    Source: Li, Kadav, Durdanovic, Samet, Graf, Pruning filters for efficient ConvNets, 2017, section 3.1 (order 1).
    """
    return {name: np.linalg.norm(rows, ord=order, axis=1) for name, rows in incoming_weights(network).items()}


def median_distances(network: Network) -> dict[str, Array]:
    """Sum of the distances of a unit's incoming weights to all others'.

    Returns {group: (units,)}.

    It is smallest near the geometric median of the layer's units, where others can stand for the unit. Torch-Pruning's
    rule of that name takes the distances of squared weights, which is not the published definition.

    Source: He, Liu, Wang, Hu, Yang, Filter pruning via geometric median, 2019, equation 6.
    """
    return {name: cdist(rows, rows).sum(axis=1) for name, rows in incoming_weights(network).items()}
