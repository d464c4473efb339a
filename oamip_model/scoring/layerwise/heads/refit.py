"""The head whose program is the error after a refit (mathematics:after-1..3).

The layers that read the scored one are refitted optimally for every score: after one pass its program needs no image.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from oamip_model.clock import Deadline, finishing, seconds_left, within
from oamip_model.data.weights import fingerprint
from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.refit.elimination.layer_error import LayerError
from oamip_model.refit.elimination.sweep import Eliminated, eliminate
from oamip_model.refit.elimination.units import GroupReaders, refit_reader
from oamip_model.refit.options import MASK_ROWS, Refit
from oamip_model.refit.slim import slim_network
from oamip_model.refit.stream import image_stream
from oamip_model.refit.walk import Walk
from oamip_model.runs.events import in_lines
from oamip_model.scoring.layerwise.convex import minimise_convex
from oamip_model.scoring.layerwise.convex_result import ConvexResult, ConvexSolve
from oamip_model.scoring.layerwise.heads.base import Head
from oamip_model.scoring.layerwise.plan import LayerOutcome
from oamip_model.scoring.layerwise.projection import Tangents
from oamip_model.scoring.layerwise.task import LayerTask, named_masks
from oamip_model.scoring.program_result import ProgramResult
from oamip_model.scoring.select import removal_count

_SWAPS = 20
"""Pairs of units that the first incumbent swaps at most."""


@dataclass(frozen=True, eq=False)
class _Before:
    """What one task leaves for the next of the same network and images: the network as refitted up to a layer.

    cut: masks by group, under which it was.
    """

    network: Network
    images: weakref.ref[Any]
    plan: tuple[Any, ...]
    readers: GroupReaders
    refitted: Network
    cut: Mapping[int, Array]
    upto: int

    def serves(self, task: LayerTask) -> bool:
        """Whether the readers are those of this task."""
        return self.network is task.network and self.images() is task.images and self.plan == _asked(task)

    def goes_on(self, task: LayerTask) -> bool:
        """Whether the layers refitted so far are as this task needs them: only later groups were cut since."""
        first = self.readers.first
        same = all(g in task.others and np.array_equal(task.others[g], mask) for g, mask in self.cut.items())
        later = all(first[g] >= self.upto for g in task.others if g not in self.cut)
        return same and later and first[task.group] >= self.upto


class AfterRefit(Head):
    """The loss of the answer when the layer's readers are refitted by least squares.

    The groups that are cut before are cut, and their readers refitted. With an amount the scores
    add up to the number of kept units at most, so no weight is sought. It uses no labels.
    """

    name: ClassVar[str] = "refit"
    refits: ClassVar[bool] = True

    def __init__(self) -> None:
        self._before: _Before | None = None

    def solve(self, task: LayerTask, progress: Callable[[str], None] | None = None) -> LayerOutcome:
        """See :class:`Head`."""
        began = time.monotonic()
        entry = task.network.groups[task.group]
        first = Deadline(task.plan.time_limit)
        with within(first):
            systems, ridge = self._systems(task)
            summed = time.monotonic()
            gone = 0 if task.plan.amount is None else removal_count(task.plan.amount, entry.size)
            stay = max(1, entry.size - gone)
            taken = eliminate(systems, entry.size, stay, ridge, _SWAPS)
            error = LayerError(systems, entry.size, ridge)
            started = time.monotonic()
            weight = 1.0 if task.plan.amount is not None else task.plan.weight
            result, start = _program(task, taken, error, stay, progress)
        solved = time.monotonic()
        loss = None
        with finishing(task.plan.time_limit):
            loss = task.measure(task.torch_layers(), result.scores).loss
        seconds = {
            "moments": summed - began, "elimination": started - summed, "solve": solved - started,
            "replay": time.monotonic() - solved,
        }  # fmt: skip
        program = ProgramResult(
            (), result.status.value, result.objective, result.bound, result.gap, result.loss,
            result.objective - weight * result.loss, loss, None, None, result.calls, result.rows, seconds,
            result.message, None if task.plan.amount is not None else weight, task.name, result.variables, result.rows,
            heuristic=start, certified=result.certified,
        )  # fmt: skip
        return LayerOutcome(result.scores, task.cut(result.scores), program, result.solver, result.version, self.name)

    def _systems(self, task: LayerTask) -> tuple[list[Any], float]:
        """The least squares of all layers that read the group, those before it refitted, and the ridge."""
        network, options = task.network, Refit(rows=MASK_ROWS, seed=task.plan.seed, device=task.plan.device)
        stream, known = image_stream(network, task.images, weights=task.image_weights), self._before
        if known is None or not known.serves(task):
            readers = GroupReaders(network, stream, options)
            known = _Before(network, weakref.ref(task.images), _asked(task), readers, network, {}, 0)
        readers = known.readers
        for g, group in enumerate(network.groups):
            if g not in readers.readers:
                raise InputError(
                    f"head: got refit, but no layer that a refit may change reads {group.name}, take another head"
                )
        refitted, upto = (known.refitted, known.upto) if known.goes_on(task) else (network, 0)
        walk = Walk(network, slim_network(refitted, named_masks(network, task.others)), stream, options.device)
        k = readers.first[task.group]
        for before in range(upto, k):
            refit_reader(walk, before, options)
        found = readers.systems(walk, task.group)
        self._before = _Before(
            network, known.images, known.plan, readers, walk.slim.widen(walk.current), dict(task.others), k
        )  # fmt: skip
        return found, options.ridge


def _program(
    task: LayerTask, taken: Eliminated, error: LayerError, stay: int, progress: Callable[[str], None] | None
) -> tuple[ConvexResult, float]:
    """The layer's program, and the objective of the mask by elimination, from which it starts."""
    plan = task.plan
    price, offset = task.price()
    weight, tangents, unit = plan.weight, Tangents(), 1.0
    if plan.amount is not None:
        price, offset, tangents = np.zeros(len(price)), 0.0, Tangents(most=stay)
        # Errors may be as small as the tolerances of solvers: they are counted in that of the first mask.
        weight = unit = 1.0 / max(taken.error, 1e-12)
    start = _incumbent(taken, price, weight, tangents)
    how = ConvexSolve(
        solver=plan.solver, tolerance=plan.tolerance, time_limit=seconds_left(), level=plan.level, seed=plan.seed,
        progress=in_lines(progress, "after a refit"),
    )  # fmt: skip
    found = minimise_convex(
        error, price, weight, how, offset=offset, binary=plan.binary, tangents=tangents, starts=[start]
    )
    found = replace(found, objective=found.objective / unit, bound=found.bound / unit)
    return found, (float(price @ start) + weight * error(start)[0] + offset) / unit


def _asked(task: LayerTask) -> tuple[Any, ...]:
    return task.plan.seed, task.plan.device, None if task.image_weights is None else fingerprint(task.image_weights)


def _incumbent(taken: Eliminated, price: Array, weight: float, tangents: Tangents) -> Array:
    """The mask that elimination gives: of the number that is asked for, or of the number that costs least."""
    if tangents.most is not None:
        return taken.keep.astype(np.float64)
    mask = np.zeros(len(price))
    mask[taken.order[-1]] = 1.0
    costs = [float(price @ mask) + weight * taken.errors[0]]
    for count, unit in enumerate(taken.order[-2::-1], 1):
        mask[unit] = 1.0
        costs.append(float(price @ mask) + weight * taken.errors[count])
    best = int(np.argmin(costs)) + 1
    found = np.zeros(len(price))
    found[taken.order[len(price) - best :]] = 1.0
    return found
