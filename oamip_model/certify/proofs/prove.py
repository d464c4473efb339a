"""A proof of a search's bound.

:mod:`oamip_model.proofcheck` checks its file.

See mathematics:proof-1..4. The tree of the proof is grown anew, over the rows that the checker knows: bounds by
intervals, big-M rows and tangents. So a search may use any cuts and bounds, of which the proof holds nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from oamip_model.certify.proofs.rows import ProofProgram, check_provable
from oamip_model.certify.proofs.tangents import LossTangents
from oamip_model.clock import Deadline
from oamip_model.errors import CheckError
from oamip_model.formulation.gates import PRODUCT
from oamip_model.formulation.settings import Formulation
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.proofcheck.check import hash_of
from oamip_model.proofcheck.record import Multiplier, Node, Program, Proof, Tangent
from oamip_model.proofcheck.rows import Column
from oamip_model.solving.options import Solver
from oamip_model.solving.proofs.certificates import Rows, weak_duality
from oamip_model.solving.proofs.no_point import least_violation
from oamip_model.solving.protocol import Solution, Status, TreeSession
from oamip_model.solving.registry import get_backend, open_tree_session

_BELOW = 1e-6
"""Share by which the proof's bound lies below that of the search, whose linear programs had a tolerance too."""
_SPARE = 1e-9
"""What a leaf's bound must have beyond the proof's: rounding of a row's right side."""
_ROUNDS = 40
_GAP = 1e-9
_SLIGHTLY = 1e-13
"""Share by which the multipliers of a loss are kept below its cost, which no rounding of their sum exceeds."""
_LARGE = 1e6
"""Factor of multipliers that show that a leaf holds no point."""


def prove(
    network: Network,
    images: Array,
    labels: NDArray[np.int64],
    form: Formulation,
    scores: dict[str, Array],
    objective: float,
    bound: float,
    *,
    solver: Solver | None = None,
) -> Proof:
    """The proof of a bound that a search has stated.

    Parameters
    ----------
    network : Network
        The network.
    images : array
        Images (n, *input_shape).
    labels : array of int
        Labels (n,).
    form : Formulation
        The program.
    scores : dict of str to array
        The incumbent, (units,) of each group.
    objective : float
        Its objective.
    bound : float
        The dual bound. A bound lower by a millionth is proved.
    solver : Solver, optional
        The solver of the linear programs, with the time limit of the whole proof.

    Returns
    -------
    Proof
        The proof, not yet checked.

    Raises
    ------
    InputError
        Where proofs do not cover the program.
    CheckError
        Where the bound turns out to be false, or the time does not suffice.
    """
    check_provable(network, form)
    return _Writer(network, network.check_images(images), labels, form, solver or Solver()).run(
        scores, objective, bound
    )


class _Writer(ProofProgram):
    def __init__(
        self, network: Network, images: Array, labels: NDArray[np.int64], form: Formulation, solver: Solver
    ) -> None:
        super().__init__(network, images, labels, form)
        last, width = len(network.layers) - 1, len(self.columns)
        self.losses = np.array([self.columns["t", n, 0, 0] for n in range(len(images))])
        logits = [[self.columns["a", n, last, c] for c in range(network.classes)] for n in range(len(images))]
        self.tangents = LossTangents(self.losses, np.array(logits), self.labels, width)
        self.nodes: list[Node] = []
        self.deadline = Deadline(solver.time_limit)
        self.solver = solver
        self.session = self._opened()

    def run(self, scores: dict[str, Array], objective: float, bound: float) -> Proof:
        """The proof, after the tree has been grown."""
        self.bound = float(bound - _BELOW * max(1.0, abs(bound)))
        try:
            self._grow()
        finally:
            self.session.close()
        sides = (
            [[layer[n].tolist() for layer in side] for n in range(len(self.images))] for side in (self.low, self.high)
        )
        lower, upper = (tuple(tuple(tuple(layer) for layer in image) for image in side) for side in sides)
        form = self.form
        program = Program(form.gate, form.scores, form.loss, form.sparsity, form.weight, form.margin)  # type: ignore[arg-type]
        proof = Proof(
            1, "scores", self.network.fingerprint, tuple(map(hash_of, self.images)), tuple(self.labels), program,
            tuple(np.concatenate([scores[g.name] for g in self.network.groups]).tolist()),
            float(objective + _BELOW * max(1.0, abs(objective))), self.bound, lower, upper, tuple(self.nodes),
        )  # fmt: skip
        return replace(proof, digest=proof.digested())

    def _grow(self) -> None:
        """The tree below the root, depth first; a node is a leaf where its bound suffices."""
        binary = self.form.scores == "binary"
        self.whole = [c for c in self.columns if c[0] in ("z", "q") or (binary and c[0] == "s")]
        waiting: list[tuple[int, dict[Column, float]]] = [(0, {})]
        self.nodes.append(Node("leaf"))
        while waiting:
            number, fixed = waiting.pop()
            if self.deadline.over():
                raise CheckError("proof: the time limit was over before the proof was complete")
            found = self._leaf(fixed)
            if isinstance(found, Node):
                self.nodes[number] = found
                continue
            children = len(self.nodes), len(self.nodes) + 1
            self.nodes += [Node("leaf"), Node("leaf")]
            kind, n, k, i = found
            place = ("score", 0, 0, i) if kind == "s" else ("choice" if kind == "q" else "state", n, k, i)
            self.nodes[number] = Node(*place, *children)  # type: ignore[arg-type]
            waiting += [(child, {**fixed, found: float(value)}) for value, child in enumerate(children)]

    def _leaf(self, fixed: dict[Column, float]) -> Node | Column:
        """The leaf with these columns fixed, or the column to split by where its bound does not suffice."""
        lower, upper = self.arrays.lower.copy(), self.arrays.upper.copy()
        for place, value in fixed.items():
            lower[self.columns[place]] = upper[self.columns[place]] = value
        wanted = self.bound + _SPARE * max(1.0, abs(self.bound))
        column: Column | None = None
        for _ in range(_ROUNDS):
            answer = self._answer(lower, upper)
            if answer.status is Status.INFEASIBLE:
                empty = self._empty(answer, lower, upper)
                if empty is not None:
                    return empty
                column = None
                break
            if answer.x is None or answer.row_duals is None:
                column = None
                break
            if answer.certified and answer.bound is not None and answer.bound >= wanted:
                return self._node(answer.row_duals)
            column = self._fractional(answer.x, fixed)
            if self.form.loss == "hinge" or not self._cut(answer.x, -np.inf if column is None else wanted):
                break
        if column is None:
            free = [c for c in self.whole if c not in fixed]
            if not free:
                raise CheckError("proof: a leaf with all states fixed does not reach the search's bound")
            return free[0]
        return column

    def _answer(self, lower: Array, upper: Array) -> Solution:
        """The solution of the linear program with these bounds, in a new session where the old one fails."""
        self.session.set_bounds(lower, upper)
        answer = self.session.solve(relaxed=True)
        if answer.status not in (Status.OPTIMAL, Status.INFEASIBLE):
            self.session.close()
            self.session = self._opened()
            if len(self.tangents.images):
                self.session.add_rows(self.tangents.rows.matrix, self.tangents.rows.low, self.tangents.rows.high)
            self.session.set_bounds(lower, upper)
            answer = self.session.solve(relaxed=True)
        if answer.interrupted:
            raise KeyboardInterrupt
        return answer

    def _opened(self) -> TreeSession:
        options = replace(self.solver, time_limit=None).options(_GAP)
        return open_tree_session(get_backend(self.solver.name), self.arrays, options)

    def _fractional(self, x: Array, fixed: dict[Column, float]) -> Column | None:
        """The column to split by: the ReLU farthest from its graph, or the score from whole; None for none."""
        best, most = None, 1e-7
        for column in self.whole:
            value = x[self.columns[column]]
            off = abs(value - round(value))
            if column in fixed or off < 1e-9:
                continue
            if column[0] != "s":
                # A fractional state needs no branching where the output is right.
                off = 1e-4 * off + self._off(x, column)
            if off > most:
                best, most = column, off
        return best

    def _off(self, x: Array, column: Column) -> float:
        """By how much the output of a ReLU or a window differs from what it should be, relative to the largest."""
        kind, n, k, i = column
        if kind == "q":
            i //= self.windows[k].shape[1]
            entries = [float(x[self.columns["a", n, k, int(j)]]) for j in self.windows[k][i] if j >= 0]
            low, high = self.output_ends(n, k, i)
            return abs(float(x[self.columns["h", n, k, i]]) - max(entries)) / max(high - low, 1e-12)
        high = max(float(self.high[k][n, i]), 1e-12)
        a, h = (float(x[self.columns[kind, n, k, i]]) for kind in ("a", "h"))
        unit = self.unit(k, i)
        s = 1.0 if unit is None else float(x[self.columns["s", 0, 0, unit]])
        right = s * max(a, 0.0) if self.form.gate == PRODUCT else max(a - (1.0 - s) * high, 0.0)
        return abs(h - right) / high

    def _cut(self, x: Array, wanted: float) -> bool:
        """Add tangents at x where they could raise the node's bound to what is wanted; returns whether any were."""
        self.tangents.age(x, self.session)
        short = self.tangents.short(x)
        # With its true losses x has an objective that no tangents exceed.
        if not short.any() or float(self.arrays.cost @ x + self.arrays.cost[self.losses] @ short) < wanted:
            return False
        self.tangents.add(x, np.flatnonzero(short), self.session)
        return True

    def _node(self, duals: Array) -> Node:
        """A leaf with these multipliers; those with the wrong sign for their row, by rounding, are left out."""
        rows, tangents = [], []
        count = len(self.rows.names)
        duals = self._within_loss(duals)
        for (family, n, k, i), low, high, y in zip(self.rows.names, self.rows.low, self.rows.high, duals, strict=False):
            if y != 0 and np.isfinite(low if y > 0 else high):
                rows.append(Multiplier(family, n, k, i, float(y)))
        for n, q, y in zip(self.tangents.images.tolist(), self.tangents.slopes, duals[count:], strict=True):
            if y > 0:
                tangents.append(Tangent(n, tuple(q[:-1].tolist()), float(y)))
        return Node("leaf", rows=tuple(rows), tangents=tuple(tangents))

    def _within_loss(self, duals: Array) -> Array:
        """The multipliers with those of each image's loss made smaller where together they exceed its cost."""
        duals, count = duals.copy(), len(self.rows.names)
        images = np.full(len(duals), -1)
        for r, (family, n, _, _) in enumerate(self.rows.names):
            images[r] = n if family == "hinge" else -1
        images[count:] = self.tangents.images
        duals[(images >= 0) & (duals < 0)] = 0.0
        cost = self.form.weight / len(self.images)
        for n in range(len(self.images)):
            at = images == n
            total = float(duals[at].sum())
            if total > cost * (1.0 - _SLIGHTLY):
                duals[at] *= cost * (1.0 - _SLIGHTLY) / total if total > 0 else 0.0
        return duals

    def _empty(self, answer: Solution, lower: Array, upper: Array) -> Node | None:
        """A leaf that holds no point: multiples of a ray prove any bound; None where none is found that does."""
        blocks = [Rows(self.arrays.matrix, self.arrays.row_lower, self.arrays.row_upper), self.tangents.rows]
        options = replace(self.solver, time_limit=self.deadline.left())
        for given in (True, False):
            found = answer.ray if given else least_violation(blocks, lower, upper, options)
            if found is None or not np.abs(found).max() > 0:
                continue
            y = found * (_LARGE / np.abs(found).max())
            for signed in (y, -y):
                if weak_duality(self.arrays.cost, lower, upper, blocks, signed) >= self.bound:
                    return self._node(signed)
        return None
