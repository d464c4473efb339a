"""Losses summed over images, with their slopes.

The oracles of the convex programs minimise them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from oamip_model.formulation.losses import loss_named


@dataclass(frozen=True)
class SummedLoss:
    """A loss by its name, summed over images.

    The margin is in logits. Logits have the shape (n, classes) and labels (n,).
    """

    name: str
    margin: float = 0.0

    def __call__(self, logits: Tensor, labels: Tensor) -> tuple[float, Tensor]:
        """The sum of the losses, and a subgradient by the logits (n, classes)."""
        return loss_named(self.name).torch_sum(logits, labels, self.margin)

    def wrong(self, logits: Tensor, labels: Tensor) -> int:
        """How many images are classified wrongly, as far as the loss knows classes."""
        return loss_named(self.name).torch_wrong(logits, labels)


def summed_loss(name: str, margin: float = 0.0) -> SummedLoss:
    """The loss of that name, with this margin in logits where it has one.

    Examples
    --------
    >>> import torch
    >>> total, slope = summed_loss("cross-entropy")(torch.zeros(1, 2), torch.tensor([0]))
    >>> round(total, 4), slope.tolist()
    (0.6931, [[-0.5, 0.5]])
    """
    return SummedLoss(name, margin)
