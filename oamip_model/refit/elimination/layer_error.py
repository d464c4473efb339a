"""The squared error that least squares leave, by one group's scores.

It is convex in the scores (mathematics:after-1..2). Each call is a Cholesky factorisation of the layer's width, and
looks at no image.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.clock import tick
from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.refit.moments import System

_EXACT = 1500
"""Columns up to which all eigenvalues are computed."""
_STEPS = 50
"""Steps of the inverse iteration for more columns."""

Owners = NDArray[np.int64]
"""The unit that each column reads, -1 where it is always kept."""


@dataclass(frozen=True)
class Regression:
    """The fit of a layer's outputs by some columns, with a price on squared weights.

    The moments of the columns about their means are ``inputs`` (p, p), those with the targets ``target`` (p, m). The
    targets' own sums of squares (m,) are ``totals``. A squared weight costs ``price``. Times ``scale`` a squared error
    becomes an error. The :data:`Owners` have one entry a column. Targets carry the root of their importance.
    """

    inputs: Tensor
    target: Tensor
    totals: Tensor
    price: float
    scale: float
    owners: Owners

    @property
    def total(self) -> float:
        """The sum of squares of all targets."""
        return float(self.totals.sum())

    @property
    def matrix(self) -> Tensor:
        """The matrix of the normal equations with all columns in."""
        return self.inputs + self.price * torch.eye(
            len(self.inputs), dtype=self.inputs.dtype, device=self.inputs.device
        )


def regression(system: System, owners: Owners, ridge: float) -> Regression:
    """The fit of the trained pre-activations themselves, with weights drawn towards 0.

    The price of a squared weight is ``ridge`` times the mean diagonal entry of the inputs' moments.
    """
    xx, xe, ee = system.centred
    trained = xx @ system.weight
    target, weight = xe + trained, system.weight
    used = xx.diagonal()[xx.diagonal() > 0]
    price = ridge * (float(used.mean()) if len(used) else 1.0)
    scale = 1.0 / system.variance
    if system.importance is not None:
        scale = 1.0 / system.count
        root = system.importance.apart.sqrt()
        target, trained, xe, weight, ee = target * root, trained * root, xe * root, weight * root, ee * root * root
    # The targets, without terms that stay, are what is missing plus the inputs times the weights.
    totals = ee + 2 * (weight * xe).sum(0) + (weight * trained).sum(0)
    return Regression(xx, target, totals, price, scale, owners)


class LayerError:
    """Error of the refitted readers of a group, and its gradient by the scores.

    At scores of 0 and 1 it is the error of the ridge regression with these units. In between a score divides the price
    of its unit's weights. That price is as high as convexity allows (mathematics:after-2). The higher it is, the closer
    is the bound of continuous scores to the error of masks.
    """

    def __init__(self, systems: Sequence[tuple[System, Owners]], units: int, ridge: float) -> None:
        self.units = units
        found = [regression(system, owners, ridge) for system, owners in systems if system.variance > 0]
        self.parts = [sharpened(part) for part in found]

    def __call__(self, scores: Array) -> tuple[float, Array]:
        """Error at scores (units,), and its gradient (units,)."""
        tick("the error of a layer after a refit")
        error, slope = 0.0, np.zeros(self.units)
        for part in self.parts:
            value, by_column = _error(part, np.clip(scores, 0.0, 1.0))
            error += part.scale * value
            np.add.at(slope, part.owners, part.scale * by_column)
        return error, slope


def sharpened(part: Regression) -> Regression:
    """The same regression with the highest price that keeps it convex.

    Columns that are always kept are fitted first. The weights of each unit are then scaled by what it costs to lose
    them when all others are in. So one price holds for all squared weights.
    """
    matrix, target, totals = part.matrix, part.target, part.totals
    stays, goes = (
        torch.as_tensor(np.flatnonzero(rows), device=matrix.device) for rows in (part.owners < 0, part.owners >= 0)
    )
    if len(stays):
        factor = torch.linalg.cholesky(matrix[stays][:, stays])
        fitted = torch.cholesky_solve(matrix[stays][:, goes], factor)
        totals = totals - (target[stays] * torch.cholesky_solve(target[stays], factor)).sum(0)
        target = target[goes] - fitted.T @ target[stays]
        matrix = matrix[goes][:, goes] - matrix[stays][:, goes].T @ fitted
    owners = part.owners[part.owners >= 0]
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    white = torch.zeros_like(matrix)
    for unit in np.unique(owners):
        at = torch.as_tensor(np.flatnonzero(owners == unit), device=matrix.device)
        # With L'L the unit's block of the inverse, what it costs to lose weights w is |L^-T w|^2.
        white[at[:, None], at] = torch.linalg.cholesky(inverse[at][:, at]).T
    matrix = white @ matrix @ white.T
    matrix = (matrix + matrix.T) / 2
    price = _least_eigenvalue(matrix)
    matrix.diagonal().sub_(price)
    return Regression(matrix, white @ target, totals, price, part.scale, owners)


def _least_eigenvalue(matrix: Tensor) -> float:
    """A number just below the least eigenvalue of a positive definite matrix, which a factorisation confirms."""
    small = len(matrix) <= _EXACT
    if small:
        found = float(torch.linalg.eigvalsh(matrix)[0])
    else:
        inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
        x = torch.ones(len(matrix), 1, dtype=matrix.dtype, device=matrix.device)
        for _ in range(_STEPS):
            x = inverse @ (x / torch.linalg.norm(x))
        found = 1.0 / float(torch.linalg.norm(x))
    below = 1e-6
    while below < 1.0:
        lower = matrix.clone()
        lower.diagonal().sub_(found * (1 - below))
        if int(torch.linalg.cholesky_ex(lower).info) == 0:
            return found * (1 - below)
        below *= 4
    raise InputError("images: the moments of a layer's inputs are not positive definite, accepted is a higher ridge")


def _error(part: Regression, scores: Array) -> tuple[float, Array]:
    """Squared error of one regression, and its gradient by the score of each column."""
    root = torch.as_tensor(np.sqrt(scores[part.owners]), device=part.inputs.device)[:, None]
    matrix = part.inputs * root * root.T
    matrix.diagonal().add_(part.price)
    weights = root * torch.cholesky_solve(root * part.target, torch.linalg.cholesky(matrix))
    left = part.target - part.inputs @ weights
    slope = -left.square().sum(1) / part.price
    return part.total - float((part.target * weights).sum()), slope.cpu().numpy()
