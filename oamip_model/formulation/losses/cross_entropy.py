"""The loss "cross-entropy": log sum_c exp(o_c) - o_y, by tangents."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from oamip_model.formulation.losses.base import Labels, Loss
from oamip_model.network.maps import Array

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-9
"""Softmax weights below this are left out of tangents, and the others made to add up to 1."""
_FAR = 1e3
"""Difference of logits behind which a class has no weight in a loss: exp(-1000) is 0."""
_LEVELS = (1.0, 0.25)
"""Shares of the largest loss at which a limit on the loss has tangents."""


class CrossEntropy(Loss):
    """Minus the logarithm of the softmax of the label's logit."""

    name = "cross-entropy"
    monotone = True

    def values(self, logits: Array, labels: Labels, margin: float) -> Array:
        """See :func:`cross_entropy`."""
        return cross_entropy(logits, labels)

    def slopes(self, logits: Array, labels: Labels, margin: float) -> Array:
        """The softmax, less 1 at the label."""
        slope = np.exp(logits - logits.max(axis=1, keepdims=True))
        slope /= slope.sum(axis=1, keepdims=True)
        slope[np.arange(len(slope)), labels] -= 1.0
        return np.asarray(slope)

    def tangents(self, points: Array, labels: Labels, margin: float) -> tuple[Array, Array]:
        """See :func:`tangent`."""
        return tangent(points, labels)

    def torch_values(self, logits: Tensor, labels: Tensor, margin: float) -> Tensor:
        """The loss of each image in torch."""
        from torch.nn import functional as F

        return F.cross_entropy(logits.movedim(-1, 1), labels, reduction="none")

    def torch_sum(self, logits: Tensor, labels: Tensor, margin: float) -> tuple[float, Tensor]:
        """The sum of the losses, and its gradient."""
        import torch
        from torch.nn import functional as F

        slope = torch.softmax(logits, dim=1)
        slope[torch.arange(len(labels)), labels] -= 1.0
        return float(F.cross_entropy(logits, labels, reduction="sum")), slope

    def limit_rows(self, logits: Array, label: int, margin: float, largest: float) -> tuple[Array, Array]:
        """Tangents at the trained logits, and at leads that give shares of the loss.

        The shares are of ``largest``.

        It is the lead over the label's logit of all others, or of one other alone.
        """
        classes = len(logits)
        others = np.delete(np.arange(classes), label)
        points = [logits]
        for share in _LEVELS:
            loss = max(share * largest, 1e-12)
            lead = loss if loss > 30 else float(np.log(np.expm1(loss)))
            even = np.full(classes, lead - np.log(max(len(others), 1)))
            even[label] = 0.0
            points.append(even)
            for other in others:
                single = np.full(classes, min(lead, 0.0) - _FAR)
                single[label], single[other] = 0.0, lead
                points.append(single)
        return tangent(np.array(points), np.full(len(points), label))


def cross_entropy(logits: Array, labels: NDArray[np.int64]) -> Array:
    """Cross-entropy log sum_c exp(o_c) - o_y of each image, (n,).

    Logits have the shape (n, classes) and labels (n,).

    Examples
    --------
    >>> cross_entropy(np.zeros((1, 2)), np.array([0])).round(4).tolist()
    [0.6931]
    """
    largest = logits.max(axis=1)
    total = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return np.asarray(total - logits[np.arange(len(logits)), labels])


def tangent(points: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """Tangents of the cross-entropy near some logits (mathematics:loss-ce-2).

    The loss at logits o is at least g @ o + c, with a gradient g and a constant c for each point.

    For any weights p >= 0 that add up to 1, log sum_c exp(o_c) >= p @ o + H(p), with H the entropy.
    The two sides are equal where p is the softmax of o. Here p is that of a point without its
    weights below 1e-9. The tangent is valid everywhere, and too low at the point by less than
    classes * 1e-9. Solvers cannot use coefficients that small. HiGHS drops them, so that the row is
    no longer valid, and CBC scales by them and returns wrong optima.

    Parameters
    ----------
    points : array
        Logits (k, classes).
    labels : array of int
        Labels (k,).

    Returns
    -------
    gradients : array
        (k, classes).
    constants : array
        (k,).

    Examples
    --------
    >>> gradient, constant = tangent(np.array([[0.0, 0.0], [40.0, 0.0]]), np.array([0, 0]))
    >>> gradient.tolist(), constant.round(4).tolist()
    ([[-0.5, 0.5], [0.0, 0.0]], [0.6931, 0.0])
    """
    weights = np.exp(points - points.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights = np.where(weights < _LEAST, 0.0, weights)
    weights /= weights.sum(axis=1, keepdims=True)
    entropy = 0.0 - (weights * np.log(np.where(weights > 0, weights, 1.0))).sum(axis=1)
    # p_y - 1 is computed as the sum of the others, since the difference would not be exactly 0 where they are 0.
    right = np.arange(len(points)), labels
    weights[right] = 0.0
    weights[right] = 0.0 - weights.sum(axis=1)
    return weights, entropy
