"""mpi-sppy, where it is installed: the extensive form and progressive hedging reach the joint optimum."""

from __future__ import annotations

import pyomo.environ as pyo
import pytest

import oamip_model as om

pytest.importorskip("mpisppy")

TOLERANCE = 1e-6


def quiet(options):
    """Options that progressive hedging insists on, without talk."""
    needed = {"verbose": False, "display_progress": False, "display_timing": False, "asynchronousPH": False}
    solves = {"iter0_solver_options": {"mipgap": TOLERANCE}, "iterk_solver_options": {"mipgap": TOLERANCE}}
    linear = {"linearize_proximal_terms": True, "proximal_linearization_tolerance": 1e-6, "smoothed": 0}
    return needed | solves | linear | {"solver_name": "oamip:highs", "convthresh": 1e-5} | options


@pytest.mark.parametrize("form", [{"relaxed": True}, {"scores": "binary"}, {"loss": "hinge"}])
def test_the_extensive_form_of_mpisppy_has_the_joint_optimum(form, problem_of):
    from mpisppy.opt.ef import ExtensiveForm

    p = problem_of("dense", 1, 3)
    program = om.Formulation(sparsity="mean", **form)
    joint = om.solve_instance(om.build_instance(p.network, p.images, p.labels, program), om.Solver(tolerance=TOLERANCE))
    scenarios = om.scenarios(p.network, p.images, p.labels, program)
    whole = ExtensiveForm({"solver": "oamip:highs"}, scenarios.names, scenarios.creator)
    whole.solve_extensive_form({"mipgap": TOLERANCE})
    assert whole.get_objective_value() == pytest.approx(joint.objective, rel=1e-5)
    scores = scenarios.by_group(whole.get_root_solution())
    assert set(scores) == {group.name for group in p.network.groups}
    if not program.relaxed:
        assert scenarios.objective(scores) == pytest.approx(joint.objective, rel=1e-4)


def test_progressive_hedging_finds_the_joint_optimum_of_binary_scores(problem_of):
    from mpisppy.opt.ph import PH

    p = problem_of("dense", 1, 3)
    program = om.Formulation(sparsity="mean", scores="binary")
    joint = om.solve_instance(om.build_instance(p.network, p.images, p.labels, program))
    scenarios = om.scenarios(p.network, p.images, p.labels, program)
    hedging = PH(
        quiet({"PHIterLimit": 15, "defaultPHrho": 0.3}), scenarios.names, scenarios.creator,
        extensions=scenarios.extension, extension_kwargs={"scenarios": scenarios},
    )  # fmt: skip
    _, _, trivial = hedging.ph_main()
    assert trivial <= joint.objective + 1e-6
    assert hedging.extobject.objective == pytest.approx(joint.objective, rel=1e-4)
    assert scenarios.objective(hedging.extobject.scores) == hedging.extobject.objective


def test_a_quadratic_term_is_refused_in_one_line(problem_of):
    p = problem_of("dense", 1, 2)
    model = om.scenarios(p.network, p.images, p.labels, size=2).model("images0")
    model.objective.set_value(model.objective.expr + next(iter(model.s.values())) ** 2)
    with pytest.raises(om.InputError, match="is not linear"):
        pyo.SolverFactory("oamip:highs").solve(model)
