"""The optimum over binary scores is that of trying every vector of scores in the network itself."""

from __future__ import annotations

import numpy as np
import pytest

import oamip_model as om
from oamip_model.formulation import cross_entropy, hinge, published_sparsity, sparsity_weights
from oamip_model.formulation.gates import gate_named, gate_names

GATES = tuple(name for name in gate_names() if gate_named(name).sound)
SPARSITIES = ("published", "mean", "parameters")
WEIGHT, MARGIN = 5.0, 1.0


def sparsity_of(p, kind, bits):
    if kind == "published":
        parts = p.split(bits).values()
        return published_sparsity([q.sum() for q in parts], p.sizes, [g.divisor for g in p.network.groups])
    return float(sparsity_weights(p.network, kind) @ bits)


def logits_by_scores(p):
    """Logits of the network for every vector of binary scores."""
    return [(bits, p.network.replay(p.images, p.split(bits))) for bits in p.all_binary()]


def loss_of(loss, logits, labels):
    if loss == "cross-entropy":
        return cross_entropy(logits, labels).mean()
    return hinge(logits, labels, MARGIN).mean()


@pytest.mark.thinned(12)
@pytest.mark.parametrize("seed", range(3))
def test_optimum_is_that_of_all_binary_scores(kind, problem_of, seed):
    p = problem_of(kind, seed, 2 if seed == 0 else 1)
    tried = logits_by_scores(p)
    for number, (gate, loss, sparsity) in enumerate(
        (g, o, s) for g in GATES for o in ("cross-entropy", "hinge") for s in SPARSITIES
    ):
        # A third of the combinations for each seed, so that every one is tried for every kind of network.
        if number % 3 != seed:
            continue
        best = min(WEIGHT * loss_of(loss, o, p.labels) + sparsity_of(p, sparsity, bits) for bits, o in tried)
        instance = p.build(gate=gate, scores="binary", loss=loss, sparsity=sparsity, weight=WEIGHT, margin=MARGIN)
        found = om.solve_instance(instance, om.Solver(tolerance=1e-7))
        assert found.status == "optimal"
        assert found.objective == pytest.approx(best, rel=1e-6, abs=1e-6), (gate, loss, sparsity)
        assert found.bound <= best + 1e-6 * max(1, abs(best))
        # The objective is what these scores cost in the network, and the program's logits are the network's.
        bits = np.concatenate(list(found.scores.values()))
        np.testing.assert_allclose(bits, np.round(bits), atol=1e-6)
        replayed = p.network.replay(p.images, {k: np.round(s) for k, s in found.scores.items()})
        np.testing.assert_allclose(found.logits, replayed, atol=1e-5)
        cost = WEIGHT * loss_of(loss, replayed, p.labels) + sparsity_of(p, sparsity, np.round(bits))
        assert found.objective == pytest.approx(cost, abs=1e-5)


@pytest.mark.thinned(16)
@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("seed", range(3))
def test_margin_keeps_as_little_as_the_margin_allows(kind, problem_of, gate, seed):
    p = problem_of(kind, seed, 1)
    tried = logits_by_scores(p)
    gaps = [(o[0, p.labels[0]] - np.delete(o[0], p.labels[0]).max(), bits) for bits, o in tried]
    largest = max(gap for gap, _ in gaps)
    # Half of what can be had at all, or 0 where the label is never predicted; clear of every gap, so that no tolerance
    # decides.
    margin = max(largest / 2, 0.0) + 1e-4
    sparsity = SPARSITIES[seed]
    allowed = [sparsity_of(p, sparsity, bits) for gap, bits in gaps if gap >= margin]
    assert all(abs(gap - margin) > 1e-5 for gap, _ in gaps)
    found = om.solve_instance(p.build(gate=gate, scores="binary", loss="margin", sparsity=sparsity, margin=margin))
    if not allowed:
        assert found.status == "infeasible"
        assert found.scores is None
    else:
        assert found.status == "optimal"
        assert found.objective == pytest.approx(min(allowed), abs=1e-6)
    beyond = largest + 1.0 + abs(largest)
    impossible = p.build(gate=gate, scores="binary", loss="margin", sparsity=sparsity, margin=beyond)
    assert om.solve_instance(impossible).status == "infeasible"
