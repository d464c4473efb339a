"""Losses summed over images, with their slopes.

The oracles of the convex programs minimise them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from torch import Tensor

from oamip_model.formulation.losses import loss_named

SummedLoss: TypeAlias = Callable[[Tensor, Tensor], tuple[float, Tensor]]
"""From logits (n, classes) and labels (n,) to the sum of the losses and a subgradient by the logits (n, classes)."""


def summed_loss(name: str, margin: float = 0.0) -> SummedLoss:
    """The loss of that name, with this margin in logits where it has one.

    Examples
    --------
    >>> import torch
    >>> total, slope = summed_loss("cross-entropy")(torch.zeros(1, 2), torch.tensor([0]))
    >>> round(total, 4), slope.tolist()
    (0.6931, [[-0.5, 0.5]])
    """
    return partial(loss_named(name).torch_sum, margin=margin)
