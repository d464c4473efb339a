"""Losses that are convex in the logits, summed over images, with their slopes: what the oracles minimise."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

Loss: TypeAlias = Callable[[Tensor, Tensor], tuple[float, Tensor]]
"""From logits (n, classes) and labels (n,) to the sum of the losses and a subgradient by the logits (n, classes)."""


def cross_entropy(logits: Tensor, labels: Tensor) -> tuple[float, Tensor]:
    """Sum over images of log sum_c exp(o_c) - o_y, and its gradient.

    Example:
        >>> total, slope = cross_entropy(torch.zeros(1, 2), torch.tensor([0]))
        >>> round(total, 4), slope.tolist()
        (0.6931, [[-0.5, 0.5]])
    """
    slope = torch.softmax(logits, dim=1)
    slope[torch.arange(len(labels)), labels] -= 1.0
    return float(F.cross_entropy(logits, labels, reduction="sum")), slope


def hinge(logits: Tensor, labels: Tensor, margin: float) -> tuple[float, Tensor]:
    """Sum over images of max(0, margin + max_{c != y} o_c - o_y), and a subgradient.

    Example:
        >>> total, slope = hinge(torch.tensor([[2.0, 1.5], [2.0, 0.0]]), torch.tensor([0, 0]), margin=1.0)
        >>> total, slope.tolist()
        (0.5, [[-1.0, 1.0], [-0.0, 0.0]])
    """
    rows = torch.arange(len(labels))
    others = logits.clone()
    others[rows, labels] = -torch.inf
    largest, rival = others.max(dim=1)
    missed = margin + largest - logits[rows, labels]
    on = (missed > 0).to(logits.dtype)
    slope = torch.zeros_like(logits)
    slope[rows, rival] = on
    slope[rows, labels] = -on
    return float((missed * on).sum()), slope


def loss_by_name(name: str, margin: float) -> Loss:
    """The loss "cross-entropy", or "hinge" with this margin in logits."""
    return partial(hinge, margin=margin) if name == "hinge" else cross_entropy
