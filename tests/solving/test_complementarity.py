"""The tree's programs without states: the same bounds as with them, under any branching, and points of the instance."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

from oamip_model.formulation.program import Program
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.protocol import Options, Status
from oamip_model.solving.registry import get_backend, open_tree_session
from oamip_model.solving.treesearch.complementarity import Complementary

SETTINGS = [
    {"gate": "subtractive", "relaxation": "big-m"}, {"gate": "subtractive", "relaxation": "partition-2"},
    {"gate": "switch", "scores": "binary", "relaxation": "big-m"}, {"gate": "published", "relaxation": "big-m"},
]  # fmt: skip


def optimum(arrays, lower, upper):
    session = open_tree_session(get_backend("highs"), arrays, Options())
    session.set_bounds(lower, upper)
    found = session.solve(relaxed=True)
    session.close()
    assert found.status in (Status.OPTIMAL, Status.INFEASIBLE)
    return (found.x, found.objective) if found.status is Status.OPTIMAL else (None, np.inf)


def branched(pick, arrays, states, share):
    """The bounds of the columns with some states fixed."""
    lower, upper = arrays.lower.copy(), arrays.upper.copy()
    fixed = states[pick.random(len(states)) < share]
    lower[fixed] = upper[fixed] = pick.integers(0, 2, len(fixed))
    return lower, upper


@pytest.mark.thinned(14)
@pytest.mark.parametrize("settings", SETTINGS)
def test_bounds_are_those_of_the_rows_with_states(kind, problem_of, settings):
    p = problem_of(kind, 3)
    instance = p.build(loss="hinge", sparsity="mean", **settings)
    compiled, pick = Compiled(instance), np.random.default_rng(5)
    arrays, program = compiled.arrays, Complementary(Program.of(instance), compiled)
    states = np.arange(len(arrays.cost))[compiled.columns(instance.z)]
    for share in (0.0, 0.3, 0.6, 1.0):
        lower, upper = branched(pick, arrays, states, share)
        _, wanted = optimum(arrays, lower, upper)
        x, bound = optimum(program.arrays, *program.bounds(lower, upper))
        assert bound == pytest.approx(wanted, abs=1e-6)
        if x is None or not len(program.h):
            continue
        point = program.point(x)
        whole = np.abs(point[states] - np.round(point[states])) < 1e-9
        if whole.all():
            # Then h and a are those of the network, as far as the solver's tolerances go.
            exact = complete_point(compiled, np.clip(point[compiled.columns(instance.s)], 0.0, 1.0), point)
            for variable in (instance.a, instance.h):
                np.testing.assert_allclose(
                    point[compiled.columns(variable)], exact[compiled.columns(variable)], atol=1e-5
                )  # fmt: skip


def test_states_leave_the_program_where_the_rows_allow_it(problem_of):
    replaced = {}
    for settings in SETTINGS:
        instance = problem_of("conv", 3).build(loss="hinge", sparsity="mean", **settings)
        compiled = Compiled(instance)
        program = Complementary(Program.of(instance), compiled)
        replaced[settings["gate"], settings["relaxation"]] = len(program.h), len(instance.z)
        if len(program.h):
            assert program.arrays.matrix.shape[0] < compiled.arrays.matrix.shape[0]
            assert program.arrays.matrix[:, program.empty].nnz == 0
        else:
            assert program.arrays is compiled.arrays
    some, states = replaced["subtractive", "big-m"]
    assert some == states > 0
    some, states = replaced["subtractive", "partition-2"]
    assert some < states
    assert replaced["switch", "big-m"][0] == 0


def test_a_state_in_a_row_of_the_users_own_stays(problem_of):
    instance = problem_of("conv", 3).build(loss="hinge", sparsity="mean", gate="subtractive")
    before = len(Complementary(Program.of(instance), Compiled(instance)).h)
    first = next(iter(instance.z.values()))
    instance.mine = pyo.Constraint(expr=first <= 0.5)
    compiled = Compiled(instance)
    assert len(Complementary(Program.of(instance), compiled).h) == before - 1
    next(iter(instance.relu_state.values())).deactivate()
    assert len(Complementary(Program.of(instance), Compiled(instance)).h) == 0
