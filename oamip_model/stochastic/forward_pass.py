"""An extension of mpi-sppy that keeps the best scores, by forward passes.

mpi-sppy is imported when the extension is asked for.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike

from oamip_model.formulation import Formulation
from oamip_model.network.maps import Array


class Judged(Protocol):
    """What scores are judged by: :class:`oamip_model.stochastic.Scenarios` is one."""

    formulation: Formulation

    def by_group(self, values: ArrayLike) -> dict[str, Array]:
        """Scores by layer, from one for each unit."""

    def objective(self, scores: Mapping[str, Array]) -> float:
        """The joint program's objective at some scores."""


class ForwardPass:
    """Keeps the best scores of each iteration of progressive hedging.

    Candidates are the scores of each scenario here, and their mean over all. At the end single scores of the best are
    moved to 0 or 1 while that is better. Any scores are feasible in a sound gate, so a candidate costs one forward pass
    of the images and no solve.

    objective: that of the best scores, infinite before; scores: by layer, None before.
    """

    def __init__(self, opt: Any, scenarios: Judged) -> None:
        self.opt = opt
        self.scenarios = scenarios
        self.objective = np.inf
        self.scores: dict[str, Array] | None = None

    def post_iter0(self) -> None:
        """Look at the candidates of the first iteration."""
        self.look()

    def enditer(self) -> None:
        """Look at the candidates of an iteration."""
        self.look()

    def post_everything(self) -> None:
        """Move single scores of the best, and take the best of all processes."""
        self.share()
        self.move()
        self.share()

    def look(self) -> None:
        """Take the best candidate of this process where it is better."""
        found = []
        for scenario in self.opt.local_scenarios.values():
            found.append([variable.value for variable in scenario.s.values()])
        model = next(iter(self.opt.local_scenarios.values()), None)
        if model is not None:
            means = [model._mpisppy_model.xbars[key]._value for key in model._mpisppy_data.nonant_indices]
            found += [means, np.round(np.array(means, dtype=np.float64)).tolist()]
        for values in {tuple(np.round(row, 9)) for row in found if None not in row}:
            self.offer(np.array(values))

    def offer(self, values: Array) -> bool:
        """Take scores (units,) where they are better; returns whether they are."""
        binary = self.scenarios.formulation.scores == "binary"
        scores = self.scenarios.by_group(np.round(values) if binary else values)
        value = self.scenarios.objective(scores)
        if not value < self.objective:
            return False
        self.objective, self.scores = value, scores
        return True

    def move(self) -> None:
        """Move single scores of the best to 0 or 1 while that is better.

        Each process looks at some of the units.
        """
        if self.scores is None:
            return
        units = sum(map(len, self.scores.values()))
        mine = range(self.opt.cylinder_rank, units, self.opt.n_proc)
        better = True
        while better:
            better = False
            for unit, end in itertools.product(mine, (0.0, 1.0)):
                moved = np.concatenate(list(self.scores.values()))
                if moved[unit] != end:
                    moved[unit] = end
                    better |= self.offer(moved)

    def share(self) -> None:
        """Take the best of all processes' candidates."""
        if self.opt.n_proc == 1:
            return
        best = self.opt.mpicomm.allgather((self.objective, self.scores))
        self.objective, self.scores = min(best, key=lambda pair: pair[0])


def extension_of_mpisppy() -> type[ForwardPass]:
    """The extension as a class that mpi-sppy's engines take.

    Raises ImportError where mpi-sppy is not installed.
    """
    from mpisppy.extensions.extension import Extension

    # What is defined here comes before mpi-sppy's empty methods.
    return type("ForwardPassExtension", (ForwardPass, Extension), {})
