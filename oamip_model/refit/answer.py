"""What a refit fits: the trained network's softmax, or its one logit."""

from __future__ import annotations

import torch
from torch import Tensor


def answer(logits: Tensor) -> Tensor:
    """The softmax of logits (n, classes), or a single logit as it is.

    Examples
    --------
    >>> answer(torch.tensor([[0.0, 0.0]])).tolist(), answer(torch.tensor([[3.0]])).tolist()
    ([[0.5, 0.5]], [[3.0]])
    """
    return logits if logits.shape[1] == 1 else torch.softmax(logits, dim=1)


def lost(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> Tensor:
    """The mean over images of the cross-entropy to the target.

    Of one logit it is half the squared difference. Weights (n,) with mean 1 multiply the images' own.
    """
    if weights is not None:
        by_image = torch.nn.functional.cross_entropy(logits, target, reduction="none")
        by_image = (logits - target).square()[:, 0] / 2 if logits.shape[1] == 1 else by_image
        return (by_image * weights).mean()
    if logits.shape[1] == 1:
        return (logits - target).square().mean() / 2
    return torch.nn.functional.cross_entropy(logits, target)


def slope(logits: Tensor, target: Tensor) -> Tensor:
    """The gradient of :func:`lost` by the logits (n, classes), times n."""
    return answer(logits) - target


def divergence(logits: Tensor, target: Tensor, weights: Tensor | None = None) -> float:
    """How far logits are from an answer, summed over images.

    It is in nats, or half the squared difference of one logit. Weights (n,) multiply the images' own.
    """
    if logits.shape[1] == 1:
        each = (logits - target).square() / 2
    else:
        each = target * (torch.log(target.clamp_min(1e-300)) - torch.log_softmax(logits, dim=1))
    return float(each.sum() if weights is None else (each.sum(1) * weights).sum())


def class_of(logits: Tensor) -> Tensor:
    """The class of each image, (n,).

    It is the largest logit, or whether the only one is above 0.
    """
    return (logits[:, 0] > 0).long() if logits.shape[1] == 1 else logits.argmax(dim=1)
