"""Cut rounds of the relaxation ``hull`` within a solve."""

from __future__ import annotations

import numpy as np
import pytest

import oamip_model as om
from oamip_model.solving.compile import Compiled


def solved(p, relaxation, solver="highs", **options):
    instance = p.build(relaxation=relaxation, sparsity="mean", **options)
    return instance, om.solve_instance(instance, om.Solver(solver, tolerance=1e-5))


@pytest.mark.parametrize("loss", ["hinge", "cross-entropy", "margin"])
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
def test_the_relaxed_program_is_cut_too(problem_of, gate, loss):
    for name in ("conv", "residual"):
        p = problem_of(name, 1)
        options = {"gate": gate, "relaxed": True, "loss": loss, "margin": 0.0 if loss == "margin" else 1.0}
        _, plain = solved(p, "partition-1", **options)
        instance, tight = solved(p, "hull", **options)
        assert plain.status == tight.status
        if plain.status == "infeasible":
            continue
        assert plain.status == "optimal"
        assert tight.cuts > plain.cuts or not len(instance.hull_cuts)
        assert tight.bound >= plain.bound - 1e-5
        # What is given back is a point of the program with all its cuts, not of a round before.
        compiled = Compiled(instance)
        x = np.array([data.value for data in compiled.variables])
        assert compiled.arrays.violation(x) <= 1e-6
        assert tight.objective >= tight.bound - 1e-6
    assert len(instance.hull_cuts) > 0


@pytest.mark.parametrize("solver", ["highs", "cbc", "scip"])
def test_every_backend_takes_cuts(problem_of, solver):
    if solver not in [info.name for info in om.list_solvers() if info.available]:
        pytest.skip(f"{solver} is not here")
    p = problem_of("conv", 1)
    _, plain = solved(p, "big-m", solver, loss="hinge")
    instance, tight = solved(p, "hull", solver, loss="hinge")
    assert tight.status == "optimal"
    assert tight.objective == pytest.approx(plain.objective, rel=3e-5)
    assert tight.cuts > 0
    # Those left are tight at the last relaxation, and read as ordinary rows.
    assert 0 < len(instance.hull_cuts) <= tight.cuts
    for row in instance.hull_cuts.values():
        assert row.upper is not None
        assert row.lower is None


def test_rows_that_stay_keep_their_names_and_values(problem_of):
    instance, _ = solved(problem_of("conv", 1), "hull", loss="hinge")
    cuts = instance.hull_cuts
    rows = {name: str(row.expr) for name, row in cuts.items()}
    at = np.arange(len(cuts))[::2]
    cuts.keep(at)
    assert {name: str(row.expr) for name, row in cuts.items()} == {
        name: rows[name] for name in list(rows)[::2]
    }  # fmt: skip
    assert Compiled(instance).arrays.matrix.shape[0] > len(at)
