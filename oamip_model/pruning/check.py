"""Whether a pruned module does what the network does without the removed units."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from oamip_model.network.types import Network
from oamip_model.pruning.mask import clean_copy, example_images, make_permanent
from oamip_model.pruning.select import Mask

TOLERANCE = 1e-5
"""Largest difference of a logit, relative to the largest logit, at which two networks count as equal."""


def difference(module: nn.Module, network: Network, keep: Mapping[str, Mask] | None = None, images: int = 16) -> float:
    """Largest difference between the logits of the module and of the network with only the units of ``keep``.

    On random images, relative to the largest logit, or absolute where that is below 1. The module is run in double
    precision, so that the difference is one of the function and not of rounding.

    Example:
        >>> import torch, oamip_model as om
        >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> difference(module, om.read_network(module, input_shape=(4,))) < 1e-12
        True
    """
    double = make_permanent(clean_copy(module)).double()
    x = example_images(double, network.input_shape, images)
    with torch.no_grad():
        got = double(x).double().cpu().numpy().reshape(images, -1)
    scores = None if keep is None else {name: mask.astype(np.float64) for name, mask in keep.items()}
    want = network.replay(x.cpu().numpy(), scores)
    if got.shape != want.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - want).max() / max(1.0, np.abs(want).max()))
