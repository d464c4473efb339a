"""The layers that a cut changes, refitted from first to last.

Behind a ReLU, errors that it does not pass on do not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from oamip_model.clock import tick
from oamip_model.refit.least_squares import LayerFit, factor, put_weights, refit_layer
from oamip_model.refit.moments import Design, Rows, System, moments
from oamip_model.refit.options import Refit
from oamip_model.refit.walk import Walk


def fit_layers(walk: Walk, options: Refit, progress: Callable[[LayerFit], None] | None = None) -> tuple[LayerFit, ...]:
    """Refit, in the walk's network, each layer whose inputs the cut changes.

    Returns how well each fits.
    """
    found = []
    for k in range(len(walk.current.layers)):
        design = Design(walk.slim, k)
        if not design.refits:
            continue
        found.append(fit_layer(walk, design, options))
        if progress is not None:
            progress(found[-1])
    return tuple(found)


def fit_layer(walk: Walk, design: Design, options: Refit) -> LayerFit:
    """Refit one layer of the walk's network, and return how well it fits.

    It begins with plain least squares. Behind a layer with a ReLU, errors that the ReLU does not pass on then no longer
    count (mathematics:refit-6). That error is convex in the weights; each of ``options.relu_passes`` accelerated steps
    minimises a quadratic bound of it. The best weights of all are taken.
    """
    layer = walk.current.layers[design.k]
    rows = Rows() if layer.activation == "relu" and options.relu_passes else None
    systems = moments(
        design, walk, walk.inputs(design.k), walk.stream.count, rows=options.rows, seed=options.seed, held=rows
    )
    start = (design.weights(walk), torch.as_tensor(layer.bias, dtype=torch.float64, device=walk.cut.device))
    fit = refit_layer(walk, design, systems, options.ridge)
    if rows is None:
        return fit
    plain = torch.as_tensor(walk.current.layers[design.k].bias, dtype=torch.float64, device=walk.cut.device)
    search = _Search(rows, systems, options.ridge)
    change, before, after = search.run((design.weights(walk) - start[0], plain - start[1]), options.relu_passes)
    put_weights(walk, design, start[0] + change[0], start[1] + change[1])
    return replace(fit, rows=search.held, before=before / search.scale, after=after / search.scale)


Change = tuple[Tensor, Tensor]
"""Changes of a layer's weights (columns, outputs) and constants (outputs,)."""


@dataclass(frozen=True)
class _Errors:
    """What is passed on at one change, with the price of the change and without, and a step to less of it."""

    objective: float
    error: float
    step: Change


class _Search:
    """Accelerated steps on the rows that are held."""

    def __init__(self, rows: Rows, systems: list[System], ridge: float) -> None:
        self.rows, self.systems = rows, systems
        self.held = sum(len(x) for x, _, _ in rows.parts)
        parts = zip(rows.parts, rows.weights, strict=True)
        self.count = sum(len(x) if weights is None else float(weights.sum()) for (x, _, _), weights in parts)
        share = self.count / systems[0].count
        self.scale = share * sum(system.variance for system in systems) or 1.0
        # Rows that are left out still count in the moments, since the bound need hold on average only.
        self.share = share
        self.factors = [factor(system, ridge) for system in systems]

    def run(self, plain: Change, passes: int) -> tuple[Change, float, float]:
        """The best change that was seen, and the errors that are passed on with none and with it."""
        none = (torch.zeros_like(plain[0]), torch.zeros_like(plain[1]))
        at_none = self._errors(none)
        best, least, after = none, at_none.objective, at_none.error
        point = latest = plain
        momentum = 1.0
        for left in range(passes, -1, -1):
            found = self._errors(point)
            if found.objective < least:
                best, least, after = point, found.objective, found.error
            next_momentum = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
            # The last step is taken in full, and judged by one more pass over the rows.
            beyond = (momentum - 1) / next_momentum if left > 1 else 0.0
            moved = (point[0] + found.step[0], point[1] + found.step[1])
            point = (moved[0] + beyond * (moved[0] - latest[0]), moved[1] + beyond * (moved[1] - latest[1]))
            latest, momentum = moved, next_momentum
        return best, at_none.error, after

    def _errors(self, change: Change) -> _Errors:
        weights, constants = change
        xe, e = torch.zeros_like(weights), torch.zeros_like(constants)
        error, single = 0.0, weights.float()
        for (x, target, given), by_row in zip(self.rows.parts, self.rows.weights, strict=True):
            tick("what a ReLU passes on")
            missing, before = (target - given).double(), given.double()
            # Products are as precise as the rows; what is summed over parts is in double precision.
            now = before + (x @ single).double() + constants
            wrong = torch.where(target > 0, missing - (now - before), -now.relu())
            counted = wrong if by_row is None else wrong * by_row[:, None]
            error += float((wrong * counted).sum())
            xe += (x.T @ counted.float()).double()
            e += counted.sum(0)
        step = (torch.zeros_like(weights), e / self.count)
        price = 0.0
        for system, (factored, each) in zip(self.systems, self.factors, strict=True):
            outputs = torch.as_tensor(system.outputs, device=e.device)
            place = (torch.as_tensor(system.columns, device=e.device)[:, None], outputs)
            if factored is None:
                continue
            mean = system.x / system.count
            own = weights[place]
            right = (xe[place] - torch.outer(mean, e[outputs])) / self.share - each * own
            moved = torch.cholesky_solve(right, factored)
            step[0][place] = moved
            step[1][outputs] -= mean @ moved
            price += self.share * each * float(own.square().sum())
        return _Errors(error + price, error, step)
