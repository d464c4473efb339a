"""Multipliers for the programs of single images (mathematics:tree-5).

They are raised by the ascent of a Lagrangian relaxation whose minima a heuristic finds.

The multipliers P_n hold the images' scores together. The best ones maximise the sum of the least
objectives weight * loss_n + P_n s. Solving the programs for each step takes minutes, and a local
search less than a second. The search need not prove anything, since the programs that are solved in
the end do.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from oamip_model.formulation import Formulation
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.scoring.joint.heuristic import Search
from oamip_model.solving.protocol import Arrays, Backend, Options, Status
from oamip_model.solving.registry import solve_once

_ITERATIONS = 30
_MOVED = 0.3
"""Share of the way to the best multipliers by which the first ones are moved. Farther from the
multipliers of the linear relaxation, the programs of single images prove more, and take longer."""
_BOX = 0.1
"""Most that a multiplier moves in the first iteration, relative to their mean."""
_WIDER, _NARROWER, _GOOD = 1.3, 0.6, 0.2
"""Factors of the box after an iteration that gave the share _GOOD of what its model promised, and after others."""
_KEPT = 60
"""Points of each image in the model."""
_FIRST, _STEPS, _TOP = 150, 60, 4
"""Gradient steps from the first starts and from later ones, and known points that are improved each time."""


class ImageMinima:
    """The best scores known of one image's program, for any multipliers.

    points: (k, units), loss: (k,) weight * loss at each.
    """

    def __init__(
        self,
        network: Network,
        image: Array,
        label: NDArray[np.int64],
        settings: Formulation,
        start: Array,
        seed: int,
        time_limit: float | None,
    ) -> None:
        self.search = Search(network, image, label, replace(settings, sparsity="mean"), seed, time_limit)
        self.points, self.loss = torch.zeros(0, len(start)), torch.zeros(0)
        self.set_price(np.zeros(len(start)))
        self.keep(torch.as_tensor(start, dtype=torch.float32)[None])

    def set_price(self, multipliers: Array) -> None:
        """The multipliers (units,) from now on."""
        self.price = torch.as_tensor(multipliers, dtype=torch.float32)
        for objective in (self.search.gate, self.search.product):
            objective.set_prices(self.price)

    def keep(self, points: Tensor) -> None:
        """Add points (k, units) to those known."""
        self.points = torch.cat([self.points, points])
        self.loss = torch.cat([self.loss, self.search.values(points) - points @ self.price])

    def values(self) -> Tensor:
        """The objective at the points known, (k,)."""
        return self.loss + self.points @ self.price

    def improve(self, first: bool) -> float:
        """Search from the best points known and from others.

        Returns the least objective known then.
        """
        search = self.search
        top = self.points[self.values().argsort()[:_TOP]]
        if first:
            noise = 0.2 * torch.rand(search.starts, top.shape[1], generator=search.random)
            found, _ = search.descend(search.product, torch.cat([top, 1.0 - noise]), _FIRST)
        else:
            near = torch.cat([top, search.disturbed(top[0])[:_TOP]])
            found, _ = search.descend(search.product, near, _STEPS)
        settled = search.settled(torch.cat([top, found]), _STEPS)
        best, _ = search.best(torch.cat([settled, top]))
        self.keep(torch.cat([settled, search.moved(best)[None]]))
        return float(self.values().min())


def ascend(images: Sequence[ImageMinima], multipliers: Array, backend: Backend, time_limit: float | None) -> Array:
    """Multipliers (n, units) whose programs have better bounds, with the same sum.

    A bundle method finds them. The known points make a piecewise linear model of the least
    objectives, from above. It is maximised in a box around the best multipliers so far.
    """
    began, best, box = time.monotonic(), multipliers, _BOX * float(np.abs(multipliers.mean(axis=0)).mean())
    reached = _least(images, best, improve=True, first=True)
    for _ in range(_ITERATIONS):
        left = None if time_limit is None else time_limit - (time.monotonic() - began)
        if left is not None and left <= 0:
            break
        step = _step(images, best, box, backend, left)
        if step is None:
            break
        moved, promised = step
        found = _least(images, moved, improve=True)
        good = found - reached > _GOOD * (promised - reached)
        best = moved if found > reached else best
        # Newer points may have lower objectives at the best multipliers as well.
        reached = _least(images, best)
        box *= _WIDER if good else _NARROWER
    return np.asarray(multipliers + _MOVED * (best - multipliers))


def _least(images: Sequence[ImageMinima], multipliers: Array, improve: bool = False, first: bool = False) -> float:
    """Mean of the least objectives known of all images."""
    found = []
    for image, price in zip(images, multipliers, strict=True):
        image.set_price(price)
        found.append(image.improve(first) if improve else float(image.values().min()))
    return float(np.mean(found))


def _step(
    images: Sequence[ImageMinima], multipliers: Array, box: float, backend: Backend, time_limit: float | None
) -> tuple[Array, float] | None:
    """The multipliers that are best in the model, and its value there.

    None is farther than ``box`` from those given. Returns None where the solver failed, or the time was over.
    """
    count, units = multipliers.shape
    rows: list[sp.csr_array] = []
    limits: list[Array] = []
    for k, (image, price) in enumerate(zip(images, multipliers, strict=True)):
        image.set_price(price)
        values = image.values()
        top = values.argsort()[:_KEPT]
        points = image.points[top].double().numpy()
        blocks = [sp.csr_array((len(points), units)) for _ in images]
        blocks[k] = sp.csr_array(-points)
        mine = np.zeros((len(points), count))
        mine[:, k] = 1.0
        rows.append(sp.csr_array(sp.hstack([sp.csr_array(mine), *blocks])))
        limits.append(values[top].double().numpy())
    together = sp.hstack([sp.csr_array((units, count)), *[sp.eye_array(units) for _ in images]])
    upper = np.concatenate([*limits, np.zeros(units)])
    lower = np.concatenate([np.full(len(upper) - units, -np.inf), np.zeros(units)])
    reach = np.concatenate([np.full(count, np.inf), np.full(count * units, box)])
    cost = np.concatenate([np.full(count, -1.0 / count), np.zeros(count * units)])
    matrix = sp.csr_array(sp.vstack([*rows, together], format="csr"))
    model = Arrays(matrix, cost, -reach, reach, lower, upper, np.zeros(len(cost), dtype=bool))
    found = solve_once(backend, model, Options(time_limit=time_limit))
    if found.status is not Status.OPTIMAL or found.x is None or found.objective is None:
        return None
    return multipliers + found.x[count:].reshape(count, units), -found.objective
