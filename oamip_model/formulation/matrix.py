"""A Pyomo constraint whose rows are one sparse matrix.

They are made into row objects only when somebody asks for them.
"""

from __future__ import annotations

import oamip_model.formulation.quick_pyomo  # noqa: F401  # isort: skip

from collections.abc import Callable, Hashable
from typing import Any
from weakref import ref

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from numpy.typing import NDArray
from pyomo.core.base.component import ModelComponentFactory
from pyomo.core.base.constraint import ConstraintData, IndexedConstraint
from pyomo.core.expr.numeric_expr import LinearExpression
from pyomo.core.expr.relational_expr import EqualityExpression, InequalityExpression, RangedExpression

from oamip_model.formulation.rows import MatrixRows

__all__ = ["MatrixConstraint", "MatrixRow", "MatrixRows"]


class MatrixRow(ConstraintData):
    """One row of a :class:`MatrixConstraint`.

    Its body and expression are made when first read, and kept.
    """

    __slots__ = ("_row",)

    def __init__(self, component: MatrixConstraint, index: Hashable, row: int) -> None:
        self._component = ref(component)
        self._index = index
        self._active = True
        self._expr = None
        self._row = row

    @property
    def number(self) -> int:
        """Which row of the matrix this is."""
        return self._row

    def _limits(self) -> tuple[float | None, float | None]:
        rows = self.parent_component().rows
        low, high = float(rows.lower[self._row]), float(rows.upper[self._row])
        return (low if np.isfinite(low) else None), (high if np.isfinite(high) else None)

    def _linear_body(self) -> Any:
        variables: list[Any] = []
        coefficients: list[float] = []
        component = self.parent_component()
        for (_, block), data in zip(component.rows.blocks, component.columns, strict=True):
            start, stop = block.indptr[self._row], block.indptr[self._row + 1]
            variables += [data[k] for k in block.indices[start:stop].tolist()]
            coefficients += block.data[start:stop].tolist()
        return LinearExpression(linear_coefs=coefficients, linear_vars=variables, constant=0)

    @property
    def expr(self) -> Any:
        """The row as a relational expression.

        It is the same object each time, as persistent interfaces expect.
        """
        if self._expr is None:
            low, high = self._limits()
            body = self._linear_body()
            if low is not None and low == high:
                self._expr = EqualityExpression((body, high))
            elif low is not None and high is not None:
                self._expr = RangedExpression((low, body, high), strict=(False, False))
            elif low is not None:
                self._expr = InequalityExpression((low, body), strict=False)
            else:
                self._expr = InequalityExpression((body, np.inf if high is None else high), strict=False)
        return self._expr

    def to_bounded_expression(self, evaluate_bounds: bool = False) -> tuple[Any, Any, Any]:
        """(lower, body, upper), None where there is no limit."""
        low, high = self._limits()
        expr = self.expr
        body = expr.arg(1) if isinstance(expr, RangedExpression) or (high is None and low is not None) else expr.arg(0)
        return low, body, high

    def set_value(self, expr: Any) -> None:
        """Raise an error, since rows cannot be rewritten one by one.

        Deactivate the row and add an ordinary constraint instead.
        """
        raise ValueError(f"row {self.name} belongs to a matrix: deactivate it and add a constraint of your own")


@ModelComponentFactory.register("Constraints that are the rows of one sparse matrix.")
class MatrixConstraint(IndexedConstraint):
    """Constraints from a rule that returns all rows of a block at once.

    The rows are :class:`MatrixRows`.

    Writers, solvers and transformations see ordinary indexed constraints; :func:`oamip_model.solving.compile_arrays`
    takes the matrix as it is.

    Examples
    --------
    >>> import numpy as np, pyomo.environ as pyo
    >>> model = pyo.ConcreteModel()
    >>> model.x = pyo.Var([0, 1], within=pyo.NonNegativeReals)
    >>> rule = lambda m: MatrixRows.of(["row"], upper=4.0).plus(m.x, [1], 2.0)
    >>> model.limit = MatrixConstraint(rule=rule)
    >>> print(model.limit["row"].expr)
    2.0*x[1]  <=  4.0
    """

    # Class-wide values for the moment in which Pyomo copies a model and components exist without their state.
    _rows: MatrixRows | None = None
    _materialised = False
    _constructed: bool

    def __init__(self, *, rule: Callable[[Any], MatrixRows], **kwargs: Any) -> None:
        self._made: dict[Hashable, MatrixRow] = {}
        self._columns: list[list[Any]] | None = None
        self._matrix_rule = rule
        IndexedConstraint.__init__(self, pyo.Any, **kwargs)

    @property
    def rows(self) -> MatrixRows:
        """The matrix, its limits and its variables."""
        if self._rows is None:
            raise ValueError(f"{self.name} is not constructed yet: create an instance of the abstract model first")
        return self._rows

    @property
    def materialised(self) -> bool:
        """Whether row objects exist, and so whether single rows may have been deactivated."""
        return self._materialised

    @property
    def columns(self) -> list[list[Any]]:
        """For each block, its variable's data objects in the order of the block's columns."""
        if self._columns is None:
            self._columns = [list(variable.values()) for variable, _ in self.rows.blocks]
        return self._columns

    def construct(self, data: Any = None) -> None:
        """Call the rule once for the whole block."""
        if self._constructed:
            return
        self._constructed = True
        self._rows = self._matrix_rule(self.parent_block())

    def active_rows(self) -> NDArray[np.int64] | slice:
        """Numbers of the rows that are neither deactivated nor deleted.

        They are all rows until the first object of one has been made.
        """
        if not self._materialised:
            return slice(None)
        return np.array([row.number for row in self._made.values() if row.active], dtype=np.int64)

    def append(self, rows: MatrixRows) -> None:
        """Add rows below those that are there.

        They must have blocks of the same variables, in the same order.
        """
        mine = self.rows
        if [id(v) for v, _ in rows.blocks] != [id(v) for v, _ in mine.blocks]:
            raise ValueError(f"{self.name}: appended rows must have the same variables in the same order")
        first = len(mine.names)
        self._rows = MatrixRows(
            [*mine.names, *rows.names],
            np.concatenate([mine.lower, rows.lower]),
            np.concatenate([mine.upper, rows.upper]),
            [(v, sp.csr_array(sp.vstack([a, b]))) for (v, a), (_, b) in zip(mine.blocks, rows.blocks, strict=True)],
        )
        if self._materialised:
            self._made |= {name: MatrixRow(self, name, first + k) for k, name in enumerate(rows.names)}

    def keep(self, at: NDArray[np.int64]) -> None:
        """Keep only the rows with these numbers, in their order."""
        self._rows = self.rows.take(at)
        if self._materialised:
            self._made = {name: MatrixRow(self, name, row) for row, name in enumerate(self._rows.names)}

    def is_reference(self) -> bool:
        """False: the rows are this component's own."""
        return False

    def _create_objects_for_deepcopy(self, memo: dict[int, Any], component_list: list[Any]) -> Any:
        if self._materialised:
            return super()._create_objects_for_deepcopy(memo, component_list)
        # Objects of rows that do not exist yet are not made for the copy.
        new = self.__class__.__new__(self.__class__)
        answer = memo.setdefault(id(self), new)
        if answer is new:
            component_list.append((self, new))
            memo[id(self._made)] = new._made = {}
        return answer

    @property
    def _data(self) -> dict[Hashable, MatrixRow]:
        if not self._materialised and self._rows is not None:
            self._materialised = True
            self._made = {name: MatrixRow(self, name, row) for row, name in enumerate(self._rows.names)}
        return self._made

    @_data.setter
    def _data(self, value: dict[Hashable, MatrixRow]) -> None:
        self._made = value

    def __len__(self) -> int:
        return len(self._rows.names) if self._rows is not None and not self._materialised else len(self._made)
