"""The linear relaxation of a search tree: one loaded model, bounds of columns that come and go, cuts and tangents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.formulation.matrix import MatrixConstraint, MatrixRows
from oamip_model.formulation.relaxations.hull import HullCuts
from oamip_model.network.maps import Array
from oamip_model.solving.protocol import Solution, Status
from oamip_model.solving.registry import open_tree_session
from oamip_model.solving.state import SolveState
from oamip_model.solving.treesearch.complementarity import Complementary

_MIDDLE = 0.5
"""Where between the relaxation's optimum and a feasible point cuts are sought first."""
_TIGHT = 1e-7
"""Slack, relative to max(1, limit), up to which a row counts as tight."""


_IGNORED = 0.5
"""Share of what tangents were added for by which an optimum that breaks them shows that the solver ignores them."""
_SIDES = ("lower", "upper", "idle", "lasting")
_BLOCKS = 16
"""Blocks of added rows that are kept apart before they are joined."""


_DROPPED = 0.1
"""Share of the added rows that are idle from which they are dropped: each time costs the solver a factorization."""


class OutOfTime(Exception):
    """The time limit was reached inside the search."""


@dataclass
class _Added:
    """Rows that were added, over all columns: the component of the instance that each belongs to, its name there, in
    how many optima in a row it was slack, and whether it stays nevertheless."""

    homes: list[MatrixConstraint]
    names: list[tuple[Any, ...]]
    matrix: sp.csr_array
    lower: Array
    upper: Array
    idle: Array
    lasting: NDArray[np.bool_]

    def take(self, keep: NDArray[np.bool_]) -> _Added:
        at = np.flatnonzero(keep)
        homes, names = [self.homes[k] for k in at.tolist()], [self.names[k] for k in at.tolist()]
        sides = (getattr(self, side)[at] for side in _SIDES)
        return _Added(homes, names, sp.csr_array(self.matrix[at]), *sides)

    @classmethod
    def joined(cls, blocks: list[_Added]) -> _Added:
        return cls(
            [home for block in blocks for home in block.homes],
            [name for block in blocks for name in block.names],
            sp.csr_array(sp.vstack([block.matrix for block in blocks], format="csr")),
            *(np.concatenate([getattr(block, side) for block in blocks]) for side in _SIDES),
        )


class Relaxation:
    """The linear relaxation of an instance being solved, minimised again and again.

    Rows that are added hold for every point of the instance, whatever the bounds of columns are at the time.
    """

    def __init__(self, solve: SolveState) -> None:
        self.solve = solve
        self.instance, self.compiled, self.arrays = solve.instance, solve.compiled, solve.arrays
        self.program = Complementary(solve.program, self.compiled)
        self.lower, self.upper = self.arrays.lower, self.arrays.upper
        self.session = open_tree_session(solve.backend, self.program.arrays, solve.options)
        self.added: list[_Added] = []
        self.hull = None if solve.program.hull_cuts is None else HullCuts(solve.program)
        m = self.instance
        self.parts = [self.compiled.columns(v) for v in (m.s, m.a, m.h)]
        self.count = 0
        self.certified = True
        self.last: Solution | None = None
        # The last tangents, while they are there: rows, lower bounds, and by how much one of them was violated.
        self.tangents: tuple[sp.csr_array, Array, float] | None = None

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """Bounds of the columns from now on, (columns,) each."""
        self.session.set_bounds(*self.program.bounds(lower, upper))
        self.lower, self.upper = lower, upper

    def minimise(self) -> tuple[Array | None, float]:
        """The optimum x (columns,) and its value; inf where there is no point, None and -inf where the solver failed.

        Raises OutOfTime at the time limit, KeyboardInterrupt on Ctrl-C.
        """
        solution = self._run()
        if solution.status is Status.INFEASIBLE:
            return self._nothing(solution)
        if solution.status is not Status.OPTIMAL or solution.x is None:
            # Once more from scratch: a basis that many rows and bounds came and went under can be beyond repair.
            self.reload()
            solution = self._run()
            if solution.status is Status.INFEASIBLE:
                return self._nothing(solution)
            if solution.status is not Status.OPTIMAL or solution.x is None:
                return None, -np.inf
        bound = solution.objective if solution.bound is None else solution.bound
        assert bound is not None
        self.certified &= solution.certified
        return self.program.point(solution.x), bound

    def _nothing(self, solution: Solution) -> tuple[None, float]:
        self.certified &= solution.certified
        return None, np.inf

    def _run(self) -> Solution:
        left = self.solve.left()
        if left is not None and left <= 0:
            raise OutOfTime
        solution = self.session.solve(relaxed=True, time_limit=left)
        self.count += 1
        self.last = solution
        self.solve.solver_seconds += solution.seconds
        if solution.interrupted:
            raise KeyboardInterrupt
        left = self.solve.left()
        if solution.status is not Status.OPTIMAL and left is not None and left <= 0:
            raise OutOfTime
        return solution

    def reload(self) -> None:
        """The same rows and bounds in a new session."""
        self.session.close()
        self.session = open_tree_session(self.solve.backend, self.program.arrays, self.solve.options)
        for block in self.added:
            self.session.add_rows(block.matrix, block.lower, block.upper)
        self.session.set_bounds(*self.program.bounds(self.lower, self.upper))

    def rows(self) -> sp.csr_array:
        """The rows of the program, and those that were added, (rows, columns)."""
        return sp.csr_array(
            sp.vstack([self.program.arrays.matrix, *(block.matrix for block in self.added)], format="csr")
        )

    def row_duals(self) -> Array | None:
        """The duals (rows,) at the last optimum, None where the solver gives none."""
        return None if self.last is None else self.last.row_duals

    def missing(self, x: Array) -> Array:
        """What the loss of each image adds to the objective at x beyond its tangents, (n,)."""
        program = self.solve.program
        if program.loss_tangents is None:
            return np.zeros(program.images)
        short = program.losses_at(x[self.solve.o]) - x[self.compiled.columns(program.losses)]
        return short * program.weight / program.images

    def add_tangents(self, x: Array, least: float, inner: Array | None) -> int:
        """Tangents of the losses that are short of by more than ``least`` at x, and where they are also between x and a
        feasible point; returns how many."""
        missing = self.missing(x)
        images = np.flatnonzero(missing > least)
        if not len(images) or self._ignored(x):
            return 0
        points, at = [self._logits(x)[images]], images
        if inner is not None:
            points.append(self._logits(_MIDDLE * x + (1 - _MIDDLE) * inner)[images])
            at = np.concatenate([images, images])
        solve = self.solve
        home = solve.program.loss_tangents
        assert home is not None
        rows = solve.program.tangents_at(np.concatenate(points), at)
        matrix = self.compiled.rows(rows)
        self.add(home, rows.names, matrix, rows.lower, rows.upper)
        self.tangents = matrix, rows.lower, float(missing.max()) * solve.program.images / solve.program.weight
        return len(at)

    def _ignored(self, x: Array) -> bool:
        """Whether the optimum x breaks the last tangents by most of what they were added for.

        Then the values of its program reach so far that all this is within the solver's tolerances, and more tangents
        will change nothing.
        """
        if self.tangents is None:
            return False
        matrix, lower, wanted = self.tangents
        return bool((lower - matrix @ x).max() > _IGNORED * wanted)

    def _logits(self, x: Array) -> Array:
        return x[self.solve.o].reshape(self.solve.program.images, -1)

    def add_hull_cuts(self, x: Array, least: float) -> int:
        """Cuts of the relaxation "hull" that x violates by more than ``least`` times max(1, U); returns how many."""
        home = self.solve.program.hull_cuts
        if self.hull is None or home is None:
            return 0
        rows = self.hull.violated(np.concatenate([x[part] for part in self.parts]), least)
        if not rows.names:
            return 0
        self.add(home, rows.names, self.compiled.rows(rows), rows.lower, rows.upper)
        return len(rows.names)

    def add(
        self,
        home: MatrixConstraint,
        names: Sequence[Any],
        matrix: sp.csr_array,
        low: Array,
        high: Array,
        lasting: bool = False,
    ) -> None:
        """Add rows over all columns, of a component of the instance; lasting: also where they are slack for long."""
        count = len(names)
        stay = np.full(count, lasting)
        self.added.append(_Added([home] * count, list(names), matrix, low, high, np.zeros(count), stay))
        if len(self.added) > _BLOCKS:
            self.added = [_Added.joined(self.added)]
        self.session.add_rows(matrix, low, high)
        self.solve.cuts += count

    def age(self, x: Array) -> None:
        """Count for each added row whether it is slack at the optimum x."""
        for block in self.added:
            activity = block.matrix @ x
            slack = np.minimum(activity - block.lower, block.upper - activity)
            limit = np.where(np.isfinite(block.upper), block.upper, block.lower)
            slack_now = (slack > _TIGHT * np.maximum(1.0, np.abs(limit))) & ~block.lasting
            block.idle = np.where(slack_now, block.idle + 1, 0.0)

    def drop_idle(self, age: int) -> None:
        """Drop the added rows that were slack in the last ``age`` optima counted, where they are many."""
        keep = [block.idle < age for block in self.added]
        rows = sum(len(part) for part in keep)
        if rows - sum(int(part.sum()) for part in keep) <= _DROPPED * rows:
            return
        self.session.keep_rows(np.concatenate(keep))
        self.tangents = None
        kept = [block.take(part) for block, part in zip(self.added, keep, strict=True)]
        self.added = [block for block in kept if len(block.idle)]

    def close(self) -> None:
        """Put the rows that are there into the instance, and free the solver."""
        self.session.close()
        for home in {id(home): home for block in self.added for home in block.homes}.values():
            for block in self.added:
                self._give_back(home, block.take(np.array([mine is home for mine in block.homes])))

    def _give_back(self, home: MatrixConstraint, block: _Added) -> None:
        first = len(home.rows.names)
        names = [(*name[:-1], first + k) for k, name in enumerate(block.names)]
        blocks = [(v, sp.csr_array(block.matrix[:, self.compiled.columns(v)])) for v, _ in home.rows.blocks]
        home.append(MatrixRows(names, block.lower, block.upper, blocks))
