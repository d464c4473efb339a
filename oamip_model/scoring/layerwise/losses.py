"""Losses summed over images, with their slopes.

The oracles of the convex programs minimise them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from oamip_model.formulation.losses import loss_named
from oamip_model.network.maps import Array

ALL = slice(None)


@dataclass(frozen=True, eq=False)
class SummedLoss:
    """A loss by its name, summed over images, each times its weight.

    The margin is in logits. Logits have the shape (n, classes) and labels (n,). They may be of a part of the images
    that have the weights.
    """

    name: str
    margin: float = 0.0
    weights: Array | None = None

    def __call__(self, logits: Tensor, labels: Tensor, part: slice = ALL) -> tuple[float, Tensor]:
        """The sum of the losses, and a subgradient by the logits (n, classes)."""
        loss = loss_named(self.name)
        total, slope = loss.torch_sum(logits, labels, self.margin)
        if self.weights is None:
            return total, slope
        weights = self._of(part, logits)
        return float(loss.torch_values(logits, labels, self.margin) @ weights), slope * weights[:, None]

    def wrong(self, logits: Tensor, labels: Tensor, part: slice = ALL) -> float:
        """How many images are classified wrongly, as far as the loss knows classes."""
        wrong = loss_named(self.name).torch_wrong(logits, labels)
        return float(wrong.sum() if self.weights is None else wrong.to(logits.dtype) @ self._of(part, logits))

    def _of(self, part: slice, like: Tensor) -> Tensor:
        assert self.weights is not None
        return torch.as_tensor(self.weights[part], dtype=like.dtype, device=like.device)


def summed_loss(name: str, margin: float = 0.0, weights: Array | None = None) -> SummedLoss:
    """The loss of that name, with this margin in logits where it has one.

    weights: (n,) of the images, with mean 1, where they count differently.

    Examples
    --------
    >>> import torch
    >>> total, slope = summed_loss("cross-entropy")(torch.zeros(1, 2), torch.tensor([0]))
    >>> round(total, 4), slope.tolist()
    (0.6931, [[-0.5, 0.5]])
    """
    return SummedLoss(name, margin, weights)
