"""Programs reach a solver in units of their own: the same at every scale of the weights, and no point is lost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch import nn

import oamip_model as om
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.proofs.certificates import Rows, weak_duality
from oamip_model.solving.proofs.scaling import DROPPED, Scale
from oamip_model.solving.protocol import Arrays, Options
from oamip_model.solving.registry import get_backend, open_session, open_tree_session

FACTORS = (1e-8, 1e-3, 7.0, 1e8)
WAYS = [("subtractive", "solver"), ("switch", "solver"), ("subtractive", "tree"), ("switch", "tree")]


def network(factor):
    """A dense network whose first layer is multiplied by a factor, and the second divided by it."""
    torch.manual_seed(4)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).double().eval()
    with torch.no_grad():
        for p in module[0].parameters():
            p.mul_(3 * factor)
        module[2].weight.mul_(3 / factor)
    return module


IMAGES, LABELS = np.random.default_rng(0).random((3, 3)), np.array([0, 1, 0])


@pytest.mark.parametrize(("gate", "search"), WAYS)
@pytest.mark.parametrize("scores", ["binary", "continuous"])
def test_a_layer_times_c_and_the_next_one_by_c_changes_no_status_and_no_objective(gate, search, scores):
    if gate == "switch" and scores == "continuous":
        pytest.skip("the gate switch takes binary scores")
    method = om.Joint(om.Formulation(gate=gate, scores=scores, sparsity="mean"), search=search)
    solver = om.Solver(tolerance=1e-7 if scores == "continuous" else 1e-4)
    found = [om.score(network(c), IMAGES, LABELS, method=method, solver=solver) for c in (1.0, *FACTORS)]
    assert {result.status for result in found} == {"optimal"}
    assert [result.objective for result in found] == pytest.approx([found[0].objective] * len(found), rel=1e-6)


def test_the_scaled_program_is_the_same_to_rounding():
    programs = []
    for c in (1.0, *FACTORS):
        arrays = Compiled(
            om.build_instance(om.read_network(network(c)), IMAGES, LABELS, om.Formulation(sparsity="mean"))
        ).arrays
        programs.append(Scale.of(arrays).program(arrays)[0])
    for other in programs[1:]:
        assert np.abs(other.matrix.toarray() - programs[0].matrix.toarray()).max() <= 1e-9
        assert other.cost == pytest.approx(programs[0].cost, rel=1e-9)
    assert np.abs(programs[0].matrix.data).max() <= 1.0 + 1e-12


@pytest.mark.parametrize("seed", range(5))
def test_points_stay_points_although_small_entries_are_dropped(seed):
    torch.manual_seed(seed)
    module = network(1.0)
    with torch.no_grad():
        for k in (0, 2, 4):
            module[k].weight.mul_(10.0 ** torch.randint(-12, 3, module[k].weight.shape))
    compiled = Compiled(om.build_instance(om.read_network(module), IMAGES, LABELS, om.Formulation(sparsity="mean")))
    scale = Scale.of(compiled.arrays)
    scaled, _ = scale.program(compiled.arrays)
    assert (np.abs(scaled.matrix.data) >= DROPPED).all()
    draw = np.random.default_rng(seed)
    for _ in range(20):
        x = complete_point(compiled, draw.random(7)) / scale.units
        assert scaled.violation(x) <= 1e-9 * max(1.0, float(np.abs(x).max()))


@pytest.mark.parametrize("power", [-10, -4, 4, 10])
def test_a_session_gives_back_points_bounds_and_duals_in_the_units_of_the_program(power):
    c = 10.0**power
    plain = Arrays(
        sp.csr_array([[1.0, 1.0], [1.0, -1.0]]), np.array([1.0, 2.0]), np.zeros(2), np.array([4.0, 4.0]),
        np.array([3.0, -np.inf]), np.array([np.inf, 1.0]), np.zeros(2, bool),
    )  # fmt: skip
    units = np.array([c, 1 / c])
    arrays = replace(
        plain, matrix=sp.csr_array(plain.matrix.toarray() / units), cost=plain.cost / units, upper=plain.upper * units
    )
    session = open_tree_session(get_backend("highs"), arrays, Options())
    found = session.solve()
    assert found.certified
    assert found.x / units == pytest.approx([2.0, 1.0])
    assert (found.objective, found.bound) == (pytest.approx(4.0), pytest.approx(4.0))
    assert found.row_duals == pytest.approx([1.5, -0.5])
    session.add_rows(sp.csr_array([[1 / units[0], 0.0]]), np.array([-np.inf]), np.array([1.5]))
    assert session.solve().bound == pytest.approx(4.5)
    session.set_bounds(np.zeros(2), units * [4.0, 1.25])
    infeasible = session.solve()
    assert infeasible.status == "infeasible"
    session.keep_rows(np.array([False]))
    assert session.solve().x / units == pytest.approx([2.0, 1.0])
    session.close()


def test_a_ray_proves_that_there_is_no_point_in_the_units_of_the_program():
    arrays = Arrays(
        sp.csr_array([[1e4, 1e4], [1e-3, -1e-3]]), np.ones(2), np.zeros(2), np.ones(2), np.array([1.5e4, 0.8e-3]),
        np.array([np.inf, np.inf]), np.zeros(2, bool),
    )  # fmt: skip
    session = open_session(get_backend("highs"), arrays, Options())
    found = session.solve()
    assert found.certified
    rows = [Rows(arrays.matrix, arrays.row_lower, arrays.row_upper)]
    ways = (weak_duality(np.zeros(2), arrays.lower, arrays.upper, rows, sign * found.ray) for sign in (1.0, -1.0))
    assert any(value > 0 for value in ways)
    session.close()


def test_a_proof_that_there_is_no_point_is_checked():
    arrays = Arrays(
        sp.csr_array([[1.0, 1.0], [1.0, -1.0]]), np.ones(2), np.zeros(2), np.ones(2), np.array([1.5, 0.8]),
        np.array([np.inf, np.inf]), np.zeros(2, bool),
    )  # fmt: skip
    session = open_session(get_backend("highs"), arrays, Options())
    found = session.solve()
    assert found.status == "infeasible"
    assert found.ray is None or found.certified
    session.close()


@pytest.mark.parametrize("solver", ["highs", "cbc", "scip"])
def test_the_program_and_the_one_that_is_handed_over_share_no_places(solver):
    pytest.importorskip({"highs": "highspy", "cbc": "pulp", "scip": "pyscipopt"}[solver])
    # Columns of a row in falling order, which scipy sorts in place when it likes.
    matrix = sp.csr_array((np.array([3.0, 1.0, 2.0, 5.0]), np.array([2, 0, 1, 0]), np.array([0, 2, 4])), shape=(2, 3))
    arrays = Arrays(
        matrix, cost=np.array([-1.0, -2.0, -1.0]), lower=np.zeros(3), upper=np.full(3, 4.0),
        row_lower=np.array([-np.inf, 0.0]), row_upper=np.array([3.0, 9.0]), integral=np.array([True, False, True]),
    )  # fmt: skip
    before = matrix.toarray()
    session = open_session(get_backend(solver), arrays, Options())
    matrix.sort_indices()
    found = session.solve()
    session.close()
    assert found.status == "optimal"
    np.testing.assert_array_equal(matrix.toarray(), before)
    assert found.objective == pytest.approx(-9.0)
    assert arrays.violation(found.x) <= 1e-6
