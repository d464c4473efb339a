"""What a program must be for any network: exact at given scores, removal at 0, the trained network at 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import oamip_model as om
from oamip_model.formulation import cross_entropy, gate_scale, hinge
from oamip_model.solving.replay import gated_logits

SEEDS = st.integers(0, 10_000)
KINDS = st.sampled_from(
    ["dense", "deep", "conv", "residual", "relu-pool", "pool-relu", "average-pool",
     "norm", "depthwise", "tied-to-image"]
)  # fmt: skip


def run(examples):
    return settings(deadline=None, derandomize=True, max_examples=examples)


def fixed_logits(p, flat, **options):
    """Logits of the program whose scores are fixed, (n, classes)."""
    instance = p.build(loss="hinge", **options)
    for variable, value in zip(instance.s.values(), np.asarray(flat).tolist(), strict=True):
        variable.fix(value)
    found = om.solve_instance(instance, om.Solver(tolerance=1e-7))
    assert found.status == "optimal"
    return found.logits


def without_units(module: nn.Module, keep: list[np.ndarray]) -> nn.Module:
    """A chain of dense and convolutional layers with only the units in ``keep`` (masks, one for each ReLU)."""
    parts, masks = [], iter(keep)
    alive = None
    chain = list(module)
    for k, part in enumerate(chain):
        if isinstance(part, nn.Linear | nn.Conv2d):
            last = not any(isinstance(later, nn.ReLU) for later in chain[k:])
            mask = torch.from_numpy(np.ones(part.weight.shape[0], bool) if last else next(masks) > 0)
            columns = torch.ones(part.weight.shape[1], dtype=torch.bool) if alive is None else alive
            if isinstance(part, nn.Linear):
                columns = columns.repeat_interleave(part.in_features // len(columns))
                new: nn.Module = nn.Linear(int(columns.sum()), int(mask.sum()), bias=part.bias is not None)
            else:
                new = nn.Conv2d(
                    int(columns.sum()), int(mask.sum()), part.kernel_size, part.stride, part.padding,
                    bias=part.bias is not None,
                )  # fmt: skip
            new.weight = nn.Parameter(part.weight.detach()[mask][:, columns])
            if part.bias is not None:
                new.bias = nn.Parameter(part.bias.detach()[mask])
            alive = mask
        elif isinstance(part, nn.BatchNorm2d):
            new = nn.BatchNorm2d(int(alive.sum()))
            for name in ("weight", "bias"):
                setattr(new, name, nn.Parameter(getattr(part, name).detach()[alive]))
            for name in ("running_mean", "running_var"):
                setattr(new, name, getattr(part, name)[alive].clone())
        else:
            new = part
        parts.append(new)
    return nn.Sequential(*parts).eval()


CHAINS = ["dense", "deep", "conv", "relu-pool", "pool-relu", "average-pool"]


@pytest.mark.thinned(12)
@pytest.mark.parametrize("gate", ["subtractive", "switch"])
@pytest.mark.parametrize("kind", CHAINS)
@pytest.mark.parametrize("seed", range(3))
def test_binary_scores_are_the_network_with_units_physically_removed(problem_of, kind, gate, seed):
    p, pick = problem_of(kind, seed), np.random.default_rng(seed)
    flat = pick.integers(0, 2, p.units).astype(float)
    scores = p.split(flat)
    for part in scores.values():
        # torch has no layers without units.
        part[pick.integers(len(part))] = 1.0
    smaller = without_units(p.module, list(scores.values())).double()
    with torch.no_grad():
        wanted = smaller(torch.from_numpy(p.images)).numpy()
    flat = np.concatenate(list(scores.values()))
    np.testing.assert_allclose(p.network.replay(p.images, scores), wanted, atol=1e-5)
    np.testing.assert_allclose(fixed_logits(p, flat, gate=gate, scores="binary"), wanted, atol=1e-5)


@run(40)
@given(kind=KINDS, seed=SEEDS, gate=st.sampled_from(["subtractive", "switch"]))
def test_binary_scores_give_the_replayed_logits(random_problem, kind, seed, gate):
    p = random_problem(kind, seed)
    flat = np.random.default_rng(seed).integers(0, 2, p.units).astype(float)
    wanted = p.network.replay(p.images, p.split(flat))
    np.testing.assert_allclose(gated_logits(p.network, p.images, p.split(flat), gate), wanted, atol=1e-9)
    np.testing.assert_allclose(fixed_logits(p, flat, gate=gate, scores="binary"), wanted, atol=1e-6)


@run(40)
@given(kind=KINDS, seed=SEEDS)
def test_fractional_scores_mean_what_the_scale_says(random_problem, kind, seed):
    p = random_problem(kind, seed)
    flat = np.random.default_rng(seed).uniform(0, 1, p.units)
    wanted = gated_logits(p.network, p.images, p.split(flat), "subtractive")
    np.testing.assert_allclose(fixed_logits(p, flat, gate="subtractive"), wanted, atol=1e-6)


@run(40)
@given(
    kind=KINDS, seed=SEEDS, gate=st.sampled_from(["published", "subtractive", "switch"]),
    epsilon=st.sampled_from([1e-5, 0.2]),
)  # fmt: skip
def test_scores_of_one_give_the_trained_network(random_problem, kind, seed, gate, epsilon):
    p = random_problem(kind, seed)
    box = {"epsilon": epsilon} if gate == "published" else {}
    logits = fixed_logits(p, np.ones(p.units), gate=gate, scores="binary", **box)
    np.testing.assert_allclose(logits, p.network.replay(p.images), atol=1e-6)


@run(20)
@given(
    kind=KINDS, seed=SEEDS, gate=st.sampled_from(["subtractive", "switch"]),
    loss=st.sampled_from(["hinge", "cross-entropy"]),
)  # fmt: skip
def test_without_weight_nothing_is_kept(random_problem, kind, seed, gate, loss):
    p = random_problem(kind, seed)
    scores = "binary" if gate == "switch" else "continuous"
    found = om.solve_instance(p.build(gate=gate, scores=scores, loss=loss, sparsity="mean", weight=0.0))
    assert found.status == "optimal"
    assert found.objective == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(np.concatenate(list(found.scores.values())), 0.0, atol=1e-7)
    # The loss is then that of the network without its units, not what the unweighted variable happened to be.
    empty = p.network.replay(p.images, p.split(np.zeros(p.units)))
    value = hinge(empty, p.labels, 1.0) if loss == "hinge" else cross_entropy(empty, p.labels)
    assert found.loss == pytest.approx(value.mean(), abs=1e-6)


@pytest.mark.thinned(10)
@pytest.mark.parametrize(("seed", "loss"), [(0, "hinge"), (1, "cross-entropy")])
def test_no_scores_beat_the_optimum(kind, problem_of, loss, seed):
    p, pick = problem_of(kind, seed, 1), np.random.default_rng(seed)

    def cost(scores):
        logits = gated_logits(p.network, p.images, scores, "subtractive")
        value = hinge(logits, p.labels, 1.0) if loss == "hinge" else cross_entropy(logits, p.labels)
        return 5.0 * value.mean() + np.concatenate(list(scores.values())).mean()

    found = om.solve_instance(p.build(loss=loss, sparsity="mean"), om.Solver(tolerance=1e-4))
    assert found.status == "optimal"
    assert found.objective == pytest.approx(cost(found.scores), rel=1e-6, abs=1e-6)
    best = np.concatenate(list(found.scores.values()))
    for k in range(150):
        # Half of the tries at random, half near the solution, some of their entries at 0 or 1.
        flat = pick.uniform(0, 1, p.units) if k % 2 else np.clip(best + pick.normal(size=p.units) * 0.1, 0, 1)
        flat = np.where(pick.uniform(size=p.units) < 0.3, np.round(flat), flat)
        assert found.bound <= cost(p.split(flat)) + 1e-6


def test_terms_that_cancel_leave_a_fractional_score_its_meaning(problem_of):
    # An edge filter on a flat image: the pre-activation is its bias for certain, but interval bounds do not see that,
    # so the scale M is larger than the constant and h is not s times it.
    module = nn.Sequential(
        nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, (1, 2)), nn.ReLU(), nn.Flatten(), nn.Linear(1, 2)
    ).eval()
    with torch.no_grad():
        for part, weight, bias in ((0, [1.0], 0.0), (2, [1.0, -1.0], 0.5), (5, [1.0, -1.0], 0.0)):
            module[part].weight.copy_(torch.tensor(weight).reshape(module[part].weight.shape))
            module[part].bias.fill_(bias)
    network, image = om.read_network(module, (1, 1, 2)), np.ones((1, 1, 1, 2))
    assert gate_scale(network, image, "subtractive")[1] == pytest.approx(1.5)
    for score, activation in ((1.0, 0.5), (0.9, 0.35), (0.5, 0.0)):
        instance = om.build_instance(network, image, [0], om.Formulation(loss="hinge", margin=3.0))
        first, second = instance.s.values()
        first.fix(1.0)
        second.fix(score)
        found = om.solve_instance(instance, om.Solver(tolerance=1e-7))
        np.testing.assert_allclose(found.logits, [[activation, -activation]], atol=1e-7)
