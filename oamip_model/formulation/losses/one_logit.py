"""The losses of networks with one logit.

They are "logistic" for two classes, and "squared" for a regression.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from oamip_model.errors import InputError
from oamip_model.formulation.losses.base import Labels, Loss
from oamip_model.network.maps import Array

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1e-9
"""Probabilities closer than this to 0 or 1 count as these in tangents: solvers drop coefficients that small."""
_LEVELS = (1.0, 0.25)
"""Shares of the largest loss at which a limit on the loss has tangents."""


class OneLogit(Loss):
    """What the two have in common: logits (n, 1), and labels (n,) that are numbers."""

    def check(self, logits: int, labels: Labels) -> Labels:
        """The labels. Raises InputError for a network with several logits."""
        if logits != 1:
            raise InputError(f"loss: {self.name} takes a network with one logit, and this one has {logits}")
        return labels


class Logistic(OneLogit):
    """The cross-entropy of the probability 1 / (1 + exp(-o)) of class 1.

    Labels are 0 and 1.
    """

    name = "logistic"

    def check(self, logits: int, labels: Labels) -> Labels:
        """The labels. Raises InputError for one that is neither 0 nor 1."""
        found = super().check(logits, labels)
        wrong = (found != 0) & (found != 1)
        if wrong.any():
            first = int(np.argmax(wrong))
            raise InputError(
                f"labels: label {first} is {found[first].item()}, accepted with the loss logistic: 0 and 1"
            )
        return found

    def values(self, logits: Array, labels: Labels, margin: float) -> Array:
        """log(1 + exp(o)) - y o."""
        o = logits[:, 0]
        return np.asarray(np.logaddexp(0.0, np.where(labels > 0, -o, o)))

    def slopes(self, logits: Array, labels: Labels, margin: float) -> Array:
        """The probability of class 1, less the label."""
        return (_probability(logits[:, 0]) - labels)[:, None]

    def tangents(self, points: Array, labels: Labels, margin: float) -> tuple[Array, Array]:
        """Tangents (p - y) o + H(p) with H the entropy (mathematics:loss-logistic-1).

        They hold for every p in [0, 1].
        """
        p = _probability(points[:, 0])
        p = np.where(p < _LEAST, 0.0, np.where(p > 1 - _LEAST, 1.0, p))
        parts = np.stack([p, 1.0 - p])
        entropy = 0.0 - (parts * np.log(np.where(parts > 0, parts, 1.0))).sum(axis=0)
        return (p - labels)[:, None], entropy

    def torch_values(self, logits: Tensor, labels: Tensor, margin: float) -> Tensor:
        """The loss of each image in torch."""
        from torch.nn import functional as F

        return F.binary_cross_entropy_with_logits(
            logits[..., 0], labels.to(logits).expand(logits.shape[:-1]), reduction="none"
        )

    def torch_sum(self, logits: Tensor, labels: Tensor, margin: float) -> tuple[float, Tensor]:
        """The sum of the losses, and its gradient."""
        import torch

        slope = torch.sigmoid(logits) - labels.to(logits)[:, None]
        return float(self.torch_values(logits, labels, margin).sum()), slope

    def torch_wrong(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Which images are on the wrong side of 0."""
        return (logits[:, 0] > 0) != (labels > 0)

    def best(self, low: Array, high: Array, labels: Labels) -> Array | None:
        """The upper end for label 1, the lower one for label 0."""
        return np.where(labels[:, None] > 0, high, low)

    def limit_rows(self, logits: Array, label: int, margin: float, largest: float) -> tuple[Array, Array]:
        """Tangents at the trained logit, and where the loss is a share of ``largest``."""
        losses = [max(share * largest, 1e-12) for share in _LEVELS]
        leads = [loss if loss > 30 else float(np.log(np.expm1(loss))) for loss in losses]
        points = np.array([float(logits[0]), *((-1.0 if label > 0 else 1.0) * lead for lead in leads)])[:, None]
        return self.tangents(points, np.full(len(points), label), margin)


class Squared(OneLogit):
    """The squared error (o - y)^2 of a regression (mathematics:loss-squared-1).

    Labels are any numbers.
    """

    name = "squared"

    def values(self, logits: Array, labels: Labels, margin: float) -> Array:
        """(o - y)^2."""
        return np.asarray((logits[:, 0] - labels) ** 2)

    def slopes(self, logits: Array, labels: Labels, margin: float) -> Array:
        """2 (o - y)."""
        return np.asarray(2.0 * (logits[:, 0] - labels))[:, None]

    def torch_values(self, logits: Tensor, labels: Tensor, margin: float) -> Tensor:
        """The loss of each image in torch."""
        return (logits[..., 0] - labels.to(logits)).square()

    def torch_sum(self, logits: Tensor, labels: Tensor, margin: float) -> tuple[float, Tensor]:
        """The sum of the losses, and its gradient."""
        error = logits - labels.to(logits)[:, None]
        return float(error.square().sum()), 2.0 * error

    def torch_wrong(self, logits: Tensor, labels: Tensor) -> Tensor:
        """None: a regression has no wrong class, and its loss decides."""
        return labels != labels

    def best(self, low: Array, high: Array, labels: Labels) -> Array | None:
        """The label, moved into the range."""
        return np.clip(labels[:, None].astype(np.float64), low, high)

    def limit_rows(self, logits: Array, label: int, margin: float, largest: float) -> tuple[Array, Array]:
        """Tangents at the trained logit, and where the loss is a share of ``largest``."""
        errors = [float(np.sqrt(max(share * largest, 0.0))) for share in _LEVELS]
        points = np.array([float(logits[0]), *(label + sign * error for error in errors for sign in (-1, 1))])[:, None]
        return self.tangents(points, np.full(len(points), label), margin)


def _probability(o: Array) -> Array:
    """1 / (1 + exp(-o)), without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -o)))
