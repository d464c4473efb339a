"""Units whose ReLU is always on, or never on, over a box.

See mathematics:stable-1..3. Bounds decide most of them, and linear programs some of the rest. Then
one integer program for each layer looks for an input at which most of the others change their
state. It is repeated until there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.certify.box import Box
from oamip_model.certify.flat import Flat, flat
from oamip_model.certify.program import BoxProgram
from oamip_model.certify.substitution import Envelope, add_node
from oamip_model.clock import Deadline, TimeIsUp, tick, within
from oamip_model.errors import SolverError
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.solving.options import Solver
from oamip_model.solving.protocol import Arrays, Backend, Options, Solution, Status
from oamip_model.solving.registry import get_backend, open_cost_session, solve_once

Flags = NDArray[np.bool_]
Way: TypeAlias = Literal["bounds", "linear programs", "integer program"]
WAYS: tuple[Way, ...] = ("bounds", "linear programs", "integer program")
"""How a ReLU was decided, from the cheapest on."""
_SAMPLES = 2000
_NEAR = 1e-6
"""Share of a pre-activation's largest value by which the integer program must have it on the right
side of 0. A solver's tolerance is far smaller."""
_GAP = 1e-4
_LEAST = 1e-3
"""Seconds that a program gets at least."""


@dataclass
class Layer:
    """The ReLUs of one layer that are never on, and always on.

    way: how each was decided, as its place in :data:`WAYS`.
    """

    off: Flags
    on: Flags
    way: NDArray[np.int64]


@dataclass
class Stable:
    """The layers with a ReLU, by their number.

    complete: whether the search for stable ReLUs ended.
    low, high: bounds of each layer's pre-activations over the box.
    """

    layers: dict[int, Layer] = field(default_factory=dict)
    low: dict[int, Array] = field(default_factory=dict)
    high: dict[int, Array] = field(default_factory=dict)
    complete: bool = True


def find_stable(network: Network, box: Box, solver: Solver, wanted: dict[int, tuple[Flags, Flags]] | None = None
                ) -> Stable:  # fmt: skip
    """The stable ReLUs of a network over a box, within the solver's time limit.

    ReLUs that are not decided by then count as unstable, and ``complete`` is False.

    Parameters
    ----------
    network : Network
        The network.
    box : Box
        The box.
    solver : Solver
        The solver of the programs.
    wanted : dict of int to tuple, optional
        The ReLUs (never on, always on) of each layer that alone are decided by programs. By default
        they are all that no sample refutes.

    Returns
    -------
    Stable
        The stable ReLUs of each layer, and how each was proved.
    """
    deadline = Deadline(solver.time_limit)
    try:
        with within(deadline):
            search = _Search(network, box, solver, wanted, deadline)
    except TimeIsUp:
        if deadline.seconds is None:
            raise
        return Stable(complete=False)
    return search.run()


class _Search:
    def __init__(
        self,
        network: Network,
        box: Box,
        solver: Solver,
        wanted: dict[int, tuple[Flags, Flags]] | None,
        deadline: Deadline,
    ) -> None:
        self.network, self.box, self.solver, self.wanted = network, box, solver, wanted
        self.backend: Backend = get_backend(solver.name)
        self.deadline = deadline
        self.net: Flat = flat(network)
        self.found = Stable()
        self.envelope = Envelope(box)
        self.values = self.net.values(box.sample(_SAMPLES))

    def run(self) -> Stable:
        pre = {node: k for k, node in enumerate(self.net.pre)}
        for number, node in enumerate(self.net.nodes):
            if not self._in_time(add_node, self.envelope, node):
                break  # what follows has no bounds at all
            k = pre.get(number)
            if k is None or self.network.layers[k].activation != "relu":
                continue
            low, high = self.envelope.low[number], self.envelope.high[number]
            way = np.zeros(node.size, dtype=np.int64)
            sides = self._candidates(k, low, high, self.values[number])
            deep = any(source >= 0 for source, _ in node.terms)
            if deep and any(side.any() for side in sides):
                self._in_time(self._decide, k, number, sides, way)
            low, high = self.envelope.low[number], self.envelope.high[number]
            self.found.layers[k] = Layer(high <= 0, (low >= 0) & (high > 0), way)
            self.found.low[k], self.found.high[k] = low, high
        return self.found

    def _in_time(self, part: Callable[..., None], *given: Any) -> bool:
        """Do a part of the search; returns whether there was time for all of it."""
        try:
            with within(self.deadline):
                part(*given)
        except TimeIsUp:
            if self.deadline.seconds is None:
                raise
            self.found.complete = False
            return False
        return True

    def _candidates(self, k: int, low: Array, high: Array, seen: Array) -> tuple[Flags, Flags]:
        """ReLUs that may be never on, and always on, which bounds do not decide and no sample refutes."""
        was_on, was_off = (np.asarray(side.any(axis=0)) for side in (seen > 0, seen < 0))
        if self.wanted is not None:
            never, always = self.wanted.get(k, (np.zeros_like(was_on), np.zeros_like(was_on)))
            return never & (high > 0), always & (low < 0)
        layer = self.network.layers[k]
        if layer.units is not None:
            # A unit that changes its state somewhere cannot be removed, whatever its other positions do.
            was_on, was_off = (_any_of_unit(flags, layer.units) for flags in (was_on, was_off))
        return (high > 0) & ~was_on, (low < 0) & ~was_off

    def _decide(self, k: int, number: int, sides: tuple[Flags, Flags], way: NDArray[np.int64]) -> None:
        """Decide the candidates of a layer; the envelope's bounds of it get tighter where that is proved."""
        low, high = self.envelope.low[number], self.envelope.high[number]
        program = program_until(self.net.until(k), self.envelope)
        own = program.at(number)
        self._by_lines(program, own, sides, low, high, way)
        never, always = (np.flatnonzero(side) for side in (sides[0] & (high > 0), sides[1] & (low < 0)))
        near = _NEAR * np.maximum(np.abs(low), np.abs(high))
        never, always = never[low[never] < -near[never]], always[high[always] > near[always]]
        while len(never) + len(always):
            tick("stable units")
            x, none_left = self._one_that_changes(program, own, never, always, near)
            if none_left:
                high[never], low[always] = np.minimum(high[never], 0.0), np.maximum(low[always], 0.0)
                way[never] = way[always] = 2
                return
            if x is None:
                self.found.complete = False
                return
            seen = self.net.until(k).values(np.clip(x[None, : self.box.size], self.box.lower, self.box.upper))[-1][0]
            y = x[program.width :]
            # Units that change within the solver's tolerance are excluded too, though not in the network itself.
            gone = (y > 0.5) | np.concatenate([seen[never] > 0, seen[always] < 0])
            units = self.network.layers[k].units
            if self.wanted is not None and gone.any():
                return
            keep = ~gone
            first = len(never)
            if units is not None:
                out = (
                    np.isin(units[never], units[never[gone[:first]]]),
                    np.isin(units[always], units[always[gone[first:]]]),
                )
                keep &= ~np.concatenate(out)
            never, always = never[keep[:first]], always[keep[first:]]

    def _by_lines(
        self, program: BoxProgram, own: NDArray[np.int64], sides: tuple[Flags, Flags], low: Array, high: Array,
        way: NDArray[np.int64],
    ) -> None:  # fmt: skip
        """Tighten bounds by linear programs, one for each candidate."""
        arrays = _relaxed(program.arrays())
        options = self.solver.options(_GAP)
        session = open_cost_session(self.backend, arrays, options)
        try:
            for side, sign in ((0, -1.0), (1, 1.0)):
                for i in np.flatnonzero(sides[side]).tolist():
                    tick("stable units")
                    cost = np.zeros(len(arrays.cost))
                    cost[own[i]] = sign
                    session.set_cost(cost)
                    answer = session.solve(time_limit=_limited(options, self.deadline).time_limit)
                    _check(answer)
                    if answer.status is not Status.OPTIMAL or not answer.certified or answer.bound is None:
                        continue
                    way[i] = max(way[i], 1) if answer.bound >= 0 else way[i]
                    if side == 0:
                        high[i] = min(high[i], -answer.bound)
                    else:
                        low[i] = max(low[i], answer.bound)
        finally:
            session.close()

    def _one_that_changes(
        self, program: BoxProgram, own: NDArray[np.int64], never: NDArray[np.int64], always: NDArray[np.int64],
        near: Array,
    ) -> tuple[Array | None, bool]:  # fmt: skip
        """A point at which most candidates change their state, and whether it is proved that none does anywhere."""
        arrays = changing(program, own, never, always, near)
        options = self.solver.options(_GAP)
        answer = solve_once(self.backend, arrays, _limited(options, self.deadline))
        _check(answer)
        if answer.bound is not None and answer.bound < 0.5 and answer.status in (Status.OPTIMAL, Status.FEASIBLE):
            return None, True
        if answer.x is None or answer.x[program.width :].max() < 0.5:
            return None, False
        return answer.x, False


def program_until(net: Flat, envelope: Envelope) -> BoxProgram:
    """The program of a network, with the bounds of an envelope of its nodes."""
    program = BoxProgram(envelope.box)
    for node, low, high in zip(net.nodes, envelope.low, envelope.high, strict=False):
        program.add_node(node, low, high)
    return program


def changing(
    program: BoxProgram, own: NDArray[np.int64], never: NDArray[np.int64], always: NDArray[np.int64], near: Array
) -> Arrays:
    """The program in which the most candidates change their state at once.

    The last columns say which do.
    """
    low, high = (np.concatenate(side)[own] for side in (program.low, program.high))
    base, count = program.arrays(), len(never) + len(always)
    y = program.width + np.arange(count)
    at = np.concatenate([never, always])
    # y = 1 says a >= -near, or a <= near: where no point has that, a is on its side of 0.
    value = np.concatenate([low[never] + near[never], high[always] - near[always]])
    row_low = np.concatenate([low[never], np.full(len(always), -np.inf)])
    row_high = np.concatenate([np.full(len(never), np.inf), high[always]])
    row = np.arange(count)
    wide = sp.csr_array(
        (np.concatenate([np.ones(count), value]), (np.tile(row, 2), np.concatenate([own[at], y]))),
        shape=(count, program.width + count),
    )
    old = sp.csr_array(sp.hstack([base.matrix, sp.csr_array((base.matrix.shape[0], count))], format="csr"))
    return Arrays(
        sp.csr_array(sp.vstack([old, wide], format="csr")), np.concatenate([base.cost, np.ones(count)]),
        np.concatenate([base.lower, np.zeros(count)]), np.concatenate([base.upper, np.ones(count)]),
        np.concatenate([base.row_lower, row_low]), np.concatenate([base.row_upper, row_high]),
        np.concatenate([base.integral, np.ones(count, dtype=bool)]), sense=-1,
    )  # fmt: skip


def _any_of_unit(flags: Flags, units: NDArray[np.int64]) -> Flags:
    return np.asarray((np.bincount(units, flags) > 0)[units])


def _relaxed(arrays: Arrays) -> Arrays:
    return replace(arrays, integral=np.zeros_like(arrays.integral))


def _limited(options: Options, deadline: Deadline) -> Options:
    left = deadline.left()
    return options if left is None else replace(options, time_limit=max(left, _LEAST))


def _check(answer: Solution) -> None:
    if answer.interrupted:
        raise KeyboardInterrupt
    if answer.status in (Status.ERROR, Status.INFEASIBLE, Status.UNBOUNDED):
        raise SolverError(f"{answer.solver}: a program over the box ended as {answer.status}: {answer.message}")
