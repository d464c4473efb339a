"""The package's own search tree over linear relaxations (branch and cut).

A solver's own tree starts from nothing in every round of tangents. Here every node adds tangents
and cuts, which hold in all nodes, so that one tree is enough. The forward pass of any scores is a
feasible point.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping

import numpy as np

from oamip_model.network.maps import Array
from oamip_model.solving.options import TreeSearch
from oamip_model.solving.proofs.claims import settled_by_scores
from oamip_model.solving.protocol import ABSOLUTE_GAP, Solution, Status
from oamip_model.solving.state import OUT_OF_TIME, SolveState
from oamip_model.solving.treesearch.branching import Node, PseudoCosts, urgency, whole_column
from oamip_model.solving.treesearch.image_cuts import ImageCuts, ImageProgram
from oamip_model.solving.treesearch.ranges import Ranges
from oamip_model.solving.treesearch.relaxation import OutOfTime, Relaxation

_FRACTION = 1e-6
"""Largest distance from a whole number at which the value of an integral column counts as whole."""
_STALLED = 3
"""Rounds of cuts at the root end when so many in a row have raised the bound too little."""
_ROOT_AGE, _AGE = 4, 10
"""Optima in a row in which an added row may be slack before it is dropped, at the root and in other nodes."""
_SETTLED = 0.1
"""Share of the tolerance up to which all losses together may exceed their tangents."""
_REPORT = 20
"""Nodes between two reports of progress."""
_FAILED = 200
"""Linear programs that may fail in one search. A node whose linear program fails is branched on without it."""


class Tree:
    """Branch and cut on the integral columns of an instance.

    Every bound is the optimum of a linear program, or the best of all choices of a node's scores.
    Every incumbent is the forward pass of some scores. A node is closed where its bound reaches the
    cutoff.

    Parameters
    ----------
    solve : SolveState
        The instance. It gets the incumbent, the dual bound and the message.
    options : TreeSearch
        Options of the search.
    image_program : callable, optional
        Solves the program of one image. If it is given, the tree gets cuts from such programs.
    """

    def __init__(self, solve: SolveState, options: TreeSearch, image_program: ImageProgram | None = None) -> None:
        self.solve, self.options = solve, options
        self.lp = Relaxation(solve)
        self.image_cuts = None if image_program is None else ImageCuts(solve, self.lp, image_program, options)
        arrays = solve.arrays
        self.integral = np.flatnonzero(arrays.integral)
        self.settled = settled_by_scores(solve.compiled)
        self.ranges = Ranges(solve.program, solve.compiled)
        self.costs = PseudoCosts(len(arrays.cost), options.strong_branching, options.reliable)
        # The bound is valid since every node that is not closed is in ``open``, or below ``active``, at any time.
        self.open = [Node(-np.inf, 0, {})]
        self.active: float | None = None
        self.closed = np.inf
        self.nodes = self.numbered = self.failed = 0
        self.unsolved = False

    def run(self) -> None:
        """Search until the gap is closed, the time limit is reached or Ctrl-C is pressed."""
        try:
            self._search()
        except OutOfTime:
            self.solve.stopped = OUT_OF_TIME
        finally:
            self._note()
            self.solve.nodes, self.solve.rounds = self.nodes, self.lp.count
            self.lp.close()

    def _search(self) -> None:
        if self.solve.objective is None:
            self._offer(np.ones(len(self.solve.arrays.cost)))
        self._offer_held()
        while self.open and self.open[0].bound < self.cutoff():
            self.active = self.open[0].bound
            child: Node | None = heapq.heappop(self.open)
            while child is not None:
                self.active = child.bound
                child = self._look_at(child)
                self._note()
                if self.image_cuts is not None and self.image_cuts.due:
                    self._cut_by_image(self.image_cuts, child)
            self.active = None
        self.closed = min([self.closed, *(node.bound for node in self.open[:1])])
        self.open = []
        if self.solve.objective is None and self.closed == np.inf:
            self.solve.last = Solution(Status.INFEASIBLE, self.solve.backend.name, self.solve.backend.version())
        if self.unsolved:
            self.solve.stopped = "the solver failed on a linear program of the search tree"

    def _cut_by_image(self, cuts: ImageCuts, child: Node | None) -> None:
        """Add cuts from programs of single images to the root's relaxation, whose bound they raise.

        Nothing is done where the next node and all open ones reach the cutoff.
        """
        if min([node.bound for node in (child, *self.open[:1]) if node is not None], default=np.inf) >= self.cutoff():
            return
        x, _ = self._solve_node({}, root=True)
        if x is not None and cuts.add():
            # The bound of an image's program is a claim here, since the duals of its linear programs are not at hand.
            self.lp.certified = False
            self._solve_node({}, root=True)

    def cutoff(self) -> float:
        """The bound from which a node holds nothing better by more than the allowed gap.

        Returns
        -------
        float
            A dual bound, infinite without an incumbent.
        """
        best = self.solve.objective
        if best is None:
            return np.inf
        return best - max(0.9 * self.solve.tolerance * abs(best), 0.5 * ABSOLUTE_GAP)

    def _note(self) -> None:
        """Record the dual bound that is proved so far."""
        bounds = [self.closed, np.inf if self.active is None else self.active]
        bounds += [self.open[0].bound if self.open else np.inf]
        if self.solve.objective is not None:
            bounds.append(self.solve.objective)
        proved = min(bounds)
        if np.isfinite(proved):
            self.solve.prove(proved, self.lp.certified)

    def _look_at(self, node: Node) -> Node | None:
        """Solve a node and branch on it. Returns the child to solve next, None where an open node comes next."""
        self.nodes += 1
        fixed, tangents = dict(node.fixed), 0
        while True:
            ends = self._bounds(fixed)
            if self.settled and (least := self.solve.best_choice(*ends)) is not None:
                self._close(least)
                return None
            x, proved, bound = None, -np.inf, self.ranges.least(*ends)
            if bound < self.cutoff():
                x, proved = self._solve_node(fixed, root=self.nodes == 1)
            self.active = bound = max(bound, proved, node.bound)
            if bound >= self.cutoff():
                self._close(bound)
                return None
            if x is None:
                return self._branch_blindly(None, fixed, bound)
            if self._offer(x):
                self._offer_held()
            if self.nodes % _REPORT == 1:
                self.solve.report_tree(self.nodes, len(self.open))
            columns = self._fractional(x, fixed)
            if not len(columns) and bound < self.cutoff():
                self.solve.consider(x)
                tangents += 1
                if tangents <= self.options.tangent_rounds and self.lp.add_tangents(x, self._least(), None):
                    continue
            if bound >= self.cutoff():
                self._close(bound)
                return None
            if not len(columns):
                return self._branch_blindly(x, fixed, bound)
            candidates = self.costs.candidates(
                columns, x[columns], urgency(self.solve.program, self.solve.compiled, x)[columns]
            )
            base, most, basis = bound, self.cutoff() - bound, self.lp.session.basis()

            def rise(column: int, side: int, base: float = base, x: Array = x, basis: object = basis) -> float:
                # Where the solver ignores tangents, intervals alone tell the sides apart.
                ends = self._bounds({**fixed, column: float(np.floor(x[column]) + side)})
                if (least := self.ranges.least(*ends)) >= self.cutoff() or self.lp.tangents.ignored(x):
                    return max(least - base, 0.0)
                self.lp.set_bounds(*ends)
                # From the node's own basis only one bound is new. After another side, several would be.
                self.lp.session.set_basis(basis)
                _, value = self.lp.minimise()
                return max(value - base, least - base, 0.0)

            choice = self.costs.choose(candidates, x[candidates], rise, most)
            sides = [float(np.floor(x[choice.column]) + side) for side in (0, 1)]
            shut = [gain >= most for gain in choice.gains]
            self._close(min([base + g for g, closed in zip(choice.gains, shut, strict=True) if closed], default=np.inf))
            if all(shut):
                return None
            if not any(shut):
                break
            fixed[choice.column] = sides[shut.index(False)]
        children = [
            self._child(bound + gain, {**fixed, choice.column: side})
            for gain, side in zip(choice.gains, sides, strict=True)
        ]
        near, far = sorted(children)
        heapq.heappush(self.open, far)
        if near.bound > self.open[0].bound + self.options.dive * max(self.cutoff() - self.open[0].bound, 0.0):
            heapq.heappush(self.open, near)
            return None
        return near

    def _close(self, bound: float) -> None:
        """Note the bound of a node, or of a side, that is closed."""
        self.closed = min(self.closed, bound)

    def _branch_blindly(self, x: Array | None, fixed: Mapping[int, float], bound: float) -> Node | None:
        """Branch where no column is fractional, or where the linear program failed (x is None)."""
        self.failed += x is None
        bounds, kinds = self._bounds(fixed), (self.solve.arrays.integral, self.solve.s)
        if self.failed > _FAILED or (found := whole_column(*kinds, x, *bounds)) is None:
            self.unsolved |= x is None
            self._close(bound)
            return None
        column, side = found
        lower, upper = (int(end[column]) for end in bounds)
        for other in range(lower, upper + 1):
            if other != side:
                heapq.heappush(self.open, self._child(bound, {**fixed, column: float(other)}))
        return self._child(bound, {**fixed, column: side})

    def _child(self, bound: float, fixed: Mapping[int, float]) -> Node:
        self.numbered += 1
        return Node(bound, self.numbered, fixed)

    def _bounds(self, fixed: Mapping[int, float]) -> tuple[Array, Array]:
        """Bounds (columns,) of all columns in a node."""
        lower, upper = self.solve.arrays.lower.copy(), self.solve.arrays.upper.copy()
        if fixed:
            columns = list(fixed)
            lower[columns] = upper[columns] = list(fixed.values())
        return lower, upper

    def _solve_node(self, fixed: Mapping[int, float], root: bool) -> tuple[Array | None, float]:
        """The optimum of a node's relaxation after rounds of cuts and tangents, None if it failed, and its bound."""
        self.lp.set_bounds(*self._bounds(fixed))
        inner = self.solve.best if root else None
        most = self.options.root_rounds if root else self.options.node_rounds
        best, stalled, number = -np.inf, 0, 0
        while True:
            x, bound = self.lp.minimise()
            if x is None:
                return None, max(best, bound)
            gap = self.cutoff() - bound if self.solve.objective is not None else max(abs(bound), 1.0)
            self.lp.age(x)
            if gap <= 0 or number >= most + self.options.tangent_rounds:
                return x, max(bound, best)
            stalled = stalled + 1 if bound - best < self.options.stall * gap else 0
            best = max(best, bound)
            missing = float(self.lp.missing(x).sum())
            new = self.lp.add_tangents(x, self._least(), inner)
            if number < most and (stalled < _STALLED or not root):
                new += self.lp.add_hull_cuts(x, self.options.root_violation if root else self.options.node_violation)
            elif missing < 0.1 * gap:
                return x, best
            if not new:
                return x, best
            self.lp.drop_idle(_ROOT_AGE if root else _AGE)
            number += 1
            if root:
                self.solve.prove(best, self.lp.certified)
                self.solve.report_tree(1, 0)

    def _least(self) -> float:
        """The amount up to which an image's share of the objective may exceed its tangents."""
        best = self.solve.objective
        scale = ABSOLUTE_GAP if best is None else max(self.solve.tolerance * abs(best), ABSOLUTE_GAP)
        return _SETTLED * scale / self.solve.program.images

    def _offer(self, x: Array) -> bool:
        """Take the forward pass of the scores at x as incumbent where it is better. Returns whether it was."""
        return self.solve.offer(x[self.solve.s][:, None], x)

    def _offer_held(self) -> None:
        """Improve the incumbent by linear programs with its states fixed, where its scores are not all integral."""
        solve = self.solve
        if bool(solve.arrays.integral[solve.s].all()):
            return
        for _ in range(self.options.held_solves):
            if solve.best is None:
                return
            held = {int(k): float(np.round(solve.best[k])) for k in self.integral}
            self.lp.set_bounds(*self._bounds(held))
            for _ in range(self.options.tangent_rounds):
                x, _bound = self.lp.minimise()
                if x is None or not self.lp.add_tangents(x, self._least(), None):
                    break
            if x is None or not self._offer(x):
                return

    def _fractional(self, x: Array, fixed: Mapping[int, float]) -> Array:
        """Integral columns whose value is not whole, and that are not fixed."""
        columns = self.integral[np.abs(x - np.round(x))[self.integral] > _FRACTION]
        return np.array([k for k in columns.tolist() if k not in fixed], dtype=np.int64)
