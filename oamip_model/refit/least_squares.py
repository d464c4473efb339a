"""Least squares of one layer, from its second moments."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from oamip_model.refit.moments import Design, System
from oamip_model.refit.walk import Walk


@dataclass(frozen=True)
class LayerFit:
    """The distance of one layer from the trained network's pre-activations.

    Parameters
    ----------
    layer : str
        The layer.
    columns, outputs : int
        Size of its weights.
    rows : int
        Images and positions that were summed.
    before, after : float
        Squared error of the weights as trained and as refitted, as far as a ReLU passes it on. It
        is a share of the pre-activations' squared distance from their means.
    residual : float
        Residual of the normal equations, relative to their right side, 0 where that is 0.
    """

    layer: str
    columns: int
    outputs: int
    rows: int
    before: float
    after: float
    residual: float


def refit_layer(walk: Walk, design: Design, systems: Iterable[System], ridge: float) -> LayerFit:
    """Give a layer of the walk's network the weights that its moments say."""
    layer = walk.current.layers[design.k]
    change = torch.zeros_like(design.weights(walk))
    bias = layer.bias.copy()
    before = after = scale = right = left = 0.0
    rows = 0
    for system in systems:
        solved = solve(system, ridge)
        columns = torch.as_tensor(system.columns, device=change.device)[:, None]
        change[columns, torch.as_tensor(system.outputs, device=change.device)] = solved.change
        bias[system.outputs] += solved.constant.cpu().numpy()
        before, after, scale = before + solved.before, after + solved.after, scale + system.variance
        left, right = left + solved.residual**2, right + solved.size**2
        rows = round(system.count)
    put_weights(walk, design, design.weights(walk) + change, torch.as_tensor(bias))
    scale = scale if scale > 0 else 1.0
    return LayerFit(
        layer.name, change.shape[0], change.shape[1], rows, before / scale, after / scale,
        (left / right) ** 0.5 if right > 0 else 0.0,
    )  # fmt: skip


def put_weights(walk: Walk, design: Design, weights: Tensor, bias: Tensor) -> None:
    """Give a layer of the walk's network these weights and constants.

    They have the shapes (columns, outputs) and (outputs,).
    """
    maps = {}
    layer, rows = walk.current.layers[design.k], weights.T.cpu().numpy()
    for index, number in enumerate(design.terms):
        trained = layer.terms[number].map.trained
        assert trained is not None
        part = rows[:, design.starts[index] : design.starts[index + 1]]
        maps[number] = trained.with_full_weight(part.reshape(trained.full_weight.shape))
    walk.refit(design.k, maps, bias.cpu().numpy())


@dataclass(frozen=True)
class Solved:
    """The changes of weights and constants that least squares ask for.

    They have the shapes (columns, outputs) and (outputs,).

    before, after: squared error without and with them; residual, size: norms of the residual and of the right side of
    the normal equations.
    """

    change: Tensor
    constant: Tensor
    before: float
    after: float
    residual: float
    size: float


def solve(system: System, ridge: float) -> Solved:
    """The minimum of the squared error plus the price of the change.

    The price is ridge * d * ||change||^2 (mathematics:refit-1..2).

    d is the mean of the centred moments' diagonal entries above 0. The constants cost nothing. The squared error never
    exceeds that of no change.
    """
    xx, xe, ee = system.centred
    before = float(system.ee.sum())
    factored, price = factor(system, ridge)
    if factored is None:
        change = torch.zeros_like(xe)
        constant = system.e / system.count
        return Solved(change, constant, before, float(ee.sum()), 0.0, 0.0)
    change = torch.cholesky_solve(xe, factored)
    constant = system.e / system.count - (system.x / system.count) @ change
    after = float(ee.sum() - 2 * (change * xe).sum() + (change * (xx @ change)).sum())
    residual = xx @ change + price * change - xe
    return Solved(
        change, constant, before, max(after, 0.0), float(torch.linalg.norm(residual)), float(torch.linalg.norm(xe))
    )


def factor(system: System, ridge: float) -> tuple[Tensor | None, float]:
    """The Cholesky factor of the normal equations, and the price of a squared change.

    The factor is None where every column is constant.
    """
    xx, _, _ = system.centred
    # Columns of zeros, which masked units leave, do not count: with them removed the minimum is the same.
    used = xx.diagonal()[xx.diagonal() > 0]
    price = ridge * float(used.mean()) if len(used) else 0.0
    if price <= 0:
        return None, 0.0
    return torch.linalg.cholesky(xx + price * torch.eye(len(xx), dtype=xx.dtype, device=xx.device)), price
