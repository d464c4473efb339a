"""Images as scenarios: the models, their probabilities, and an extensive form whose optimum is the joint program's."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.scoring.joint.gated import GatedObjective

FORMS = [
    {"sparsity": "mean", "relaxed": True},
    {"sparsity": "published", "scores": "binary"},
    {"sparsity": "parameters", "loss": "hinge", "gate": "switch", "scores": "binary"},
    {"gate": "published", "relaxed": True},
]


def extensive_form(scenarios):
    """All scenarios in one model, with rows that make their scores equal: written here, without mpi-sppy."""
    model, parts = pyo.ConcreteModel(), []
    for name in scenarios.names:
        part = scenarios.model(name)
        part.objective.deactivate()
        model.add_component(name, part)
        parts.append((scenarios.probability(name), part))
    model.cost = pyo.Objective(expr=sum(share * part.objective.expr for share, part in parts))
    first = parts[0][1]
    model.same = pyo.ConstraintList()
    for _, part in parts[1:]:
        for unit in first.s:
            model.same.add(part.s[unit] == first.s[unit])
    return model, first


@pytest.mark.parametrize("number", range(len(FORMS)))
@pytest.mark.parametrize("size", [1, 2])
def test_the_extensive_form_has_the_joint_optimum(number, size, problem_of):
    p = problem_of("dense", number, 3)
    form = om.Formulation(**FORMS[number])
    tolerance = 1e-7
    joint = om.solve_instance(
        om.build_instance(p.network, p.images, p.labels, form), om.Solver(tolerance=tolerance)
    ).objective
    scenarios = om.scenarios(p.network, p.images, p.labels, form, size=size)
    assert sum(map(scenarios.probability, scenarios.names)) == pytest.approx(1.0)
    model, first = extensive_form(scenarios)
    found = pyo.SolverFactory("oamip:highs", mipgap=tolerance).solve(model)
    assert pyo.value(model.cost) == pytest.approx(joint, rel=1e-6, abs=1e-6)
    assert found.problem.lower_bound <= joint + 1e-6 * max(1.0, abs(joint))
    if not form.relaxed:
        # What the network itself loses at these scores is the optimum, too: no program is asked.
        scores = scenarios.by_group([pyo.value(s) for s in first.s.values()])
        assert scenarios.objective(scores) == pytest.approx(joint, rel=1e-5, abs=1e-5)


def test_a_scenario_is_the_program_of_its_images_alone(problem_of):
    p = problem_of("conv", 1, 3)
    form = om.Formulation(sparsity="mean")
    scenarios = om.scenarios(p.network, p.images, p.labels, form, size=2)
    assert scenarios.names == ["images0", "images1"]
    assert [scenarios.probability(name) for name in scenarios.names] == [2 / 3, 1 / 3]
    last = scenarios.model("images1")
    alone = om.build_instance(p.network, p.images[2:], p.labels[2:], form)
    mine, other = om.compile_arrays(last), om.compile_arrays(alone)
    assert (mine.matrix != other.matrix).nnz == 0
    np.testing.assert_array_equal(mine.cost, other.cost)
    assert list(last.s) == list(scenarios.model("images0").s), "every scenario has all scores, in one order"


@pytest.mark.parametrize("loss", ["cross-entropy", "hinge"])
def test_the_objective_at_any_scores_is_that_of_the_search_in_torch(loss, problem_of):
    import torch

    p = problem_of("dense", 2, 3)
    form = om.Formulation(loss=loss, sparsity="mean")
    scenarios = om.scenarios(p.network, p.images, p.labels, form)
    exact = GatedObjective(p.network, p.images, p.labels, form, dtype=torch.float64)
    flat = np.random.default_rng(0).uniform(size=sum(p.sizes))
    with torch.no_grad():
        wanted = float(exact(torch.as_tensor(flat)[None])[0])
    assert scenarios.objective(scenarios.by_group(flat)) == pytest.approx(wanted, rel=1e-9)


def test_a_margin_that_is_missed_costs_all(problem_of):
    p = problem_of("dense", 2, 3)
    form = om.Formulation(loss="margin", sparsity="mean", margin=1e6)
    scenarios = om.scenarios(p.network, p.images, p.labels, form)
    assert scenarios.objective(scenarios.by_group(np.ones(sum(p.sizes)))) == np.inf


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"size": 0}, "size: got 0, accepted is a number of images from 1"),
        ({"size": True}, "size: got True, accepted is a number of images from 1"),
        ({"bounds": "loose"}, "bounds: got 'loose', accepted are"),
        ({"labels": [0]}, "labels: got 1 labels for 3 images"),
        ({"labels": [0, 1, 99]}, "labels: .*99"),
    ],
)
def test_bad_input_is_one_line(more, message, problem_of):
    p = problem_of("dense", 0, 3)
    with pytest.raises(InputError, match=message):
        om.scenarios(p.network, p.images, **({"labels": p.labels} | more))


def test_unknown_names_and_options_are_refused(problem_of):
    p = problem_of("dense", 0, 2)
    scenarios = om.scenarios(p.network, p.images, p.labels)
    with pytest.raises(InputError, match="scenario: got 'image7', accepted are image0 to image1"):
        scenarios.model("image7")
    with pytest.raises(InputError, match="values: got 2, the network has"):
        scenarios.by_group([1.0, 2.0])
    solver = pyo.SolverFactory("oamip:highs", MIPGap=1e-3)
    with pytest.raises(InputError, match="options: got MIPGap, solver oamip accepts solver, mipgap"):
        solver.solve(scenarios.model("image0"))


def test_the_pyomo_solver_loads_results_as_others_do(problem_of):
    p = problem_of("dense", 0, 2)
    one, other = (om.scenarios(p.network, p.images, p.labels, size=2).model("images0") for _ in range(2))
    pyo.SolverFactory("oamip", solver="highs").solve(one)
    results = pyo.SolverFactory("oamip:highs").solve(other, load_solutions=False)
    assert all(s.value is None for s in other.s.values())
    other.solutions.load_from(results)
    assert [s.value for s in other.s.values()] == [s.value for s in one.s.values()]
    assert results.problem.upper_bound == pytest.approx(pyo.value(other.objective))


def test_an_infeasible_model_is_no_result(problem_of):
    p = problem_of("dense", 0, 2)
    model = om.scenarios(p.network, p.images, p.labels, size=2).model("images0")
    model.none = pyo.Constraint(expr=pyo.quicksum(model.s.values()) <= -1)
    results = pyo.SolverFactory("oamip:highs").solve(model)
    assert results.solver.termination_condition == "infeasible"
    assert len(results.solution) == 0


def test_the_creator_says_what_is_missing(problem_of):
    p = problem_of("dense", 0, 2)
    scenarios = om.scenarios(p.network, p.images, p.labels)
    try:
        import mpisppy  # noqa: F401
    except ImportError:
        with pytest.raises(om.SolverMissingError, match=r"pip install 'oamip_model\[mpisppy\]'"):
            scenarios.creator("image0")
    else:
        node = scenarios.creator("image0")._mpisppy_node_list[0]
        assert len(node.nonant_vardata_list) == sum(p.sizes)
