"""What a loss is: the one home of all that follows from judging logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.formulation.rows import Rule
from oamip_model.network.maps import Array

if TYPE_CHECKING:
    from torch import Tensor

Labels = NDArray[np.int64]
"""Classes (n,). Networks with one logit have numbers in their place, as float64."""


class Loss(ABC):
    """A convex function, at least 0, of an image's logits o and its label y.

    A program takes the mean over images.

    A subclass states :meth:`values` and :meth:`slopes`, and enters a program by its tangents. One
    that is piecewise linear may state its rows instead. In torch the two are called through numpy
    unless it states them there too.

    Attributes
    ----------
    name : str
        The name that users give.
    by_tangents : bool
        Whether tangents are added in rounds. Otherwise :meth:`rows` are the whole loss.
    weighted : bool
        Whether it is in the objective, or only in rows.
    margined : bool
        Whether it depends on the margin, in logits.
    monotone : bool
        Whether it never falls where o_y falls, or another logit rises.
    """

    name: ClassVar[str]
    by_tangents: ClassVar[bool] = True
    weighted: ClassVar[bool] = True
    margined: ClassVar[bool] = False
    monotone: ClassVar[bool] = False

    def check(self, logits: int, labels: Labels) -> Labels:
        """The labels, as far as the loss can judge a network with so many logits by them.

        Raises InputError for one logit, where the loss is over classes, or for labels that it does not know.
        """
        if logits < 2:
            raise InputError(
                f"loss: {self.name} is over classes, and the network has one logit; accepted for it are logistic "
                "(labels 0 and 1) and squared (a regression)"
            )
        return labels

    @abstractmethod
    def values(self, logits: Array, labels: Labels, margin: float) -> Array:
        """The loss of each image, (n,), at logits (n, classes) with labels (n,)."""

    @abstractmethod
    def slopes(self, logits: Array, labels: Labels, margin: float) -> Array:
        """A subgradient of each loss by the logits, (n, classes)."""

    def tangents(self, points: Array, labels: Labels, margin: float) -> tuple[Array, Array]:
        """Tangents near some logits: the loss at o is at least g @ o + c.

        The logits ``points`` have the shape (k, classes).

        Returns gradients g (k, classes) and constants c (k,). The rows that are made of them should have no
        coefficients that solvers drop, such as some below 1e-9.
        """
        slopes = self.slopes(points, labels, margin)
        return slopes, self.values(points, labels, margin) - (slopes * points).sum(axis=1)

    def rows(self) -> dict[str, Rule]:
        """The rules of the loss's own rows in o and t, by the name of each constraint.

        t is the loss of each image.
        """
        return {}

    def torch_values(self, logits: Tensor, labels: Tensor, margin: float) -> Tensor:
        """The loss of each image in torch, with gradients.

        Logits have the shape (..., classes) and labels (...).
        """
        from oamip_model.formulation.losses.in_torch import through_numpy

        return through_numpy(self.values, self.slopes, logits, labels, margin)

    def torch_sum(self, logits: Tensor, labels: Tensor, margin: float) -> tuple[float, Tensor]:
        """The sum of the losses and a subgradient (n, classes) in torch.

        Logits have the shape (n, classes) and labels (n,).
        """
        import torch

        o, y = logits.detach().double().cpu().numpy(), labels.cpu().numpy()
        slopes = torch.as_tensor(self.slopes(o, y, margin)).to(logits)
        return float(self.values(o, y, margin).sum()), slopes

    def torch_wrong(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Which images have another largest logit than that of their label, (n,).

        Logits have the shape (n, classes) and labels (n,).
        """
        return logits.argmax(dim=1) != labels

    def best(self, low: Array, high: Array, labels: Labels) -> Array | None:
        """The logits in [low, high] at which the loss is least, None if unknown.

        They have the shape (n, classes).
        """
        if not self.monotone:
            return None
        best, rows = low.copy(), np.arange(len(low))
        best[rows, labels] = high[rows, labels]
        return best

    def limit_rows(self, logits: Array, label: int, margin: float, largest: float) -> tuple[Array, Array]:
        """Rows loss >= g @ o + c of one image, whose loss is at most ``largest``.

        g has the shape (rows, classes) and c (rows,).

        logits: (classes,) of the trained network. A loss that is not in the objective has them with a loss of 0.
        """
        return self.tangents(logits[None], np.array([label]), margin)
