"""Different solvers, the same optimum: every gate, loss, sparsity and kind of layer."""

from __future__ import annotations

import itertools

import pytest

import oamip_model as om
from oamip_model.solving import compile_arrays

SOLVERS = [s.name for s in om.list_solvers() if s.available and s.name in ("highs", "cbc", "scip", "gurobi")]
KINDS = ["dense", "deep", "conv", "residual", "relu-pool", "pool-relu", "average-pool", "norm", "depthwise"]
GATES = [("published", "continuous", True), ("published", "binary", False), ("subtractive", "continuous", False),
         ("subtractive", "binary", False), ("switch", "binary", False), ("switch", "continuous", True)]  # fmt: skip
LOSSES = ["hinge", "cross-entropy", "margin"]
SPARSITIES = ["published", "mean", "parameters"]
# Two kinds of network for every gate and loss; the sparsities in turn.
CASES = [
    (KINDS[(2 * number + twice) % len(KINDS)], *gate, loss, SPARSITIES[(number + twice) % 3], 1 + twice)
    for number, (gate, loss) in enumerate(itertools.product(GATES, LOSSES))
    for twice in range(2)
]


def test_the_cases_cover_everything():
    assert len(CASES) >= 30
    for k, choices in ((0, KINDS), (4, LOSSES), (5, SPARSITIES)):
        assert {case[k] for case in CASES} == set(choices)
    assert {case[1:4] for case in CASES} == set(GATES)


@pytest.mark.thinned(12)
@pytest.mark.skipif(len(SOLVERS) < 2, reason="agreement needs two solvers")
@pytest.mark.parametrize(("kind", "gate", "scores", "relaxed", "loss", "sparsity", "seed"), CASES)
def test_solvers_agree(problem_of, kind, gate, scores, relaxed, loss, sparsity, seed):
    p = problem_of(kind, seed, 1)
    # A margin that the trained network has, so that there is something to find.
    logits = p.network.replay(p.images)[0]
    label = int(logits.argmax())
    margin = float(logits[label] - max(o for c, o in enumerate(logits) if c != label)) / 2
    options = {"gate": gate, "scores": scores, "relaxed": relaxed, "loss": loss, "sparsity": sparsity, "margin": margin}
    found = {}
    for solver in SOLVERS:
        instance = om.build_instance(p.network, p.images, [label], om.Formulation(**options))
        if solver == "gurobi" and max(compile_arrays(instance).matrix.shape) > 1900:
            continue
        # Gurobi takes tangents that differ by less than 1e-6 for one, and gets no closer than that.
        found[solver] = om.solve_instance(instance, om.Solver(solver, tolerance=3e-6))
        assert found[solver].status == "optimal", solver
    assert len(found) >= 2
    lowest = min(s.objective for s in found.values())
    for solver, solution in found.items():
        assert solution.objective == pytest.approx(lowest, rel=1e-5, abs=1e-5), solver
        assert solution.bound <= lowest + 1e-5 * max(1.0, abs(lowest)), solver
