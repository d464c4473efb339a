"""The hand-over to a solver: every program in units of its own, whatever the scale of the weights.

See mathematics:scale-1..2. A ReLU is positively homogeneous, so a unit may be measured by its own largest value. A
solver then sees columns with values up to about 1 and rows with coefficients up to 1, at every scale of the weights.
Answers come back in the units of the program, and the bound of a linear program is the one that its duals prove.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.solving.proofs.certificates import Rows, implied_bounds, weak_duality
from oamip_model.solving.proofs.opinions import needs_opinion, settled
from oamip_model.solving.protocol import Array, Arrays, Session, Solution, Status, append_rows

DROPPED = 1e-9
"""An entry of a scaled row below this is moved into the row's bounds. HiGHS 1.15 drops such entries with a warning."""
_INFINITE = 1e20
"""What solvers take for infinity."""
_PASSES = 50
_BLOCKS = 8
"""Blocks of added rows that are kept apart; a safe bound takes time for each."""
_PLAIN = 1e-3, 1e3
"""Rows over integral columns whose largest coefficient is in this range stay as they are."""


def column_units(arrays: Arrays) -> Array:
    """The unit of each column, (columns,), all positive: a bound on its absolute value where one is known.

    Integral columns have the unit 1. A column without bounds gets its unit from the rows that it is in: from equations
    first, then from inequalities, once the units of the other columns of such a row are known.
    """
    lower, upper = (np.where(np.abs(side) < _INFINITE, side, np.inf) for side in (arrays.lower, arrays.upper))
    most = np.maximum(np.abs(lower), np.abs(upper))
    known = arrays.integral | np.isfinite(most)
    units = np.where(known & ~arrays.integral & (most > 0), np.where(np.isfinite(most), most, 1.0), 1.0)
    if known.all():
        return units
    entries = arrays.matrix.tocoo()
    row, column, value = entries.row, entries.col, np.abs(entries.data)
    some = value > 0
    row, column, value = row[some], column[some], value[some]
    count = arrays.matrix.shape[0]
    sides = [np.where(np.isfinite(side), np.abs(side), 0.0) for side in (arrays.row_lower, arrays.row_upper)]
    limit, equation = np.maximum(*sides), arrays.row_lower == arrays.row_upper
    for _ in range(_PASSES):
        unknown = ~known[column]
        single = unknown & (np.bincount(row, unknown, count)[row] == 1)
        if (single & equation[row]).any():
            single &= equation[row]
        at = np.flatnonzero(single)
        if not len(at):
            break
        total = limit + np.bincount(row, np.where(unknown, 0.0, value * units[column]), count)
        found = np.zeros(len(units))
        np.maximum.at(found, column[at], total[row[at]] / value[at])
        usable = (found > 0) & np.isfinite(found)
        units[usable] = found[usable]
        known[column[at]] = True
    return units


@dataclass(frozen=True)
class Scale:
    """How a program is scaled: x = units * x', and each row by its largest coefficient.

    units: (columns,); low, high: (columns,) finite bounds where the program implies any, in its own units.
    """

    units: Array
    low: Array
    high: Array
    integral: NDArray[np.bool_]

    @classmethod
    def of(cls, arrays: Arrays) -> Scale:
        """The scale of a program."""
        low, high = implied_bounds(arrays)
        return cls(column_units(arrays), low, high, arrays.integral)

    def rows(self, matrix: sp.csr_array, lower: Array, upper: Array) -> tuple[sp.csr_array, Array, Array, Array]:
        """Rows lower <= matrix @ x <= upper for the scaled columns, and what each was divided by, (rows,).

        An entry below DROPPED is left out, and the row's bounds are moved outward by the range of what it stood for, so
        that no point is lost. It stays where its column has no bounds.
        """
        column, counts = matrix.indices, np.diff(matrix.indptr)
        filled = np.flatnonzero(counts)
        value, starts = matrix.data * self.units[column], matrix.indptr[filled]
        sizes, plain = np.zeros(matrix.shape[0]), np.zeros(matrix.shape[0], dtype=bool)
        if len(filled):
            sizes[filled] = np.maximum.reduceat(np.abs(value), starts)
            plain[filled] = np.logical_and.reduceat(self.integral[column], starts)
        plain &= (sizes >= _PLAIN[0]) & (sizes <= _PLAIN[1])
        sizes = np.where((sizes > 0) & ~plain, sizes, 1.0)
        value /= np.repeat(sizes, counts)
        lower, upper = lower / sizes, upper / sizes
        small = np.flatnonzero(np.abs(value) < DROPPED)
        # The indices are copied: whoever sorts the scaled rows in place must not reorder those of the program.
        places = column.copy(), matrix.indptr.copy()
        if not len(small):
            return sp.csr_array((value, *places), shape=matrix.shape), lower, upper, sizes
        least, most = (side[column[small]] / self.units[column[small]] for side in (self.low, self.high))
        bounded = np.isfinite(least) & np.isfinite(most)
        gone = small[bounded]
        ends = value[gone] * np.stack([least[bounded], most[bounded]])
        row = np.searchsorted(matrix.indptr, gone, side="right") - 1
        lower = lower - np.bincount(row, ends.max(axis=0), len(lower))
        upper = upper - np.bincount(row, ends.min(axis=0), len(upper))
        value[gone] = 0.0
        scaled = sp.csr_array((value, *places), shape=matrix.shape)
        scaled.eliminate_zeros()
        return scaled, lower, upper, sizes

    def program(self, arrays: Arrays) -> tuple[Arrays, Array]:
        """The program in the scaled columns, and what each row was divided by, (rows,)."""
        matrix, row_lower, row_upper, sizes = self.rows(arrays.matrix, arrays.row_lower, arrays.row_upper)
        scaled = replace(
            arrays, matrix=matrix, row_lower=row_lower, row_upper=row_upper, cost=arrays.cost * self.units,
            lower=arrays.lower / self.units, upper=arrays.upper / self.units,
        )  # fmt: skip
        return scaled, sizes


Others: TypeAlias = Callable[[Arrays, float | None, float], Iterable[Solution]]
"""Asks others for the solution of a linear program: the program, the time limit, and the seconds of it that are gone.
It asks one at a time, each when its answer is wanted."""


class ScaledSession:
    """A session in scaled units around one of a backend; a Session, CostSession and TreeSession as far as that is one.

    A linear program's bound is what its duals prove over the rows in their own units, and the solution says that it is
    certified. Without duals, for integer programs, and without ``proofs``, the bound is the solver's claim. The
    ``others`` are asked where the solver claims, without a proof, that a linear program has no point or no optimum.
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
        """See :class:`oamip_model.solving.protocol.Session`."""
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
        a = self._arrays
        value = weak_duality(a.sense * a.cost, self._low, self._high, self._blocks, a.sense * duals)
        return float(a.sense * value + a.offset)

    def _has_no_point(self, ray: Array) -> bool:
        """Whether these multipliers of the rows prove that no point satisfies them (Farkas' lemma)."""
        nothing = np.zeros_like(self._arrays.cost)
        ways = (weak_duality(nothing, self._low, self._high, self._blocks, sign * ray) for sign in (1.0, -1.0))
        return any(value > 0 for value in ways)

    def add_rows(self, rows: sp.csr_array, lower: Array, upper: Array) -> None:
        """See :class:`oamip_model.solving.protocol.Session`."""
        rows = sp.csr_array(rows)
        matrix, low, high, sizes = self._scale.rows(rows, lower, upper)
        self.inner.add_rows(matrix, low, high)
        self._blocks.append(Rows(rows, lower, upper))
        self._sizes.append(sizes)
        if len(self._blocks) > _BLOCKS:
            self._blocks = [self._blocks[0], Rows.joined(self._blocks[1:])]
            self._sizes = [self._sizes[0], np.concatenate(self._sizes[1:])]

    def set_cost(self, cost: Array) -> None:
        """See :class:`oamip_model.solving.protocol.CostSession`."""
        cost = np.asarray(cost, dtype=np.float64)
        self.inner.set_cost(cost * self._scale.units)  # type: ignore[attr-defined]
        self._arrays = replace(self._arrays, cost=cost)

    def set_bounds(self, lower: Array, upper: Array) -> None:
        """See :class:`oamip_model.solving.protocol.TreeSession`."""
        units = self._scale.units
        self.inner.set_bounds(lower / units, upper / units)  # type: ignore[attr-defined]
        self._arrays = replace(self._arrays, lower=lower.copy(), upper=upper.copy())
        self._low, self._high = (
            np.where(np.isfinite(own), own, implied)
            for own, implied in ((lower, self._scale.low), (upper, self._scale.high))
        )

    def keep_rows(self, keep: NDArray[np.bool_]) -> None:
        """See :class:`oamip_model.solving.protocol.TreeSession`."""
        self.inner.keep_rows(keep)  # type: ignore[attr-defined]
        at = np.flatnonzero(keep)
        added = Rows.joined(self._blocks[1:]) if len(self._blocks) > 1 else None
        if added is not None:
            self._blocks = [self._blocks[0], added.take(at)]
            self._sizes = [self._sizes[0], np.concatenate(self._sizes[1:])[at]]

    def basis(self) -> object:
        """See :class:`oamip_model.solving.protocol.TreeSession`."""
        return self.inner.basis()  # type: ignore[attr-defined]

    def set_basis(self, basis: object) -> None:
        """See :class:`oamip_model.solving.protocol.TreeSession`."""
        self.inner.set_basis(basis)  # type: ignore[attr-defined]

    def close(self) -> None:
        """See :class:`oamip_model.solving.protocol.Session`."""
        self.inner.close()
