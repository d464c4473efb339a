"""Gates, losses and sparsities from outside the package do what those inside it do."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.bounds import Cutoff
from oamip_model.formulation import Formulation, Gate, Switch, cross_entropy, register_gate
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.scoring.joint.gated import GatedObjective
from oamip_model.scoring.joint.heuristic import find_scores
from oamip_model.solving import gated_logits
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point
from oamip_model.tightening import compute_bounds

WEIGHT = 5.0
SOME = ("dense", "residual", "relu-pool", "tied-to-image")


class Square(Gate):
    """h = s^2 max(0, a): what it takes to state a gate for binary scores."""

    name = "square"

    def output(self, a, s, scale):
        return s * s * a.clip(min=0.0)


class TightSquare(Switch):
    """The same with the rows, and so the relaxations, of the gate switch."""

    name = "tight-square"

    def output(self, a, s, scale):
        return s * s * a.clip(min=0.0)


def best_of_all(p, loss, sparsity):
    """The least objective over all binary scores, by the network's own forward pass."""
    return min(
        WEIGHT * loss(p.network.replay(p.images, p.split(bits)), p.labels).mean() + sparsity(bits)
        for bits in p.all_binary()
    )


@pytest.mark.parametrize("name", ["own_gate", "own_loss", "own_sparsity"])
def test_every_example_runs(example, name, capsys):
    example(name).main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("optimal" in line for line in lines)


@pytest.mark.thinned(6)
@pytest.mark.parametrize("name", ["steep", "square", "tight-square"])
@pytest.mark.parametrize("kind", SOME)
def test_the_optimum_of_an_own_gate_is_that_of_all_binary_scores(example, problem_of, kind, name):
    example("own_gate")
    register_gate(Square)
    register_gate(TightSquare)
    p = problem_of(kind, 1, 1)
    found = om.solve_instance(
        p.build(gate=name, scores="binary", sparsity="mean", weight=WEIGHT), om.Solver(tolerance=1e-6)
    )
    assert found.status == "optimal"
    assert found.objective == pytest.approx(best_of_all(p, cross_entropy, np.mean), rel=1e-5, abs=1e-6)
    scores = {group: np.round(values) for group, values in found.scores.items()}
    np.testing.assert_allclose(found.logits, gated_logits(p.network, p.images, scores, name), atol=1e-5)


@pytest.mark.parametrize("gate", [Square, TightSquare])
def test_a_gate_that_states_its_output_alone_has_it_in_torch_too(gate):
    a, s = np.random.default_rng(0).normal(size=(2, 20))
    found = gate().torch_output(torch.tensor(a, requires_grad=True), torch.tensor(s), torch.ones(20))
    np.testing.assert_allclose(found.detach().numpy(), gate().output(a, s, np.ones(20)))


@pytest.mark.parametrize("relaxation", ["partition-2", "hull"])
def test_a_gate_with_the_rows_of_the_switch_has_its_relaxations_and_the_tree(problem_of, relaxation):
    register_gate(TightSquare)
    p = problem_of("dense", 1, 2)
    instance = p.build(gate="tight-square", scores="binary", sparsity="mean", weight=WEIGHT, relaxation=relaxation)
    found = om.solve_instance(instance, om.Solver(tolerance=1e-6), search="tree")
    assert found.status == "optimal"
    assert found.objective == pytest.approx(best_of_all(p, cross_entropy, np.mean), rel=1e-5, abs=1e-6)


@pytest.mark.thinned(10)
@pytest.mark.parametrize("seed", range(3))
def test_fractional_scores_of_an_own_gate_are_points_of_its_program(example, kind, random_problem, seed):
    example("own_gate")
    p = random_problem(kind, seed)
    compiled = Compiled(p.build(gate="steep"))
    for k in range(4):
        flat = np.random.default_rng(k).uniform(0, 1, p.units)
        x = complete_point(compiled, flat)
        assert compiled.arrays.violation(x) <= 1e-9
        logits = gated_logits(p.network, p.images, p.split(flat), "steep")
        np.testing.assert_allclose(x[compiled.columns(compiled.model.o)].reshape(logits.shape), logits, atol=1e-9)


def test_the_tree_and_the_solver_agree_on_an_own_gate_with_continuous_scores(example, problem_of):
    example("own_gate")
    p = problem_of("dense", 2, 2)
    options = {"gate": "steep", "sparsity": "mean", "weight": WEIGHT}
    ways = [om.solve_instance(p.build(**options), search=search) for search in ("solver", "tree")]
    assert {found.status.value for found in ways} == {"optimal"}
    assert ways[0].objective == pytest.approx(ways[1].objective, rel=3e-4)
    # Binary scores mean the same in every gate, and are among those of this one.
    binary = om.solve_instance(p.build(scores="binary", **options))
    assert ways[0].bound <= binary.objective + 1e-6
    for found in ways:
        logits = gated_logits(p.network, p.images, found.scores, "steep")
        np.testing.assert_allclose(found.logits, logits, atol=1e-5)


def test_torch_and_numpy_agree_on_an_own_gate_and_loss(example, problem_of):
    example("own_gate")
    example("own_loss")
    p = problem_of("conv", 1, 2)
    settings = Formulation(gate="steep", loss="squared-hinge", sparsity="mean", margin=0.5)
    objective = GatedObjective(p.network, p.images, p.labels, settings, dtype=torch.float64)
    flat = np.random.default_rng(0).uniform(0.3, 1, p.units)
    s = torch.tensor(flat[None], requires_grad=True)
    value = objective(s)
    value.sum().backward()
    loss = loss_named("squared-hinge")

    def cost(scores):
        logits = gated_logits(p.network, p.images, p.split(scores), "steep")
        return settings.weight * loss.values(logits, p.labels, 0.5).mean() + scores.mean()

    assert float(value.detach()) == pytest.approx(cost(flat), rel=1e-9)
    for u in range(p.units):
        step = np.eye(p.units)[u] * 1e-6
        assert float(s.grad[0, u]) == pytest.approx((cost(flat + step) - cost(flat - step)) / 2e-6, rel=1e-4, abs=1e-6)


@pytest.mark.thinned(4)
@pytest.mark.parametrize("kind", SOME)
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
def test_the_optimum_of_an_own_loss_and_sparsity_is_that_of_all_binary_scores(example, problem_of, kind, gate):
    example("own_loss")
    example("own_sparsity")
    p = problem_of(kind, 1, 1)
    options = {"loss": "squared-hinge", "sparsity": "norms", "weight": WEIGHT, "margin": 0.5, "scores": "binary"}
    found = om.solve_instance(p.build(gate=gate, **options), om.Solver(tolerance=1e-6))
    assert found.status == "optimal"
    norms, loss = sparsity_named("norms"), loss_named("squared-hinge")
    best = best_of_all(p, lambda o, y: loss.values(o, y, 0.5), lambda bits: norms.value(p.network, bits))
    assert found.objective == pytest.approx(best, rel=1e-5, abs=1e-6)
    settings = Formulation(gate=gate, **options)
    assert find_scores(p.network, p.images, p.labels, settings).objective >= best - 1e-6


def test_bounds_up_to_a_cutoff_hold_for_an_own_loss_and_sparsity(example, problem_of):
    example("own_loss")
    example("own_sparsity")
    p = problem_of("dense", 1, 2)
    norms, loss = sparsity_named("norms"), loss_named("squared-hinge")

    def cost(bits):
        losses = loss.values(p.network.replay(p.images, p.split(bits)), p.labels, 0.5)
        return WEIGHT * losses.mean() + norms.value(p.network, bits)

    known = sorted((cost(bits), tuple(bits)) for bits in p.all_binary())
    cutoff = Cutoff(known[len(known) // 4][0], p.labels, WEIGHT, "squared-hinge", "norms", 0.5)
    found = compute_bounds(p.network, p.images, "lp", cutoff=cutoff)
    for value, bits in known:
        if value > cutoff.objective:
            break
        passed = p.network.activations(p.images, p.split(np.array(bits)))
        for k, h in enumerate(passed):
            assert (h.reshape(len(h), -1) <= found.output_upper[k] + 1e-9).all()
            assert (h.reshape(len(h), -1) >= found.output_lower[k] - 1e-9).all()
    plain = compute_bounds(p.network, p.images, "lp")
    tighter = sum(float((a - b).sum()) for a, b in zip(plain.upper, found.upper, strict=True))
    assert tighter > 0


def test_tighter_bounds_than_an_own_gate_allows_are_refused(example, problem_of):
    example("own_gate")
    p = problem_of("dense", 0, 1)
    with pytest.raises(om.InputError, match=r"^bounds: the gate steep is defined by interval bounds, got crown$"):
        p.build(gate="steep", bounds="crown")
    with pytest.raises(om.InputError, match=r"^relaxation: got 'hull', but the gate steep is defined by its rows"):
        p.build(gate="steep", relaxation="hull")


PROGRAM = """
import numpy as np, sys
from oamip_model.formulation import Gate, register_gate
from oamip_model.formulation.gates import gate_named
from oamip_model.solving.workers.parallel import Workers

class Square(Gate):
    name = "square"
    def output(self, a, s, scale):
        return s * s * np.maximum(a, 0.0)

def task(shared, item, tell):
    return float(gate_named("square").output(np.array(shared), item, 1.0))

if __name__ == "__main__":
    register_gate(Square)
    print(sorted(dict(Workers(jobs=2).run(task, 2.0, {"a": 0.5, "b": 3.0})).items()))
"""


def test_worker_processes_know_what_was_registered(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    told = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert told.stdout == "[('a', 0.5), ('b', 18.0)]\n"
