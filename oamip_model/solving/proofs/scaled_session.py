"""Sessions that scale a program, and prove the bounds of linear programs.

Points, duals and bounds come back in the units of the program (mathematics:scale-1..2).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.solving.proofs.certificates import Rows, weak_duality
from oamip_model.solving.proofs.opinions import needs_opinion, settled
from oamip_model.solving.proofs.scaling import Scale
from oamip_model.solving.protocol import Array, Arrays, Session, Solution, Status, append_rows

Others: TypeAlias = Callable[[Arrays, float | None, float], Iterable[Solution]]
"""Gives other solutions of a linear program, from the program, the time limit, and the seconds of it that have passed.
Each is computed when it is asked for."""


class ScaledSession:
    """A session in scaled units around a backend's session.

    It is a Session, a CostSession and a TreeSession as far as the inner one is.

    A linear program's bound is the one that its duals prove over the rows in their own units, and
    the solution is certified. Without duals, for integer programs, and without ``proofs``, the
    bound is the solver's claim.

    Parameters
    ----------
    arrays : Arrays
        The program, in its own units.
    scale : Scale
        Its scale.
    inner : Session
        A session of the scaled program.
    sizes : array
        The divisor of each row, (rows,).
    others : callable, optional
        Gives second opinions. They are asked for where the solver claims, without a proof, that a
        linear program has no point or no optimum.
    proofs : bool, default True
        Whether duals are turned into certified bounds.
    """

    def __init__(
        self,
        arrays: Arrays,
        scale: Scale,
        inner: Session,
        sizes: Array,
        others: Others | None = None,
        proofs: bool = True,
    ) -> None:
        self._arrays, self._scale, self.inner, self._others = arrays, scale, inner, others
        self._proofs = proofs
        self._blocks = [Rows(arrays.matrix, arrays.row_lower, arrays.row_upper)]
        self._sizes = [sizes]
        self._low, self._high = scale.low, scale.high

    def solve(self, start: Array | None = None, *, relaxed: bool = False, time_limit: float | None = None) -> Solution:
        """Solve from a feasible point, perhaps relaxed.

        See :meth:`~oamip_model.solving.protocol.Session.solve`.
        """
        found = self._answer(start, relaxed, time_limit)
        linear = relaxed or not self._arrays.is_mip
        if self._others is None or not linear or not needs_opinion(found):
            return found
        refuted = ""
        if found.status is Status.UNBOUNDED and np.isfinite(self._proved(np.zeros(sum(map(len, self._sizes))))):
            refuted = "the bounds of its columns bound its objective"
        program = self._arrays
        for block in self._blocks[1:]:
            program = append_rows(program, block.matrix, block.low, block.high)
        program = replace(program, integral=np.zeros_like(program.integral))
        return settled(found, self._others(program, time_limit, found.seconds), refuted)

    def _answer(self, start: Array | None, relaxed: bool, time_limit: float | None) -> Solution:
        """The solution of the inner session, in the program's own units, with the bound that its duals prove."""
        given = None if start is None else np.asarray(start, dtype=np.float64) / self._scale.units
        found = self.inner.solve(given, relaxed=relaxed, time_limit=time_limit)
        x = None
        if found.x is not None:
            x = np.clip(found.x * self._scale.units, self._arrays.lower, self._arrays.upper)
        objective = None if x is None else self._arrays.objective(x)
        duals = None if found.row_duals is None else found.row_duals / np.concatenate(self._sizes)
        found = replace(found, x=x, objective=objective, row_duals=duals)
        linear = self._proofs and (relaxed or not self._arrays.is_mip)
        proved = self._proved(duals) if found.status is Status.OPTIMAL and linear and duals is not None else np.inf
        if linear and found.status is Status.INFEASIBLE and found.ray is not None:
            ray = found.ray / np.concatenate(self._sizes)
            return replace(found, ray=ray, certified=self._has_no_point(ray))
        return replace(found, bound=proved, certified=True) if np.isfinite(proved) else found

    def _proved(self, duals: Array) -> float:
        """The bound on the optimum that duals (rows,) prove."""
        a = self._arrays
        value = weak_duality(a.sense * a.cost, self._low, self._high, self._blocks, a.sense * duals)
        return float(a.sense * value + a.offset)

    def _has_no_point(self, ray: Array) -> bool:
        """Whether these multipliers of the rows prove that no point satisfies them (Farkas' lemma)."""
        nothing = np.zeros_like(self._arrays.cost)
        ways = (weak_duality(nothing, self._low, self._high, self._blocks, sign * ray) for sign in (1.0, -1.0))
        return any(value > 0 for value in ways)

    def add_rows(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """Add rows in the program's own units.

        See :meth:`~oamip_model.solving.protocol.Session.add_rows`.
        """
        rows = sp.csr_array(rows)
        matrix, low, high, sizes = self._scale.rows(rows, lower, upper)
        self.inner.add_rows(matrix, low, high)
        self._blocks.append(Rows(rows, lower, upper))
        self._sizes.append(sizes)
        # A safe bound takes time for each block. Each is less than half of the one before, so they are few.
        while len(self._blocks) > 2 and 2 * len(self._blocks[-1].low) >= len(self._blocks[-2].low):
            self._blocks[-2:] = [Rows.joined(self._blocks[-2:])]
            self._sizes[-2:] = [np.concatenate(self._sizes[-2:])]

    def set_cost(self, cost: Array) -> None:
        """Replace the costs.

        See :meth:`~oamip_model.solving.protocol.CostSession.set_cost`.
        """
        cost = np.asarray(cost, dtype=np.float64)
        self.inner.set_cost(cost * self._scale.units)  # type: ignore[attr-defined]
        self._arrays = replace(self._arrays, cost=cost)

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """Replace the columns' bounds.

        See :meth:`~oamip_model.solving.protocol.TreeSession.set_bounds`.
        """
        units = self._scale.units
        self.inner.set_bounds(lower / units, upper / units)  # type: ignore[attr-defined]
        self._arrays = replace(self._arrays, lower=lower.copy(), upper=upper.copy())
        self._low, self._high = (
            np.where(np.isfinite(own), own, implied)
            for own, implied in ((lower, self._scale.low), (upper, self._scale.high))
        )

    def keep_rows(self, keep: NDArray[np.bool_]) -> None:
        """Drop added rows that are not kept.

        See :meth:`~oamip_model.solving.protocol.TreeSession.keep_rows`.
        """
        self.inner.keep_rows(keep)  # type: ignore[attr-defined]
        at = np.flatnonzero(keep)
        added = Rows.joined(self._blocks[1:]) if len(self._blocks) > 1 else None
        if added is not None:
            self._blocks = [self._blocks[0], added.take(at)]
            self._sizes = [self._sizes[0], np.concatenate(self._sizes[1:])[at]]

    def basis(self) -> object:
        """The basis of the last linear program.

        See :meth:`~oamip_model.solving.protocol.TreeSession.basis`.
        """
        return self.inner.basis()  # type: ignore[attr-defined]

    def set_basis(self, basis: object) -> None:
        """Start the next solve from a basis.

        See :meth:`~oamip_model.solving.protocol.TreeSession.set_basis`.
        """
        self.inner.set_basis(basis)  # type: ignore[attr-defined]

    def close(self) -> None:
        """Free the solver. See :meth:`~oamip_model.solving.protocol.Session.close`."""
        self.inner.close()
