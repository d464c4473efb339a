"""The arrays of a model are what Pyomo's own compiler makes of it."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

import oamip_model as om
from oamip_model.formulation import MatrixConstraint, MatrixRows
from oamip_model.solving import compile_arrays


def rows_by_name(matrix, names):
    """Rows as sets of (variable, coefficient), so that orders do not matter."""
    matrix = matrix.tocsr()
    return [
        {names[c]: v for c, v in zip(matrix[[r]].indices, matrix[[r]].data, strict=True) if v != 0}
        for r in range(matrix.shape[0])
    ]


def ours(model):
    """{(row's terms, limit, kind)}, cost and bounds by variable name."""
    arrays = compile_arrays(model)
    names = [v.name for c in model.component_objects(pyo.Var) for v in c.values()]
    found = []
    for row, low, high in zip(rows_by_name(arrays.matrix, names), arrays.row_lower, arrays.row_upper, strict=True):
        terms = tuple(sorted((n, round(v, 9)) for n, v in row.items()))
        if low == high:
            found.append((terms, "==", round(low, 9)))
            continue
        found += [(terms, ">=", round(low, 9))] if np.isfinite(low) else []
        found += [(terms, "<=", round(high, 9))] if np.isfinite(high) else []
    cost = {n: c for n, c in zip(names, arrays.cost, strict=True) if c}
    return sorted(found), cost, arrays.offset


def pyomos(model):
    form = LinearStandardFormCompiler().write(model, mixed_form=True)
    names = [v.name for v in form.columns]
    kinds = {-1: ">=", 0: "==", 1: "<="}
    found = []
    for row, info, limit in zip(rows_by_name(form.A, names), form.rows, form.rhs, strict=True):
        terms = tuple(sorted((n, round(v, 9)) for n, v in row.items()))
        found.append((terms, kinds[info.bound_type], round(float(limit), 9)))
    dense = form.c.toarray().ravel()
    cost = {n: c for n, c in zip(names, dense, strict=True) if c}
    return sorted(found), cost, float(form.c_offset[0])


def random_model(seed):
    """A model with ordinary rows of every form, a block, shared and repeated variables, and matrix rows among them."""
    pick = np.random.default_rng(seed)
    m = pyo.ConcreteModel()
    m.x = pyo.Var(range(4), bounds=lambda _, i: (-i, 3 * i + 1))
    m.b = pyo.Block()
    m.b.y = pyo.Var(["u", "v"], within=pyo.Binary)
    m.w = pyo.Var(within=pyo.NonNegativeIntegers)
    m.free = pyo.Var()

    def expression():
        v = [*m.x.values(), *m.b.y.values(), m.w, m.free]
        chosen = pick.integers(0, len(v), 4)
        return sum(float(pick.integers(1, 9)) * v[k] for k in chosen) + float(pick.integers(-3, 4))

    for k in range(6):
        e, least, most = expression(), float(pick.integers(-9, 0)), float(pick.integers(1, 9))
        rule = [e <= most, e >= least, e == most, (least, e, most), e <= expression() + 100 * m.w, 2 * e >= least][k]
        m.add_component(f"c{k}", pyo.Constraint(expr=rule))
    m.b.rows = pyo.Constraint([0, 1, 2], rule=lambda _, i: m.x[i] + i * m.x[3] <= i)
    lower = [-np.inf, 1.0, 0.0, -2.0]
    upper = [4.0, np.inf, 0.0, 2.0]
    weights = pick.normal(size=4)

    def matrix(model):
        return MatrixRows.of("pqrs", lower, upper).plus(m.x, [0, 1, 2, 3], weights).plus(m.b.y, [0, -1, 1, 0], 2.0)

    m.matrix = MatrixConstraint(rule=matrix)
    m.objective = pyo.Objective(expr=expression() * 0.5, sense=pyo.minimize)
    return m


def assert_equal(model):
    for mine, theirs in zip(ours(model), pyomos(model), strict=True):
        assert mine == pytest.approx(theirs) if not isinstance(mine, list) else mine == theirs


@pytest.mark.parametrize("seed", range(20))
def test_random_models_compile_as_pyomo_compiles_them(seed):
    model = random_model(seed)
    assert_equal(model)
    model.matrix["q"].deactivate()
    model.b.rows[1].deactivate()
    assert_equal(model)
    del model.matrix["s"]
    model.c2.deactivate()
    assert_equal(model)
    model.matrix.deactivate()
    assert_equal(model)
    assert len(ours(model)[0]) < len(ours(random_model(seed))[0])


def test_programs_compile_as_pyomo_compiles_them(kind, problem_of):
    p = problem_of(kind, 0, 1)
    for gate, loss, sparsity in (
        ("published", "hinge", "published"),
        ("subtractive", "cross-entropy", "mean"),
        ("switch", "margin", "parameters"),
    ):
        assert_equal(p.build(gate=gate, scores="binary", loss=loss, sparsity=sparsity))


def test_bounds_fixing_and_domains():
    m = pyo.ConcreteModel()
    m.x = pyo.Var(bounds=(-1, 7))
    m.k = pyo.Var(within=pyo.Integers, bounds=(0.4, 2.6))
    m.b = pyo.Var(within=pyo.Binary)
    m.free = pyo.Var(within=pyo.NonPositiveReals)
    m.x.fix(3)
    m.objective = pyo.Objective(expr=m.x + m.k, sense=pyo.maximize)
    arrays = compile_arrays(m)
    assert arrays.lower.tolist() == [3, 1, 0, -np.inf]
    assert arrays.upper.tolist() == [3, 2, 1, 0]
    assert arrays.integral.tolist() == [False, True, True, False]
    assert (arrays.sense, arrays.matrix.shape) == (-1, (0, 4))


def refuse(model, message):
    with pytest.raises(om.InputError, match=f"^{message}[^\n]*$"):
        compile_arrays(model)


def test_what_arrays_cannot_hold_is_refused():
    def fresh():
        m = pyo.ConcreteModel()
        m.x = pyo.Var([0, 1], bounds=(0, 1))
        m.objective = pyo.Objective(expr=m.x[0])
        return m

    m = fresh()
    m.square = pyo.Constraint(expr=m.x[0] ** 2 <= 1)
    refuse(m, "constraint square: is not linear")
    m = fresh()
    m.product = pyo.Constraint(expr=m.x[0] * m.x[1] <= 1)
    refuse(m, "constraint product: is not linear")
    m.x[1].fix(0.5)
    assert compile_arrays(m).matrix.toarray().tolist() == [[0.5, 0.0]]
    m = fresh()
    m.one = pyo.SOSConstraint(var=m.x, sos=1)
    refuse(m, "one: is a SOSConstraint")
    m.one.deactivate()
    assert compile_arrays(m).matrix.shape == (0, 2)
    m = fresh()
    m.yes = pyo.BooleanVar()
    m.logic = pyo.LogicalConstraint(expr=m.yes)
    refuse(m, "logic: is a LogicalConstraint")
    m = fresh()
    m.elsewhere = pyo.Constraint(expr=fresh().x[0] + m.x[0] <= 1)
    refuse(m, r"constraint elsewhere: has the variable x\[0\], which is not on the model")
    m = fresh()
    m.x[0].fixed = True
    refuse(m, r"variable x\[0\]: is fixed, but has no value")
    m = fresh()
    m.y = pyo.Var(within=pyo.Set(initialize=[0, 2, 5]))
    refuse(m, "variable y: domain")
    m = fresh()
    m.second = pyo.Objective(expr=m.x[1])
    refuse(m, "objective: the model has 2 active objectives")
    m.second.deactivate()
    m.objective.deactivate()
    refuse(m, "objective: the model has 0 active objectives")
    m = fresh()
    m.objective.set_value(m.x[0] ** 2)
    refuse(m, "objective objective: is not linear")
