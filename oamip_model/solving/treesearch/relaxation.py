"""The linear relaxation in a search tree: one loaded program that changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from oamip_model.formulation.matrix import MatrixConstraint
from oamip_model.formulation.relaxations.hull import HullCuts
from oamip_model.network.maps import Array
from oamip_model.solving.protocol import Solution, Status
from oamip_model.solving.registry import open_tree_session
from oamip_model.solving.state import SolveState
from oamip_model.solving.treesearch.added import NO_TANGENTS, Added, Tangents
from oamip_model.solving.treesearch.complementarity import Complementary

_MIDDLE = 0.5
"""The place between the relaxation's optimum and a feasible point where more tangents are taken, as a share."""
_BLOCKS = 16
"""Blocks of added rows that are kept apart before they are joined."""
_DROPPED = 0.1
"""Share of idle rows among the added ones from which they are dropped. Each time, the solver has to factorise anew."""


class OutOfTime(Exception):
    """Raised where the time limit is reached inside the search."""


class Relaxation:
    """The linear relaxation of an instance, which is minimised many times.

    Added rows hold for every point of the instance, whatever the columns' bounds are.

    Parameters
    ----------
    solve : SolveState
        The instance.

    Attributes
    ----------
    count : int
        Linear programs that were solved.
    certified : bool
        Whether the bounds of all of them follow from duals.
    """

    def __init__(self, solve: SolveState) -> None:
        self.solve = solve
        self.instance, self.compiled, self.arrays = solve.instance, solve.compiled, solve.arrays
        self.program = Complementary(solve.program, self.compiled)
        self.lower, self.upper = self.arrays.lower, self.arrays.upper
        self.session = open_tree_session(solve.backend, self.program.arrays, solve.options)
        self.added: list[Added] = []
        self.hull = None if solve.program.hull_cuts is None else HullCuts(solve.program)
        self.parts = [self.compiled.columns(getattr(self.instance, name)) for name in "sah"]
        self.count, self.certified = 0, True
        self.last: Solution | None = None
        self.tangents = NO_TANGENTS  # the last ones, unless they may have been dropped

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """Replace the bounds of the columns.

        Parameters
        ----------
        lower, upper : array
            Bounds (columns,).
        """
        self.session.set_bounds(*self.program.bounds(lower, upper))
        self.lower, self.upper = lower, upper

    def minimise(self) -> tuple[Array | None, float]:
        """Solve the linear program.

        Returns
        -------
        x : array or None
            The optimum (columns,), None where there is none.
        bound : float
            A lower bound, inf where the program is infeasible, -inf where the solver failed.

        Raises
        ------
        OutOfTime
            At the time limit.
        KeyboardInterrupt
            After Ctrl-C.
        """
        solution = self._run()
        if solution.status is Status.INFEASIBLE:
            return self._nothing(solution)
        if solution.status is not Status.OPTIMAL or solution.x is None:
            # Solve again in a new session: after many changes of rows and bounds a solver may fail from its last basis.
            self._reload()
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
        """The answer for an infeasible program."""
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

    def _reload(self) -> None:
        """Open a new session with the same rows and bounds."""
        self.session.close()
        self.session = open_tree_session(self.solve.backend, self.program.arrays, self.solve.options)
        for block in self.added:
            self.session.add_rows(block.matrix, block.lower, block.upper)
        self.session.set_bounds(*self.program.bounds(self.lower, self.upper))

    def rows(self) -> sp.csr_array:
        """The rows of the program, followed by those that were added.

        Returns
        -------
        scipy.sparse.csr_array
            Coefficients (rows, columns).
        """
        matrices = [self.program.arrays.matrix, *(block.matrix for block in self.added)]
        return sp.csr_array(sp.vstack(matrices, format="csr"))

    def row_duals(self) -> Array | None:
        """The duals at the last optimum.

        Returns
        -------
        array or None
            Duals (rows,), None where the solver gives none.
        """
        return None if self.last is None else self.last.row_duals

    def missing(self, x: Array) -> Array:
        """The amount by which tangents underestimate each image's share of the objective.

        Parameters
        ----------
        x : array
            A point (columns,).

        Returns
        -------
        array
            One number for each image, (n,).
        """
        program = self.solve.program
        if program.loss_tangents is None:
            return np.zeros(program.images)
        short = program.losses_at(x[self.solve.o]) - x[self.compiled.columns(program.losses)]
        return short * program.weights / program.images

    def add_tangents(self, x: Array, least: float, inner: Array | None) -> int:
        """Add tangents of the losses that their tangents underestimate too much.

        Parameters
        ----------
        x : array
            The optimum (columns,), where the tangents are taken.
        least : float
            The amount up to which an image needs no further tangent.
        inner : array, optional
            A feasible point (columns,). Tangents are also taken between x and it.

        Returns
        -------
        int
            The number of tangents.
        """
        missing = self.missing(x)
        images = np.flatnonzero(missing > least)
        if not len(images) or self.tangents.ignored(x):
            return 0
        points, at = [self._logits(x)[images]], images
        if inner is not None:
            points.append(self._logits(_MIDDLE * x + (1 - _MIDDLE) * inner)[images])
            at = np.concatenate([images, images])
        solve, home = self.solve, self.solve.program.loss_tangents
        assert home is not None
        rows = solve.program.tangents_at(np.concatenate(points), at)
        matrix = self.compiled.rows(rows)
        self.add(home, rows.names, matrix, rows.lower, rows.upper)
        largest = float((missing[images] / solve.program.weights[images]).max()) * solve.program.images
        self.tangents = Tangents(matrix, rows.lower, largest, x)
        return len(at)

    def _logits(self, x: Array) -> Array:
        return x[self.solve.o].reshape(self.solve.program.images, -1)

    def add_hull_cuts(self, x: Array, least: float) -> int:
        """Add the cuts of the relaxation "hull" that a point violates.

        Parameters
        ----------
        x : array
            The point (columns,).
        least : float
            The violation, relative to max(1, U), from which a cut is added.

        Returns
        -------
        int
            The number of cuts.
        """
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
        """Add rows that belong to a component of the instance.

        Parameters
        ----------
        home : MatrixConstraint
            The component, which gets those rows at the end that are not dropped.
        names : sequence
            Their names there.
        matrix : scipy.sparse.csr_array
            Coefficients (new rows, columns).
        low, high : array
            Bounds (new rows,).
        lasting : bool, default False
            Whether the rows are kept however long they are slack.
        """
        count, stay = len(names), np.full(len(names), lasting)
        self.added.append(Added([home] * count, list(names), matrix, low, high, np.zeros(count), stay))
        if len(self.added) > _BLOCKS:
            self.added = [Added.joined(self.added)]
        self.session.add_rows(matrix, low, high)
        self.solve.cuts += count

    def age(self, x: Array) -> None:
        """Count for each added row in how many optima in a row it was slack.

        Parameters
        ----------
        x : array
            The last optimum (columns,).
        """
        for block in self.added:
            block.age(x)

    def drop_idle(self, age: int) -> None:
        """Drop the added rows that were slack for long, where they are many.

        Parameters
        ----------
        age : int
            Optima in a row in which a dropped row was slack.
        """
        keep = [block.idle < age for block in self.added]
        rows = sum(len(part) for part in keep)
        if rows - sum(int(part.sum()) for part in keep) <= _DROPPED * rows:
            return
        self.session.keep_rows(np.concatenate(keep))
        self.tangents = NO_TANGENTS
        kept = [block.take(part) for block, part in zip(self.added, keep, strict=True)]
        self.added = [block for block in kept if len(block.idle)]

    def close(self) -> None:
        """Append the added rows to the instance, and free the solver."""
        self.session.close()
        for home in {id(home): home for block in self.added for home in block.homes}.values():
            for block in self.added:
                block.take(np.array([mine is home for mine in block.homes])).append_to(home, self.compiled)
