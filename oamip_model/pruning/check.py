"""Whether a pruned module does what the network does without the removed units."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils import _pytree

from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.network.readers.torch.plain import in_double
from oamip_model.network.types import Network
from oamip_model.pruning.mask import clean_copy, example_images
from oamip_model.scoring.select import Mask

TOLERANCE = 1e-5
"""Largest difference of a logit, relative to the largest logit, at which two networks count as equal."""
_IMAGES = 8


@dataclass(frozen=True)
class Expected:
    """Random images, (n, ...), and the logits that a module should give for them.

    The logits have the shape (n, classes).
    """

    images: Array
    logits: Array

    def difference(self, module: nn.Module) -> float:
        """Largest difference of the module's logits, relative to the largest logit.

        It is absolute where the largest is below 1.

        The module is run in double precision, so that the difference is one of the function and not of rounding.

        Examples
        --------
        >>> import torch, oamip_model as om
        >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> expected_logits(om.read_network(module, input_shape=(4,))).difference(module) < 1e-12
        True
        """
        double = in_double(clean_copy(module))
        like = next(iter(double.parameters()), torch.zeros(()))
        with torch.no_grad():
            found = _pytree.tree_leaves(double(torch.tensor(self.images, device=like.device)))
        if len(found) != 1 or not isinstance(found[0], torch.Tensor):
            raise InputError(f"module: {type(module).__name__} gives {len(found)} outputs, accepted is one tensor")
        got = found[0].double().cpu().numpy()
        got = got.reshape(len(got), -1)
        if got.shape != self.logits.shape or not np.isfinite(got).all():
            return float("inf")
        return float(np.abs(got - self.logits).max() / max(1.0, np.abs(self.logits).max()))


def expected_logits(network: Network, keep: Mapping[str, Mask] | None = None) -> Expected:
    """Random images and the network's logits for them.

    With ``keep``, {group: (units,)}, only those units are there.
    """
    images = example_images(network.input_shape, _IMAGES).double().numpy()
    scores = None if keep is None else {name: mask.astype(np.float64) for name, mask in keep.items()}
    return Expected(images, network.replay(images, scores))
