"""A Pyomo model as arrays.

Matrix constraints are taken as blocks, and other linear constraints row by row.
"""

from __future__ import annotations

import oamip_model.formulation.quick_pyomo  # noqa: F401  # isort: skip

from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from numpy.typing import NDArray
from pyomo.core.base.component import ActiveComponent
from pyomo.repn import generate_standard_repn

from oamip_model.errors import InputError
from oamip_model.formulation.matrix import MatrixConstraint, MatrixRows
from oamip_model.solving.protocol import Array, Arrays

_KNOWN = (pyo.Block, pyo.Constraint, pyo.Objective, pyo.Suffix)
"""Components with an active state that the arrays hold, or that do not bind variables."""

_WHOLE = 1e-9
"""A bound of an integral column this close to a whole number is rounded to it."""


class Compiled:
    """The arrays of a model, and the columns of its variables.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        A linear model.

    Attributes
    ----------
    arrays : Arrays
        The program.
    variables : list
        The variable of each column.
    offset : dict of int to tuple
        First column and number of columns of each Var component, by its id.
    whole : bool
        Whether no row of a matrix constraint is inactive.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        _refuse_other_components(model)
        self.variables: list[Any] = []
        self.offset: dict[int, tuple[int, int]] = {}
        for component in model.component_objects(pyo.Var, descend_into=True):
            self.offset[id(component)] = (len(self.variables), len(component))
            self.variables.extend(component.values())
        self._rows: dict[int, slice | None] = {}
        self._position: dict[int, int] | None = None
        self.arrays = self._compile()
        matrices = model.component_objects(pyo.Constraint, descend_into=True)
        self.whole = all(self.rows_of(part) is not None for part in matrices if isinstance(part, MatrixConstraint))

    def columns(self, variable: Any) -> slice:
        """The columns of an indexed Var, in the order of its index set.

        Parameters
        ----------
        variable : pyomo.environ.Var
            A component of the model.

        Returns
        -------
        slice
            Its columns.
        """
        first, count = self.offset[id(variable)]
        return slice(first, first + count)

    def rows_of(self, component: MatrixConstraint) -> slice | None:
        """The rows of a matrix constraint in the arrays, in its own order.

        Parameters
        ----------
        component : MatrixConstraint
            A component of the model.

        Returns
        -------
        slice or None
            Its rows, None where some of them are inactive.
        """
        return self._rows.get(id(component))

    def load(self, x: Array) -> None:
        """Set the values of the model's variables, except fixed ones.

        Parameters
        ----------
        x : array
            A point (columns,).
        """
        for data, value in zip(self.variables, x.tolist(), strict=True):
            if not data.fixed:
                data.set_value(value, skip_validation=True)

    def rows(self, block: MatrixRows) -> sp.csr_array:
        """Rows of a matrix constraint over all columns of the model.

        Parameters
        ----------
        block : MatrixRows
            Rows over some of the model's variables.

        Returns
        -------
        scipy.sparse.csr_array
            Coefficients (rows, columns).
        """
        rows, columns, values = [], [], []
        for variable, matrix in block.blocks:
            rows.append(np.repeat(np.arange(len(block.names)), np.diff(matrix.indptr)))
            columns.append(matrix.indices + self.offset[id(variable)][0])
            values.append(matrix.data)
        entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
        return sp.csr_array(entries, shape=(len(block.names), len(self.variables)))

    def _compile(self) -> Arrays:
        lower, upper, integral = self._bounds()
        matrices: list[sp.csr_array] = []
        limits: list[tuple[Array, Array]] = []
        height = 0
        ordinary: list[Any] = []
        for component in self.model.component_objects(pyo.Constraint, active=True, descend_into=True):
            if not isinstance(component, MatrixConstraint):
                ordinary.extend(data for data in component.values() if data.active)
                continue
            block = component.rows
            matrix = self._stack(block)
            keep = component.active_rows()
            matrices.append(matrix[keep])
            whole = np.array_equal(np.arange(len(block.names))[keep], np.arange(len(block.names)))
            self._rows[id(component)] = slice(height, height + len(block.names)) if whole else None
            height += matrices[-1].shape[0]
            limits.append((block.lower[keep], block.upper[keep]))
        if ordinary:
            matrix, low, high = self._ordinary(ordinary)
            matrices.append(matrix)
            limits.append((low, high))
        cost, offset, sense = self._objective()
        width = len(self.variables)
        return Arrays(
            sp.csr_array(sp.vstack(matrices, format="csr")) if matrices else sp.csr_array((0, width)),
            cost, lower, upper,
            np.concatenate([low for low, _ in limits]) if limits else np.zeros(0),
            np.concatenate([high for _, high in limits]) if limits else np.zeros(0),
            integral, offset, sense,
        )  # fmt: skip

    def _stack(self, block: MatrixRows) -> sp.csr_array:
        """The rows of a block over all columns, stacked side by side where each variable comes once."""
        pieces = sorted((self.offset[id(variable)][0], k) for k, (variable, _) in enumerate(block.blocks))
        if len({first for first, _ in pieces}) < len(pieces):
            return self.rows(block)
        rows, width = len(block.names), len(self.variables)
        parts, at = [], 0
        for first, k in pieces:
            if first > at:
                parts.append(sp.csr_array((rows, first - at)))
            parts.append(block.blocks[k][1])
            at = first + block.blocks[k][1].shape[1]
        if at < width:
            parts.append(sp.csr_array((rows, width - at)))
        return sp.csr_array(sp.hstack(parts, format="csr"))

    def _bounds(self) -> tuple[Array, Array, NDArray[np.bool_]]:
        low: list[float | None] = []
        high: list[float | None] = []
        domains: list[Any] = []
        for data in self.variables:
            least, most = data.bounds
            if data.fixed:
                if data.value is None:
                    raise InputError(f"variable {data.name}: is fixed, but has no value")
                least = most = float(data.value)
            low.append(least)
            high.append(most)
            domains.append(data.domain)
        lower = np.array([-np.inf if value is None else value for value in low], dtype=np.float64)
        upper = np.array([np.inf if value is None else value for value in high], dtype=np.float64)
        # Few domains are in use, so Pyomo is asked about each of them once, and not about each variable.
        number = np.fromiter(map(id, domains), dtype=np.int64, count=len(domains))
        integral = np.zeros(len(domains), dtype=bool)
        _, firsts = np.unique(number, return_index=True)
        for first in firsts.tolist():
            data = self.variables[first]
            if data.is_continuous():
                continue
            if not data.is_integer() and not data.is_binary():
                raise InputError(f"variable {data.name}: domain {data.domain} is neither continuous nor integer")
            integral |= number == number[first]
        # HiGHS 1.15 calls some feasible programs with a fractional bound on an integer column infeasible.
        lower[integral] = np.ceil(lower[integral] - _WHOLE)
        upper[integral] = np.floor(upper[integral] + _WHOLE)
        return lower, upper, integral

    def _linear(self, expression: Any, what: str) -> tuple[list[int], list[float], float]:
        if self._position is None:
            self._position = {id(data): k for k, data in enumerate(self.variables)}
        repn = generate_standard_repn(expression, compute_values=True, quadratic=False)
        if repn.nonlinear_expr is not None:
            raise InputError(
                f"{what}: is not linear, and the backends take linear programs only (or use SolverFactory)"
            )
        for data in repn.linear_vars:
            if id(data) not in self._position:
                raise InputError(f"{what}: has the variable {data.name}, which is not on the model")
        columns = [self._position[id(data)] for data in repn.linear_vars]
        return columns, list(repn.linear_coefs), float(repn.constant)

    def _ordinary(self, constraints: list[Any]) -> tuple[sp.csr_array, Array, Array]:
        rows: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        low, high = np.full(len(constraints), -np.inf), np.full(len(constraints), np.inf)
        for k, data in enumerate(constraints):
            least, body, most = data.to_bounded_expression(evaluate_bounds=True)
            where, coefficients, constant = self._linear(body, f"constraint {data.name}")
            rows += [k] * len(where)
            columns += where
            values += coefficients
            low[k] = -np.inf if least is None else least - constant
            high[k] = np.inf if most is None else most - constant
        matrix = sp.csr_array(
            (np.array(values, dtype=np.float64), (rows, columns)), shape=(len(constraints), len(self.variables))
        )
        return matrix, low, high

    def _objective(self) -> tuple[Array, float, int]:
        cost = np.zeros(len(self.variables))
        objectives = list(self.model.component_data_objects(pyo.Objective, active=True, descend_into=True))
        if len(objectives) != 1:
            raise InputError(f"objective: the model has {len(objectives)} active objectives, exactly one is needed")
        columns, values, constant = self._linear(objectives[0].expr, f"objective {objectives[0].name}")
        np.add.at(cost, columns, values)
        return cost, constant, 1 if objectives[0].is_minimizing() else -1


def _refuse_other_components(model: Any) -> None:
    """Raise InputError for active components that bind variables and are no linear rows: SOS, logical, ..."""
    for component in model.component_objects(active=True, descend_into=True):
        if isinstance(component, ActiveComponent) and component.ctype not in _KNOWN:
            kind = component.ctype.__name__
            raise InputError(f"{component.name}: is a {kind}, and the backends take linear constraints only")


def compile_arrays(model: Any) -> Arrays:
    """The arrays of a linear Pyomo model with any constraints.

    Columns are the model's variables in the order of ``component_objects(Var)``. Rows of matrix-valued
    constraints are not visited one by one.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        A model, of this package or not.

    Returns
    -------
    Arrays
        Rows, costs and bounds, which every backend takes.

    Raises
    ------
    InputError
        Where a constraint or the objective is not linear, there is not exactly one active objective, or
        another active component (SOS, logical, ...) binds variables.

    Examples
    --------
    >>> import pyomo.environ as pyo
    >>> m = pyo.ConcreteModel()
    >>> m.x = pyo.Var([1, 2], bounds=(0, 1))
    >>> m.c = pyo.Constraint(expr=m.x[1] + 2 * m.x[2] <= 2)
    >>> m.o = pyo.Objective(expr=m.x[1], sense=pyo.maximize)
    >>> compile_arrays(m).matrix.toarray().tolist()
    [[1.0, 2.0]]
    """
    return Compiled(model).arrays
