"""How far a network and its pruned version are apart over a box.

See mathematics:dist-1..3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from torch import nn

from oamip_model.certify.box import AnyBox, Box, check_box
from oamip_model.certify.pairs import TwinBounds, Twins, twin_bounds, twin_program, twins
from oamip_model.certify.program import BoxProgram
from oamip_model.certify.substitution import Line
from oamip_model.clock import Deadline, TimeIsUp, within
from oamip_model.errors import CheckError, InputError, SolverError
from oamip_model.network import read_network
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.solving.options import Solver, as_solver
from oamip_model.solving.protocol import Arrays, Backend, Solution, Status
from oamip_model.solving.registry import get_backend, solve_once

Proof: TypeAlias = Literal["certified", "claimed"]
NORMS = ("inf", "1")
_SAMPLES = 500
_GAP = 1e-4
_LEAST = 1e-3
"""Seconds that a program gets at least; below it there is no time for one."""
_NEAR = 1e-6
"""How far a claim must be on the right side of 0, relative to the largest logit. A solver's tolerance hides less."""


@dataclass(frozen=True, eq=False)
class Distance:
    """The distance of two networks over a box.

    Parameters
    ----------
    upper, lower : array
        Bounds (classes,) of ``abs(f_c - g_c)``, and the largest differences that were seen.
    points : array
        The inputs with these differences, (classes, inputs).
    proofs : tuple of Proof
        Whether the bound of each class is certified or a solver's claim.
    same : bool, optional
        Whether both networks have the same class everywhere, None where that is open.
    same_proof : Proof, optional
        How that was proved.
    differs : array, optional
        An input at which the classes differ.
    """

    upper: Array
    lower: Array
    points: Array
    proofs: tuple[Proof, ...]
    same: bool | None
    same_proof: Proof | None
    differs: Array | None

    def bound(self, norm: str = "inf") -> float:
        """A bound of the distance of the logits in this norm, "inf" or "1"."""
        _check_norm(norm)
        return float(self.upper.max() if norm == "inf" else self.upper.sum())

    def seen(self, norm: str = "inf") -> float:
        """A distance in this norm that some input of the box has, at least."""
        _check_norm(norm)
        # The largest difference of each class is a lower bound of the 1-norm.
        return float(self.lower.max())

    @property
    def proved(self) -> bool:
        """Whether every bound is reached, to the solver's gap."""
        return bool((self.upper - self.lower <= 10 * _GAP * self.upper + 2 * _NEAR * np.maximum(1.0, self.upper)).all())


def distance(
    network: Network | nn.Module | str | Path,
    pruned: Network | nn.Module | str | Path,
    domain: AnyBox,
    *,
    solver: str | Backend | Solver = "highs",
    classes: bool = True,
    input_shape: Sequence[int] | None = None,
) -> Distance:
    """How far a network and its pruned version are apart over a box.

    Parameters
    ----------
    network, pruned : Network, torch module or path
        Two networks with the same inputs and number of logits. Bounds are tightest where the second came from the first
        by pruning, with a refit or not.
    domain : Box, pair or str
        The box: lower and upper, each a number or an array of one input's shape; or what ``--domain`` takes.
    solver : str, backend or Solver, default "highs"
        Who solves the programs. Its time limit is that of the whole call, and its bounds hold whenever it stops.
    classes : bool, default True
        Whether the distance of each class is tightened by programs, besides the question of the same class.
    input_shape : sequence of int, optional
        Shape of one input, where a network is a module or a file that does not say it.

    Returns
    -------
    Distance
        Bounds, and inputs that show how far they are from the truth.

    Raises
    ------
    InputError
        For networks whose inputs or logits differ, or a domain that does not fit.
    TimeIsUp
        Where the time does not suffice for any bounds.

    Examples
    --------
    >>> import torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2)).eval()
    >>> network = om.read_network(module, (2,))
    >>> small = om.prune(network, {"0": [1, 1, 1, 1, 1, 0]}, threshold=0.5)
    >>> found = om.distance(network, om.read_network(small, (2,)), (0.0, 1.0))
    >>> found.proved, bool(found.lower.max() <= found.bound())
    (True, True)
    """
    asked = as_solver(solver)
    deadline = Deadline(asked.time_limit)
    with within(deadline):
        one, two = (net if isinstance(net, Network) else read_network(net, input_shape) for net in (network, pruned))
    if one.input_shape != two.input_shape or one.classes != two.classes:
        raise InputError(
            f"pruned: takes inputs {two.input_shape} and gives {two.classes} logits, the network {one.input_shape} and "
            f"{one.classes}"
        )
    with within(deadline):
        return _Search(one, two, check_box(domain, one), asked, deadline).run(classes)


class _Search:
    def __init__(self, one: Network, two: Network, box: Box, solver: Solver, deadline: Deadline) -> None:
        self.backend, self.solver, self.box, self.deadline = get_backend(solver.name), solver, box, deadline
        self.shape, self.nets = one.input_shape, (one, two)
        self.twins: Twins = twins(one, two, box)
        self.bounds: TwinBounds = twin_bounds(self.twins, box)
        self.program: BoxProgram | None = None
        low, high = self.bounds.logits
        self.upper, self.proofs = np.maximum(high, -low), ["certified"] * len(high)
        self.sides = [-low, high]
        self.lower, self.points = np.zeros(len(high)), np.zeros((len(high), box.size))
        self.differs: Array | None = None
        self.seen = [np.full(len(high), -np.inf), np.full(len(high), -np.inf)]
        self.look(box.sample(_SAMPLES, seed=3))

    def look(self, x: Array) -> None:
        """Take points of the box as witnesses where they are better than those so far."""
        x = np.clip(x, self.box.lower, self.box.upper)
        a, b = (net.replay(x.reshape(-1, *self.shape)) for net in self.nets)
        apart = np.abs(a - b)
        self.seen = [np.maximum(old, new.max(axis=0)) for old, new in zip(self.seen, (a - b, b - a), strict=True)]
        for c, row in enumerate(apart.argmax(axis=0).tolist()):
            if apart[row, c] > self.lower[c]:
                self.lower[c], self.points[c] = apart[row, c], x[row]
        other = np.flatnonzero(a.argmax(axis=1) != b.argmax(axis=1))
        if self.differs is None and len(other):
            self.differs = x[other[0]]

    def run(self, classes: bool) -> Distance:
        same: bool | None = None
        proof: Proof | None = None
        try:
            same, proof = self.same_class(2 if classes else 1)
            if classes:
                self.by_class()
        except TimeIsUp:
            # What is known by now holds.
            if self.deadline.seconds is None:
                raise
        upper, size = np.maximum(self.upper, 0.0), max(1.0, float(self.lower.max()))
        if (upper < self.lower - _NEAR * size).any():
            raise CheckError("distance: an input of the box has a larger distance than its bound")
        proofs: tuple[Proof, ...] = tuple("certified" if p == "certified" else "claimed" for p in self.proofs)
        # Rounding may leave a bound just below a known difference. Then the bound is that difference.
        return Distance(np.maximum(upper, self.lower), self.lower, self.points, proofs, same, proof, self.differs)

    def logit(self, net: int) -> int:
        """The node of the logits of the first or second network."""
        return self.bounds.starts[net + 1] - 1

    def solved(self, arrays: Arrays, share: int) -> Solution | None:
        """The solution of a program that gets one of so many shares of the time that is left; None without time."""
        left = self.deadline.left()
        if left is not None and left / share < _LEAST:
            return None
        options = self.solver.options(_GAP)
        answer = solve_once(
            self.backend, arrays, options if left is None else replace(options, time_limit=left / share)
        )
        if answer.interrupted:
            raise KeyboardInterrupt
        if answer.status in (Status.ERROR, Status.UNBOUNDED):
            raise SolverError(f"{answer.solver}: a program over the box ended as {answer.status}: {answer.message}")
        if answer.x is not None:
            self.look(answer.x[None, : self.box.size])
        return answer

    def base(self) -> BoxProgram:
        """The program of both networks, which is made once."""
        if self.program is None:
            self.program = twin_program(self.twins, self.bounds)
        return self.program

    def by_class(self) -> None:
        """Tighten the bound of each class by programs, the loosest first."""
        order = sorted((-self.sides[side][c], c, side) for c in range(len(self.upper)) for side in (0, 1))
        for number, (_, c, side) in enumerate(order):
            if self.sides[side][c] <= self.lower[c]:
                continue
            program = self.base()
            cost = np.zeros(program.width)
            cost[program.at(self.logit(1))[c]], cost[program.at(self.logit(0))[c]] = 1.0, -1.0
            answer = self.solved(program.arrays(cost if side else -cost, sense=-1), len(order) - number)
            if answer is None:
                return
            if answer.bound is not None and answer.bound < self.sides[side][c]:
                # A claim that a known point refutes is no bound. The one before is certified, and is kept.
                found = answer.bound + _NEAR * max(1.0, abs(answer.bound))
                if found < self.seen[side][c]:
                    continue
                self.sides[side][c] = min(self.sides[side][c], found)
                self.proofs[c] = "claimed"
                self.upper[c] = max(self.sides[0][c], self.sides[1][c])

    def same_class(self, parts: int) -> tuple[bool | None, Proof | None]:
        """Whether both networks have the same class everywhere, and how that was proved.

        parts: equal shares of the time, one of which this question has.
        """
        if self.differs is not None:
            return False, None
        proof: Proof = "certified"
        count = len(self.upper)
        first = [c for c in range(count) if (self.margins(0, c)[1] >= 0).all()]
        for number, c in enumerate(first):
            rivals = np.flatnonzero(self.margins(1, c)[0] <= 0)
            rivals = rivals[rivals != c]
            if not len(rivals):
                continue
            answer = self.solved(self.rival_program(c, rivals), parts * (len(first) - number))
            if self.differs is not None:
                return False, None
            if answer is None:
                return None, None
            scale = max(1.0, *(float(np.abs(self.bounds.envelope.high[self.logit(n)]).max()) for n in (0, 1)))
            if answer.status is not Status.INFEASIBLE and (answer.bound is None or answer.bound > -_NEAR * scale):
                return None, None
            proof = "claimed"
        return True, proof

    def margins(self, net: int, c: int) -> tuple[Array, Array]:
        """Bounds of the margins of class c over each class of one network.

        They are (classes,) each; the margin over itself is 0.
        """
        count = len(self.upper)
        one = np.zeros((count, count))
        one[:, c] += 1.0
        one -= np.eye(count)
        line = Line(((self.logit(net), sp.csr_array(one)),), np.zeros(count))
        return self.bounds.envelope.substituted(line, np.arange(count))

    def rival_program(self, c: int, rivals: Array) -> Arrays:
        """Where the first network has class c, the largest margin of a rival over it in the second one."""
        program = self.base().copied()
        own, other = program.at(self.logit(0)), program.at(self.logit(1))
        rest = np.delete(np.arange(len(own)), c)
        program.add_rows([(np.full(len(rest), own[c]), 1.0), (own[rest], -1.0)], 0.0, np.inf)
        low, high = (-side[rivals] for side in self.margins(1, c)[::-1])
        t = program.columns(np.array([low.min()]), np.array([high.max()]))
        q = program.binaries(len(rivals))
        # t is no more than the margin of the rival that is chosen.
        slack = high.max() - low
        pieces = [(np.full(len(q), t[0]), 1.0), (other[rivals], -1.0), (np.full(len(q), other[c]), 1.0), (q, slack)]
        program.add_rows(pieces, -np.inf, slack)
        program.rows.append(([(np.zeros(len(q), dtype=np.int64), q, np.ones(len(q)))], np.ones(1), np.ones(1)))
        cost = np.zeros(program.width)
        cost[t[0]] = 1.0
        return program.arrays(cost, sense=-1)


def _check_norm(norm: str) -> None:
    if norm not in NORMS:
        raise InputError(f"norm: got {norm!r}, accepted are {', '.join(NORMS)}")
