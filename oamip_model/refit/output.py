"""The last layer fitted to the trained network's softmax.

It is a convex program, solved to a certified gap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.refit.answer import answer, divergence, slope
from oamip_model.refit.moments import Design
from oamip_model.refit.options import Refit
from oamip_model.refit.slim import Slim
from oamip_model.refit.walk import Walk


@dataclass(frozen=True)
class OutputFit:
    """The result of a fit of the last layer.

    Parameters
    ----------
    before, after : float
        Mean divergence from the trained network's softmax, in nats, plus the price of the change of
        weights.
    gap : float
        Proved distance of ``after`` from the minimum.
    calls : int
        Evaluations of the objective.
    """

    before: float
    after: float
    gap: float
    calls: int


def fits_output(slim: Slim) -> bool:
    """Whether the last layer is a dense map that can be fitted."""
    last = len(slim.full.layers) - 1
    design = Design(slim, last)
    return bool(design.terms) and not design.conv and slim.full.layers[last].activation == "none"


def check_output(slim: Slim) -> None:
    """Raise InputError where the last layer is not a dense map that can be fitted."""
    if not fits_output(slim):
        raise InputError(
            f"refit: layer {slim.full.layers[-1].name}, which gives the logits, is not a dense layer behind a ReLU; "
            "accepted here are the levels least-squares and outgoing"
        )


def fit_output(walk: Walk, options: Refit) -> OutputFit:
    """Give the walk's last layer the weights that fit the trained softmax best.

    They minimise the mean divergence from it plus ridge / 2 * ||V||^2, where V is the change of weights
    and constants. Of one logit the divergence is half the squared difference. Means are over the
    weighted images (mathematics:weights-2). Inputs are centred and divided by their root mean square.
    The objective is strongly convex with constant ridge. So it is within ||gradient||^2 / (2 * ridge)
    of its minimum (mathematics:refit-3..4).
    """
    last = len(walk.current.layers) - 1
    design = Design(walk.slim, last)
    features, base, target = _gathered(walk, design, last)
    shares = walk.stream.shares(0, base)
    by_row = torch.ones(len(base), 1, dtype=base.dtype, device=base.device) if shares is None else shares[:, None]
    mean = (features * by_row).mean(0)
    z = features - mean
    size = float((z.square() * by_row).mean().sqrt()) or 1.0
    z = torch.cat([z / size, torch.ones(len(z), 1, dtype=z.dtype, device=z.device)], dim=1)
    shape = (z.shape[1], base.shape[1])
    # With white inputs the search takes fewer steps. The objective and its proof do not change.
    second = z.T @ (z * by_row) / len(z) + options.ridge * torch.eye(shape[0], dtype=z.dtype, device=z.device)
    white = torch.linalg.inv(torch.linalg.cholesky(second)).T

    def objective(change: Tensor) -> tuple[float, Tensor]:
        logits = base + z @ change
        value = divergence(logits, target, shares) / len(z) + float(options.ridge / 2 * change.square().sum())
        return value, z.T @ (slope(logits, target) * by_row) / len(z) + options.ridge * change

    def flat(point: Array) -> tuple[float, Array]:
        value, steepest = objective(white @ torch.as_tensor(point.reshape(shape), dtype=z.dtype, device=z.device))
        return value, (white.T @ steepest).cpu().numpy().ravel()

    before = objective(torch.zeros(shape, dtype=z.dtype, device=z.device))[0]
    point, calls, gap = np.zeros(shape).ravel(), 0, np.inf
    change = torch.zeros(shape, dtype=z.dtype, device=z.device)
    after = before
    for exact in (1e-4, 1e-5, 1e-6, 1e-7, 1e-8):
        found = minimize(flat, point, jac=True, method="L-BFGS-B", options={"gtol": exact, "ftol": 0.0, "maxiter": 500})
        point, calls = found.x, calls + int(found.nfev)
        change = white @ torch.as_tensor(point.reshape(shape), dtype=z.dtype, device=z.device)
        after, steepest = objective(change)
        gap = float(steepest.square().sum()) / (2 * options.ridge)
        if gap <= options.tolerance:
            break
    _put(walk, design, last, change, mean, size)
    return OutputFit(before, after, gap, calls)


@torch.no_grad()
def _gathered(walk: Walk, design: Design, last: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of the last layer's weights, logits as they are, and the trained network's softmax, for all images."""
    features, base, target = [], [], []
    for inputs in walk.inputs(last):
        features.append(design.read(inputs.cut, None)[:, 0])
        logits = walk.cut.pre_activation(walk.current.layers[last], inputs.cut)
        trained = walk.trained.pre_activation(walk.trained.network.layers[last], inputs.trained)
        base.append(logits.flatten(1).double())
        target.append(answer(trained.flatten(1).double()))
    return torch.cat(features), torch.cat(base), torch.cat(target)


def _put(walk: Walk, design: Design, last: int, change: Tensor, mean: Tensor, size: float) -> None:
    layer = walk.current.layers[last]
    weights = change[:-1] / size
    bias = layer.bias + (change[-1] - mean @ weights).cpu().numpy()
    maps = {}
    for index, number in enumerate(design.terms):
        part = weights[design.starts[index] : design.starts[index + 1]].T.cpu().numpy()
        trained = layer.terms[number].map.trained
        assert trained is not None
        maps[number] = trained.with_weights(trained.weight + part)
    walk.refit(last, maps, bias)
