"""An instance stays an ordinary Pyomo model, and what a user changes in it is respected."""

from __future__ import annotations

import gzip
import io
import pickle

import numpy as np
import pyomo.environ as pyo
import pytest

import oamip_model as om
from oamip_model.solving import compile_arrays, get_backend
from oamip_model.solving.protocol import Options

KINDS = ["dense", "conv", "residual", "relu-pool", "norm"]


def backend_objective(model):
    return get_backend("highs").solve(compile_arrays(model), Options(gap=0.0)).objective


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factory", ["appsi_highs", "highs"])
def test_solver_factory_finds_the_same_optimum(problem_of, kind, factory):
    p = problem_of(kind, 1, 1)
    instance = p.build(loss="hinge", gate="subtractive")
    found = om.solve_instance(p.build(loss="hinge", gate="subtractive"), om.Solver(tolerance=1e-7))
    result = pyo.SolverFactory(factory).solve(instance)
    assert result.solver.termination_condition == pyo.TerminationCondition.optimal
    assert pyo.value(instance.objective) == pytest.approx(found.objective, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ending", ["lp", "mps"])
def test_written_files_hold_the_same_program(problem_of, kind, ending, tmp_path):
    import highspy

    p = problem_of(kind, 1, 1)
    instance = p.build(loss="hinge")
    path = tmp_path / f"x.{ending}"
    instance.write(str(path), io_options={"symbolic_solver_labels": True})
    reader = highspy.Highs()
    reader.setOptionValue("output_flag", False)
    assert reader.readModel(str(path)) == highspy.HighsStatus.kOk
    reader.run()
    assert reader.getInfo().objective_function_value == pytest.approx(backend_objective(instance), rel=1e-6, abs=1e-6)


def test_nl_files_pretty_print_pickle_and_gzip(problem_of, tmp_path):
    p = problem_of("relu-pool")
    instance = p.build()
    instance.write(str(tmp_path / "x.nl"))
    assert (tmp_path / "x.nl").stat().st_size > 1000
    shown = io.StringIO()
    instance.pprint(ostream=shown)
    text = shown.getvalue()
    for name in ("preactivation", "relu_upper", "pool_choice", "loss_tangents"):
        assert f"{name} : Size={len(getattr(instance, name))}" in text
    packed = gzip.compress(pickle.dumps(p.build(loss="hinge")))
    assert backend_objective(pickle.loads(gzip.decompress(packed))) == pytest.approx(
        backend_objective(p.build(loss="hinge"))
    )


@pytest.mark.parametrize("touched", [False, True])
def test_clones_are_apart(problem_of, touched):
    p = problem_of("dense")
    instance = p.build()
    if touched:
        assert all(row.body is row.body for row in instance.relu_upper.values())
    clone = instance.clone()
    before = compile_arrays(instance)
    first = om.solve_instance(clone, om.Solver(tolerance=1e-5))
    assert first.cuts > 0
    assert len(clone.loss_tangents) == len(instance.loss_tangents) + first.cuts
    for name in ("matrix", "row_lower", "row_upper", "lower", "upper", "cost"):
        mine, theirs = getattr(before, name), getattr(compile_arrays(instance), name)
        assert np.abs(mine - theirs).max() == 0 if name == "matrix" else np.array_equal(mine, theirs)
    assert next(iter(clone.logits.values())).model() is clone
    assert om.solve_instance(instance, om.Solver(tolerance=1e-5)).objective == pytest.approx(first.objective, rel=2e-5)


def test_fixed_scores_are_respected(problem_of):
    p = problem_of("dense")
    free = om.solve_instance(p.build(loss="hinge", sparsity="mean"), om.Solver(tolerance=1e-6))
    instance = p.build(loss="hinge", sparsity="mean")
    name, unit = next(iter(instance.s))
    for value in (0.0, 0.3, 1.0):
        instance.s[name, unit].fix(value)
        found = om.solve_instance(instance, om.Solver(tolerance=1e-6))
        assert found.scores[name][unit] == pytest.approx(value)
        assert found.objective >= free.objective - 1e-6
        assert instance.s[name, unit].fixed


@pytest.mark.parametrize("search", ["solver", "tree"])
@pytest.mark.parametrize("name", ["hinge_rows", "relu_lower"])
def test_no_bound_is_stated_above_the_optimum_without_some_rows(problem_of, name, search):
    instance = problem_of("dense", 1).build(loss="hinge", scores="binary", sparsity="mean")
    getattr(instance, name).deactivate()
    found = om.solve_instance(instance, om.Solver(tolerance=1e-6), search=search)
    result = pyo.SolverFactory("appsi_highs").solve(instance)
    assert found.bound <= result.problem.upper_bound + 1e-6


def test_deactivated_rows_and_components_are_left_out(problem_of):
    p = problem_of("dense", 1)
    instance = p.build(loss="hinge")
    everything = compile_arrays(instance).matrix.shape[0]
    full = backend_objective(instance)
    rows = list(instance.hinge_rows.values())
    rows[0].deactivate()
    assert compile_arrays(instance).matrix.shape[0] == everything - 1
    instance.hinge_rows.deactivate()
    assert compile_arrays(instance).matrix.shape[0] == everything - len(rows)
    # Without its rows the loss costs nothing.
    lowest = om.solve_instance(instance, om.Solver(tolerance=1e-6))
    assert lowest.bound < full
    result = pyo.SolverFactory("appsi_highs").solve(instance)
    assert result.problem.lower_bound == pytest.approx(lowest.bound, abs=1e-6)
    instance.hinge_rows.activate()
    assert backend_objective(instance) == pytest.approx(full)


def test_integer_relaxation_is_seen(problem_of):
    p = problem_of("deep", 2)
    instance = p.build(loss="hinge")
    whole = backend_objective(instance)
    assert compile_arrays(instance).is_mip
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(instance)
    assert not compile_arrays(instance).is_mip
    relaxed = om.solve_instance(instance, om.Solver(tolerance=1e-6))
    assert relaxed.objective <= whole + 1e-6
    assert relaxed.status == "optimal"
    asked = om.solve_instance(p.build(loss="hinge", relaxed=True), om.Solver(tolerance=1e-6))
    assert relaxed.objective == pytest.approx(asked.objective, abs=1e-5)


@pytest.mark.parametrize("loss", ["hinge", "cross-entropy"])
def test_linear_constraints_of_a_user_are_kept(problem_of, loss):
    p = problem_of("dense", 1)
    instance = p.build(loss=loss, sparsity="mean", scores="binary")
    free = om.solve_instance(p.build(loss=loss, sparsity="mean", scores="binary"), om.Solver(tolerance=1e-5))
    kept = round(sum(s.sum() for s in free.scores.values()))
    wanted = kept - 1 if kept else 1
    instance.budget = pyo.Constraint(expr=sum(instance.s.values()) == wanted)
    found = om.solve_instance(instance, om.Solver(tolerance=1e-5))
    assert sum(s.sum() for s in found.scores.values()) == pytest.approx(wanted)
    assert found.objective > free.objective
    instance.budget.deactivate()
    assert om.solve_instance(instance, om.Solver(tolerance=1e-5)).objective == pytest.approx(free.objective, rel=2e-5)


def test_variables_and_objectives_of_a_user_are_kept(problem_of):
    p = problem_of("dense", 1)
    options = {"loss": "hinge", "sparsity": "mean", "scores": "binary"}
    instance = p.build(**options)
    instance.y = pyo.Var(within=pyo.Binary)
    instance.some = pyo.Constraint(expr=instance.y <= sum(instance.s.values()))
    instance.objective.deactivate()
    instance.mine = pyo.Objective(expr=instance.objective.expr - 10 * instance.y)
    found = om.solve_instance(instance, om.Solver(tolerance=1e-6))
    assert found.status == "optimal"
    assert instance.y.value == 1
    one = p.build(**options)
    one.some = pyo.Constraint(expr=sum(one.s.values()) >= 1)
    assert found.objective == pytest.approx(om.solve_instance(one, om.Solver(tolerance=1e-6)).objective - 10, abs=1e-5)
    instance.mine.deactivate()
    instance.most = pyo.Objective(expr=-instance.objective.expr, sense=pyo.maximize)
    with pytest.raises(om.InputError, match=r"^objective: is maximised[^\n]*$"):
        om.solve_instance(instance)


def test_nonlinear_constraints_of_a_user_are_refused(problem_of):
    instance = problem_of("dense").build()
    first, second = list(instance.s.values())[:2]
    instance.product = pyo.Constraint(expr=first * second <= 0.5)
    with pytest.raises(om.InputError, match=r"^constraint product: is not linear[^\n]*$"):
        om.solve_instance(instance)


def test_tangents_stay_in_the_model(problem_of, tmp_path):
    instance = problem_of("dense").build()
    images = len(instance.loss_tangents)
    found = om.solve_instance(instance, om.Solver(tolerance=1e-6))
    assert found.cuts > 0
    assert len(instance.loss_tangents) == images + found.cuts
    path = tmp_path / "x.lp"
    instance.write(str(path), io_options={"symbolic_solver_labels": True})
    assert path.read_text().count("_l_loss_tangents(") == images + found.cuts
    # With its tangents the written program has the optimum already.
    assert backend_objective(instance) == pytest.approx(found.objective, rel=2e-6)
    again = om.solve_instance(instance, om.Solver(tolerance=1e-5))
    assert again.cuts <= 2


def test_rows_are_the_same_objects_each_time(problem_of):
    instance = problem_of("conv").build()
    for component in instance.component_objects(pyo.Constraint):
        for index, row in component.items():
            assert component[index] is row
            assert row.expr is row.expr
            assert row.body is row.body
            assert row.parent_component() is component
            assert row.index() == index


def test_rows_cannot_be_rewritten_in_silence(problem_of):
    instance = problem_of("dense").build(loss="hinge")
    row = next(iter(instance.hinge_rows.values()))
    with pytest.raises(ValueError, match="deactivate it"):
        row.set_value(instance.t[0] >= 0)


def test_values_are_loaded_and_satisfy_every_row(kind, problem_of):
    p = problem_of(kind, 0, 1)
    instance = p.build(loss="hinge", scores="binary")
    found = om.solve_instance(instance, om.Solver(tolerance=1e-5))
    assert pyo.value(instance.objective) == pytest.approx(found.objective)
    for component in instance.component_objects(pyo.Constraint):
        for row in component.values():
            assert row.lslack() > -1e-6
            assert row.uslack() > -1e-6


def test_duals_come_back_by_row(problem_of):
    instance = problem_of("dense").build(loss="hinge", relaxed=True)
    instance.dual = pyo.Suffix(direction=pyo.Suffix.IMPORT)
    pyo.SolverFactory("appsi_highs").solve(instance)
    rows = [row for c in instance.component_objects(pyo.Constraint) for row in c.values()]
    assert len(instance.dual) == len(rows)
    solution = get_backend("highs").solve(compile_arrays(instance), Options())
    by_name = dict(zip([row.name for row in rows], solution.row_duals, strict=True))
    # Strong duality holds for both, whichever of several dual solutions they found.
    for duals in ({row.name: instance.dual[row] for row in rows}, by_name):
        arrays = compile_arrays(instance)
        y = np.array([duals[row.name] for row in rows])
        reduced = arrays.cost - arrays.matrix.T @ y
        dual = sum(
            v * (low if v > 0 else high)
            for v, low, high in (
                *zip(y, arrays.row_lower, arrays.row_upper, strict=True),
                *zip(reduced, arrays.lower, arrays.upper, strict=True),
            )
            if abs(v) > 1e-9
        )
        assert dual == pytest.approx(solution.objective, abs=1e-6)


@pytest.mark.parametrize("kind", ["dense", "conv"])
@pytest.mark.parametrize("search", ["solver", "tree"])
def test_a_program_without_some_of_its_rows_is_solved_as_it_is(problem_of, kind, search):
    p = problem_of(kind, 1)
    whole = p.build(loss="hinge")
    for name in [c.name for c in whole.component_objects(pyo.Constraint, active=True) if len(c)]:
        instance = p.build(loss="hinge")
        instance.component(name).deactivate()
        found = om.solve_instance(instance, om.Solver(tolerance=1e-6, time_limit=20), search=search)
        assert found.status == "optimal", name
        assert found.objective == pytest.approx(backend_objective(instance), abs=1e-5), name
