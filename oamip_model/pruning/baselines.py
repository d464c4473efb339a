"""Scores that need no solver, to compare with: random ranks, and the norms of the weights in and out of each unit."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

import numpy as np

from oamip_model.errors import InputError
from oamip_model.network.norms import unit_norms
from oamip_model.network.ops import Array
from oamip_model.network.types import Network

Baseline: TypeAlias = Literal["random", "weight-norm"]


def baseline_scores(network: Network, method: Baseline, seed: int = 0) -> dict[str, Array]:
    """Scores of every unit by a simple rule, {group: (units,) in [0, 1]}, first layer first.

    ``random``: ranks of a permutation drawn with ``seed``, so that no two units of a layer tie. ``weight-norm``: the
    product of the norms of the incoming and the outgoing weights (:func:`unit_norms`), divided by the layer's largest.

    Raises InputError for another method, or a seed that is not a whole number from 0.

    Example:
        >>> import torch, oamip_model as om
        >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> network = om.read_network(module, input_shape=(4,))
        >>> sorted(baseline_scores(network, "random", seed=1)["0"].round(2).tolist())
        [0.33, 0.67, 1.0]
    """
    if method == "random":
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(f"seed: got {seed!r}, a whole number from 0 is needed")
        return {
            group.name: (np.random.default_rng([seed, index]).permutation(group.size) + 1.0) / group.size
            for index, group in enumerate(network.groups)
        }
    if method == "weight-norm":
        norms = unit_norms(network)
        return {name: norm / norm.max() if norm.max() > 0 else norm for name, norm in norms.items()}
    raise InputError(f"baseline: unknown method {method!r}, known are {', '.join(get_args(Baseline))}")
