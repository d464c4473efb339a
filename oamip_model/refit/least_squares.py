"""Least squares of the layers that read cut units, from first to last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from oamip_model.refit.moments import Design, Kind, System, moments
from oamip_model.refit.options import Refit
from oamip_model.refit.walk import Walk


@dataclass(frozen=True)
class LayerFit:
    """How far one layer is from the trained network's pre-activations.

    It counts the rows that were summed.

    columns, outputs: of its weights; rows: images and positions; before, after: squared error of the weights as trained
    and as refitted, as far as a ReLU passes it on, as a share of the pre-activations' squared distance from their
    means; residual: of the normal
    equations, relative to their right side, 0 where that is 0.
    """

    layer: str
    columns: int
    outputs: int
    rows: int
    before: float
    after: float
    residual: float


def fit_layers(walk: Walk, options: Refit, progress: Callable[[LayerFit], None] | None = None) -> tuple[LayerFit, ...]:
    """Refit, in the walk's network, each layer that reads cut units.

    Returns how well each fits.
    """
    found = []
    for k in range(len(walk.current.layers)):
        design = Design(walk.slim, k)
        if not design.readers:
            continue
        found.append(fit_layer(walk, design, options))
        if progress is not None:
            progress(found[-1])
    return tuple(found)


def fit_layer(walk: Walk, design: Design, options: Refit) -> LayerFit:
    """Refit one layer of the walk's network, and return how well it fits.

    Behind a layer with a ReLU, errors that the ReLU does not pass on do not count. That error is convex in the weights;
    it is lowered in ``options.relu_passes`` accelerated steps, each of which minimises a quadratic bound of it
    (mathematics:refit-6). The best weights of all passes are taken.
    """

    def summed(kind: Kind) -> list[System]:
        count = walk.stream.count
        return moments(
            design, walk, walk.inputs(design.k), count, rows=options.rows, seed=options.seed, kind=kind
        )  # fmt: skip

    systems = summed(Kind())
    start = _weights(walk, design)
    fit = refit_layer(walk, design, systems, options.ridge)
    if walk.current.layers[design.k].activation != "relu" or options.relu_passes == 0:
        return fit
    factors = [factor(system, options.ridge) for system in systems]
    scale = sum(system.variance for system in systems) or 1.0
    before = sum(float(system.counted.sum()) for system in systems)
    latest = point = _weights(walk, design)
    best, least, after, momentum = start, before, before, 1.0
    for number in range(options.relu_passes + 1):
        passed = summed(Kind(passed=True, squares=False))
        price = sum(d * float((point[0] - start[0])[s.columns][:, s.outputs].square().sum())
                    for s, (_, d) in zip(systems, factors, strict=True))  # fmt: skip
        error = sum(float(system.counted.sum()) for system in passed)
        if error + price < least:
            least, after, best = error + price, error, point
        if number == options.relu_passes:
            break
        found = _step(point, start, systems, passed, factors)
        faster = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        # The last step is taken as it is, so that the pass after it says how good it is.
        beyond = (momentum - 1) / faster if number < options.relu_passes - 1 else 0.0
        point = (found[0] + beyond * (found[0] - latest[0]), found[1] + beyond * (found[1] - latest[1]))
        latest, momentum = found, faster
        _put(walk, design, *point)
    _put(walk, design, *best)
    return replace(fit, before=before / scale, after=after / scale)


Point = tuple[Tensor, Tensor]
"""Weights (columns, outputs) and constants (outputs,) of a layer."""


def _step(
    point: Point, start: Point, systems: list[System], passed: list[System], factors: list[tuple[Tensor | None, float]]
) -> Point:
    """The minimum of the quadratic bound at a point of the error that is passed on."""
    weights, constants = point[0].clone(), point[1].clone()
    for system, errors, (factored, price) in zip(systems, passed, factors, strict=True):
        mean, outputs = system.x / system.count, torch.as_tensor(system.outputs, device=weights.device)
        place = (torch.as_tensor(system.columns, device=weights.device)[:, None], outputs)
        moved = torch.zeros_like(errors.xe)
        if factored is not None:
            right = errors.xe - torch.outer(mean, errors.e) - price * (point[0] - start[0])[place]
            moved = torch.cholesky_solve(right, factored)
        weights[place] += moved
        constants[outputs] += errors.e / errors.count - mean @ moved
    return weights, constants


def _weights(walk: Walk, design: Design) -> Point:
    bias = walk.current.layers[design.k].bias
    return design.weights(walk), torch.as_tensor(bias, dtype=torch.float64, device=walk.cut.device)


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
        rows = system.count
    _put(walk, design, design.weights(walk) + change, torch.as_tensor(bias))
    scale = scale if scale > 0 else 1.0
    return LayerFit(
        layer.name, change.shape[0], change.shape[1], rows, before / scale, after / scale,
        (left / right) ** 0.5 if right > 0 else 0.0,
    )  # fmt: skip


def _put(walk: Walk, design: Design, weights: Tensor, bias: Tensor) -> None:
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
