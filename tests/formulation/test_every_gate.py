"""What holds for every gate, loss and sparsity that is installed, those of other packages included."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
import torch

from oamip_model.errors import InputError
from oamip_model.formulation import Formulation
from oamip_model.formulation.gates import gate_named, gate_names
from oamip_model.formulation.losses import loss_named, loss_names
from oamip_model.formulation.settings import SCORES
from oamip_model.formulation.sparsities import sparsity_named, sparsity_names
from oamip_model.solving import gated_logits
from oamip_model.solving.compile import Compiled
from oamip_model.solving.point import complete_point

GATES, LOSSES, SPARSITIES = gate_names(), loss_names(), sparsity_names()
KINDS = ("dense", "residual", "relu-pool", "tied-to-image")


@pytest.fixture
def pick():
    return np.random.default_rng(7)


@pytest.mark.parametrize("name", GATES)
def test_scores_of_1_and_0_are_the_unit_as_trained_and_removed(name, pick):
    gate, a = gate_named(name), pick.normal(size=(50,))
    scale = np.abs(a) + pick.uniform(0, 1, 50)
    np.testing.assert_allclose(gate.output(a, np.ones(50), scale), np.maximum(a, 0.0), atol=1e-12)
    np.testing.assert_array_equal(gate.output(a, np.zeros(50), scale), 0.0)
    middle = gate.output(a, pick.uniform(0, 1, 50), scale)
    assert (middle >= 0).all()
    assert (middle <= np.maximum(a, 0.0) + 1e-12).all()


@pytest.mark.parametrize("name", GATES)
def test_the_forward_pass_in_torch_is_that_in_numpy(name, pick):
    gate = gate_named(name)
    a, s, scale = pick.normal(size=(3, 40)), pick.uniform(0, 1, (3, 40)), pick.uniform(1, 2, (3, 40))
    found = gate.torch_output(*(torch.as_tensor(x) for x in (a, s, scale)))
    np.testing.assert_allclose(found.numpy(), gate.output(a, s, scale), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in GATES if gate_named(name).sound])
def test_a_forward_pass_is_a_point_of_the_program_in_every_relaxation(name, kind, problem_of, pick):
    gate, p = gate_named(name), problem_of(kind, 1, 2)
    for relaxation in gate.relaxations:
        for scores in gate.scores:
            compiled = Compiled(p.build(gate=name, relaxation=relaxation, scores=scores))
            for _ in range(3):
                flat = pick.uniform(0, 1, p.units) if scores == "continuous" else pick.integers(0, 2, p.units) * 1.0
                x = complete_point(compiled, flat)
                assert compiled.arrays.violation(x) <= 1e-9, (relaxation, scores)
                logits = gated_logits(p.network, p.images, p.split(flat), name)
                o = x[compiled.columns(compiled.model.o)].reshape(logits.shape)
                np.testing.assert_allclose(o, logits, atol=1e-9)


@pytest.mark.parametrize("name", GATES)
def test_scores_that_a_gate_does_not_take_are_refused_or_called_a_relaxation(name):
    for scores in set(SCORES) - set(gate_named(name).scores):
        with pytest.raises(ValueError, match=f"scores: gate {name} takes"):
            Formulation(gate=name, scores=scores)
        if scores == "continuous":
            assert Formulation(gate=name, scores=scores, relaxed=True).is_relaxation


def drawn(loss, pick, count, scale=1.0):
    """Logits and labels that a loss can judge: of one logit where it takes only that."""
    with contextlib.suppress(InputError):
        return pick.normal(size=(count, 4)) * scale, loss.check(4, pick.integers(0, 4, count))
    return pick.normal(size=(count, 1)) * scale, loss.check(1, pick.integers(0, 2, count).astype(np.float64))


@pytest.mark.parametrize("name", LOSSES)
def test_tangents_of_a_loss_are_below_it_and_its_slopes_are_its_gradient(name, pick):
    loss, margin = loss_named(name), 0.5
    o, y = drawn(loss, pick, 40, scale=3)
    values, slopes = loss.values(o, y, margin), loss.slopes(o, y, margin)
    assert (values >= 0).all()
    gradient, level = loss.tangents(o, y, margin)
    np.testing.assert_allclose((gradient * o).sum(axis=1) + level, values, atol=1e-7)
    for _ in range(20):
        other = o + pick.normal(size=o.shape) * pick.choice([0.1, 1.0, 30.0])
        assert (loss.values(other, y, margin) >= (gradient * other).sum(axis=1) + level - 1e-9).all()
        assert (loss.values(other, y, margin) >= values + (slopes * (other - o)).sum(axis=1) - 1e-9).all()
    logits = torch.tensor(o, requires_grad=True)
    given = loss.torch_values(logits, torch.as_tensor(y), margin)
    given.sum().backward()
    np.testing.assert_allclose(given.detach().numpy(), values, atol=1e-9)
    np.testing.assert_allclose(logits.grad.numpy(), slopes, atol=1e-9)
    total, summed = loss.torch_sum(torch.tensor(o), torch.as_tensor(y), margin)
    assert total == pytest.approx(values.sum())
    np.testing.assert_allclose(summed.numpy(), slopes, atol=1e-9)


@pytest.mark.parametrize("name", LOSSES)
def test_the_best_logits_of_a_box_are_no_worse_than_others_in_it(name, pick):
    loss = loss_named(name)
    low, y = drawn(loss, pick, 30)
    high = low + pick.uniform(0, 2, low.shape)
    best = loss.best(low, high, y)
    least = np.zeros(30) if best is None else loss.values(best, y, 0.5)
    for _ in range(50):
        assert (loss.values(pick.uniform(low, high), y, 0.5) >= least - 1e-12).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", SPARSITIES)
def test_a_sparsity_is_the_same_in_numpy_in_torch_in_the_model_and_as_a_row(name, kind, problem_of, pick):
    sparsity, p = sparsity_named(name), problem_of(kind, 1, 1)
    instance = p.build(sparsity=name, weight=0.0, loss="hinge")
    compiled = Compiled(instance)
    in_torch = sparsity.in_torch(p.network, torch.float64)
    row = sparsity.row(p.network)
    assert row.least == pytest.approx(sparsity.value(p.network, np.zeros(p.units)))
    for _ in range(5):
        flat = pick.uniform(0, 1, p.units)
        value = sparsity.value(p.network, flat)
        assert float(in_torch(torch.as_tensor(flat[None]))[0]) == pytest.approx(value)
        assert compiled.arrays.objective(complete_point(compiled, flat)) == pytest.approx(value)
        assert value >= row.least - 1e-12
        # The further columns of the row take the values that complete a point.
        further = [np.ravel(v) for v in sparsity.complete(instance, flat).values()]
        x = np.concatenate(further) if further else np.zeros(0)
        assert row.scores @ flat + row.columns @ x == pytest.approx(value)
        assert (row.rows @ np.concatenate([flat, x]) >= row.level - 1e-9).all()
        assert ((row.lower - 1e-9 <= x) & (x <= row.upper + 1e-9)).all()


@pytest.mark.parametrize("name", SPARSITIES)
def test_the_sparsity_of_one_layer_is_its_price_times_its_scores(name, problem_of):
    p = problem_of("dense", 1, 1)
    sparsity = sparsity_named(name)
    for g, group in enumerate(p.network.groups):
        price, constant = sparsity.layer_price(p.network, g)
        assert price.shape == (group.size,)
        assert (price >= 0).all()
        part = sparsity.layer_part(p.network, g)
        if part is not None:
            ones = np.concatenate([np.full(o.size, float(o is group)) for o in p.network.groups])
            assert part * (price.sum() + constant) == pytest.approx(sparsity.value(p.network, ones))
