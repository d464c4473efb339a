"""The search tree: the optimum of brute force and of the solver's own tree, bounds that hold, and honest early ends."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.formulation import cross_entropy, hinge, published_sparsity, sparsity_weights
from oamip_model.solving import gated_logits
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.solving.proofs import claims
from oamip_model.solving.proofs.claims import LISTED
from oamip_model.solving.protocol import Options
from oamip_model.solving.registry import get_backend
from oamip_model.solving.state import SolveState
from oamip_model.solving.treesearch.added import Tangents
from oamip_model.solving.treesearch.branching import PseudoCosts
from oamip_model.solving.treesearch.relaxation import Relaxation
from oamip_model.solving.treesearch.tree import Tree

WEIGHT = 5.0
CASES = [
    ("switch", "cross-entropy", "mean", "hull"), ("subtractive", "cross-entropy", "published", "hull"),
    ("switch", "hinge", "parameters", "big-m"), ("subtractive", "hinge", "mean", "partition-2"),
    ("subtractive", "margin", "mean", "hull"),
]  # fmt: skip


def cost(p, flat, gate, loss, sparsity):
    """weight * loss + sparsity in the network itself; inf where the loss "margin" is missed."""
    scores = p.split(flat)
    if sparsity == "published":
        value = published_sparsity([q.sum() for q in scores.values()], p.sizes, [g.divisor for g in p.network.groups])
    else:
        value = float(sparsity_weights(p.network, sparsity) @ flat)
    logits = gated_logits(p.network, p.images, scores, gate)
    if loss == "margin":
        return value if hinge(logits, p.labels, 0.0).max() <= 0 else np.inf
    losses = cross_entropy(logits, p.labels) if loss == "cross-entropy" else hinge(logits, p.labels, 1.0)
    return WEIGHT * losses.mean() + value


@pytest.mark.thinned(20)
@pytest.mark.parametrize("number", range(len(CASES)))
@pytest.mark.parametrize("listed", [0, LISTED])
def test_binary_scores_by_brute_force(kind, problem_of, number, listed, monkeypatch):
    # Where all choices of scores are tried, no linear program is asked: without that the tree proves it.
    monkeypatch.setattr(claims, "LISTED", listed)
    gate, loss, sparsity, relaxation = CASES[number]
    p = problem_of(kind, number)
    best = min(cost(p, bits, gate, loss, sparsity) for bits in p.all_binary())
    instance = p.build(
        gate=gate, scores="binary", loss=loss, sparsity=sparsity, relaxation=relaxation, weight=WEIGHT,
        margin=0.0 if loss == "margin" else 1.0,
    )  # fmt: skip
    found = om.solve_instance(instance, om.Solver(tolerance=1e-6), search="tree")
    if best == np.inf:
        assert found.status == "infeasible"
        return
    assert found.status == "optimal"
    assert found.objective == pytest.approx(best, rel=2e-6, abs=1e-6)
    assert found.bound <= best + 1e-6 * max(1, abs(best))
    assert cost(p, np.concatenate(list(found.scores.values())), gate, loss, sparsity) == pytest.approx(best, abs=1e-5)


@pytest.mark.thinned(10)
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("relaxation", ["hull", "big-m"])
def test_continuous_scores_agree_with_the_solver_and_no_scores_are_better(kind, problem_of, seed, relaxation):
    p, loss = problem_of(kind, seed), "hinge" if seed % 2 else "cross-entropy"
    options = {"loss": loss, "sparsity": "mean", "relaxation": relaxation, "weight": WEIGHT}
    tree = om.solve_instance(p.build(**options), om.Solver(tolerance=1e-5), search="tree")
    solver = om.solve_instance(p.build(**options), om.Solver(tolerance=1e-5))
    assert tree.status == solver.status == "optimal"
    assert tree.objective == pytest.approx(solver.objective, rel=3e-5, abs=1e-7)
    flat = np.concatenate(list(tree.scores.values()))
    assert cost(p, flat, "subtractive", loss, "mean") == pytest.approx(tree.objective, abs=1e-6)
    pick = np.random.default_rng(seed)
    for k in range(200):
        other = pick.uniform(size=p.units) if k % 2 else np.clip(flat + pick.normal(size=p.units) * 0.1, 0, 1)
        assert tree.bound <= cost(p, other, "subtractive", loss, "mean") + 1e-7


def test_the_published_program_without_relaxation(problem_of):
    p = problem_of("dense", 0)
    options = {"gate": "published", "epsilon": 0.2, "weight": WEIGHT}
    tree, solver = (om.solve_instance(p.build(**options), search=search) for search in ("tree", "solver"))
    assert tree.status == solver.status == "optimal"
    assert tree.objective == pytest.approx(solver.objective, rel=3e-4)


@pytest.mark.parametrize("solver", ["cbc", "scip"])
def test_other_solvers_take_the_tree_too(problem_of, solver):
    try:
        get_backend(solver).check()
    except om.SolverMissingError:
        pytest.skip(f"{solver} is not here")
    p = problem_of("dense", 2)
    found = [om.solve_instance(p.build(relaxation="hull"), name, search="tree") for name in ("highs", solver)]
    assert [one.status for one in found] == ["optimal", "optimal"]
    assert found[0].objective == pytest.approx(found[1].objective, rel=2e-4)


def test_without_time_it_gives_back_its_start(problem_of):
    p = problem_of("dense", 0)
    ones = {g.name: np.ones(g.size) for g in p.network.groups}
    found = om.solve_instance(p.build(), om.Solver(time_limit=1e-9), search="tree", start=ones)
    assert (found.status, found.message) == ("feasible", "the time limit came before a proof")
    assert found.bound is None
    assert found.objective == pytest.approx(cost(p, np.ones(p.units), "subtractive", "cross-entropy", "published"))


def test_a_tree_that_is_stopped_has_a_bound_that_holds(problem_of, monkeypatch):
    """Stopped after each number of linear programs in turn: the bound never passes the optimum, and only rises."""
    p = problem_of("conv", 4)
    whole = om.solve_instance(p.build(relaxation="hull"), om.Solver(tolerance=1e-6), search="tree")
    before, real = -np.inf, Relaxation._run
    for most in range(2, whole.rounds, 11):

        def few(self, most=most):
            if self.count >= most:
                raise KeyboardInterrupt
            return real(self)

        monkeypatch.setattr(Relaxation, "_run", few)
        found = om.solve_instance(p.build(relaxation="hull"), om.Solver(tolerance=1e-6), search="tree")
        assert found.interrupted
        assert found.objective >= whole.bound - 1e-9
        bound = -np.inf if found.bound is None else found.bound
        assert before <= bound <= whole.objective + 1e-9
        before = bound


def test_a_solver_that_fails_on_a_node_leaves_its_bound_open(problem_of, monkeypatch):
    p = problem_of("conv", 4)
    whole = om.solve_instance(p.build(relaxation="hull"), om.Solver(tolerance=1e-6), search="tree")
    real, unproved = Relaxation.minimise, 0
    for most in range(1, whole.rounds, 19):

        def broken(self, most=most):
            return (None, -np.inf) if self.count >= most else real(self)

        monkeypatch.setattr(Relaxation, "minimise", broken)
        found = om.solve_instance(p.build(relaxation="hull"), om.Solver(tolerance=1e-6), search="tree")
        assert found.bound is None or found.bound <= whole.objective + 1e-9
        if found.status != "optimal":
            assert (found.status, "failed" in found.message) == ("feasible", True)
            unproved += 1
    assert unproved > 0


def test_the_instance_keeps_the_rows_that_the_tree_ended_with(problem_of):
    p = problem_of("dense", 1)
    instance = p.build(relaxation="hull")
    before = len(instance.loss_tangents.rows.names)
    found = om.solve_instance(instance, om.Solver(tolerance=1e-5), search="tree")
    names = instance.loss_tangents.rows.names
    assert len(names) > before
    assert len(set(names)) == len(names)
    compiled = Compiled(instance)
    x = complete_point(compiled, np.concatenate(list(found.scores.values())))
    assert compiled.arrays.violation(x) <= 1e-6
    again = om.solve_instance(instance, om.Solver(tolerance=1e-5))
    assert again.objective == pytest.approx(found.objective, rel=3e-5)


def test_dropped_rows_are_those_that_were_slack(problem_of):
    instance = problem_of("conv", 4).build(relaxation="hull")
    relaxation = Relaxation(SolveState(instance, get_backend("highs"), Options(), 1e-4, None))
    x, first = relaxation.minimise()
    for _ in range(6):
        relaxation.add_tangents(x, 1e-9, None)
        relaxation.add_hull_cuts(x, 1e-6)
        x, bound = relaxation.minimise()
        relaxation.age(x)
    rows = sum(len(block.idle) for block in relaxation.added)
    relaxation.drop_idle(1)
    left = sum(len(block.idle) for block in relaxation.added)
    assert 0 < left < rows
    _, after = relaxation.minimise()
    assert first < bound
    assert after == pytest.approx(bound, abs=1e-7)
    relaxation.close()


def test_pseudo_costs_choose_the_product_of_both_sides():
    costs = PseudoCosts(3)
    gains = {0: (1.0, 0.0), 1: (0.3, 0.3), 2: (0.1, 0.4)}
    value = np.array([0.5, 0.5, 0.5])
    choice = costs.choose(np.arange(3), value, lambda column, side: gains[column][side], most=10.0)
    assert (choice.column, choice.gains) == (1, (0.3, 0.3))
    shut = costs.choose(np.arange(3), value, lambda column, side: gains[column][side], most=0.35)
    assert (shut.column, shut.gains) == (0, (1.0, 0.0))
    assert costs.gains(np.array([2]), np.array([[0.5, 0.5]])).tolist() == [[0.1, 0.4]]


def test_an_unknown_search_is_refused(problem_of):
    with pytest.raises(InputError, match="search: got 'trees', accepted are solver, tree"):
        om.solve_instance(problem_of("dense", 0).build(), search="trees")


def test_auto_is_the_tree_where_a_loss_enters_by_tangents_and_the_solver_elsewhere(problem_of):
    tree = om.Joint(om.Formulation(), search="auto")
    assert isinstance(tree.search, om.TreeSearch)
    assert tree.formulation.relaxation == "hull"
    for form in (
        om.Formulation(loss="hinge"), om.Formulation(loss="margin"), om.Formulation(relaxed=True),
        om.Formulation(gate="published", relaxed=True), om.Formulation(weight=0.0),
    ):  # fmt: skip
        own = om.Joint(form, search="auto")
        assert own.search == "solver", form
        assert own.formulation.relaxation == "big-m"
    p = problem_of("dense", 3)
    for loss, by_solver in (("cross-entropy", False), ("hinge", True)):
        told = []
        instance = p.build(loss=loss, scores="binary", sparsity="mean", relaxation="big-m")
        found = om.solve_instance(instance, search="auto", progress=told.append)
        assert found.status == "optimal"
        # A round is a solve of the solver's own tree; the tree of this package has none.
        assert (found.rounds == 1) == by_solver
        assert all(event.kind not in ("round", "relaxation") for event in told)


def test_tangents_that_a_node_adds_last_do_not_keep_its_sides_from_being_tried(problem_of, monkeypatch):
    # A node may end with an optimum that its newest tangents cut off. The solver has not seen them by then.
    told, added = [], []
    real = Tree._solve_node

    def solve_node(self, fixed, root):
        x, bound = real(self, fixed, root)
        if x is not None:
            told.append(self.lp.tangents.ignored(x))
            added.append(self.lp.tangents.before is x)
        return x, bound

    monkeypatch.setattr(Tree, "_solve_node", solve_node)
    monkeypatch.setattr(claims, "LISTED", 0)
    for seed in range(4):
        instance = problem_of("dense", seed).build(loss="cross-entropy", sparsity="mean", weight=WEIGHT)
        assert om.solve_instance(instance, om.Solver(tolerance=1e-5), search="tree").status == "optimal"
    assert any(added)
    assert not any(told)


def test_tangents_are_ignored_where_another_optimum_violates_them_as_before():
    before = np.zeros(2)
    tangents = Tangents(sp.csr_array([[1.0, 0.0]]), np.ones(1), 1.0, before)
    assert tangents.ignored(np.array([0.2, 0.0]))
    assert not tangents.ignored(np.array([0.9, 0.0]))
    assert not tangents.ignored(before)
