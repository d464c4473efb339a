"""Proofs that were written to keep the checker busy, and ones of very large logits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from conftest import make_problem

import oamip_model as om
from oamip_model.certify.proofs.prove import prove
from oamip_model.proofcheck import check_proof
from oamip_model.proofcheck.exact import exp_bounds, log_above
from oamip_model.proofcheck.record import Node

FORM = om.Formulation(scores="binary", sparsity="mean", weight=1.0)


@pytest.fixture(scope="module")
def case():
    problem = make_problem("dense", 1)
    found = om.score(problem.network, problem.images, problem.labels, method=om.Joint(FORM, search="tree"))
    known = (found.by_layer, found.objective, found.bound)
    return problem, prove(problem.network, problem.images, problem.labels, FORM, *known)


@pytest.mark.parametrize("sides", [(1, 1), (1, 2)])
def test_a_node_with_many_ways_to_it_is_checked_once_and_refused(case, sides):
    problem, proof = case
    # 2^200 ways from the root to the last node.
    low, high = sides
    splits = [Node("score", low=k + low, high=k + high) for k in range(200)]
    nodes = (*splits, Node("leaf"), Node("leaf"))
    made = replace(proof, nodes=nodes)
    with pytest.raises(om.CheckError, match="the child of two others"):
        check_proof(replace(made, digest=made.digested()), problem.network, problem.images)


def test_what_is_quick_to_refuse_is_refused_before_the_network_s_weights_are_made_rational(case, monkeypatch):
    problem, proof = case

    def made(*given):
        raise AssertionError("the weights were made rational first")

    monkeypatch.setattr("oamip_model.proofcheck.rows.ExactRows._weights", made)
    wrong = replace(proof, lower=tuple(image[:-1] for image in proof.lower))
    with pytest.raises(om.CheckError, match="bounds of every pre-activation"):
        check_proof(replace(wrong, digest=wrong.digested()), problem.network, problem.images)


@pytest.mark.parametrize("factor", [1e4, 1e6])
def test_logits_far_apart_are_checked(case, factor):
    problem, _ = case
    last = problem.network.layers[-1]
    terms = tuple(replace(term, map=term.map.scaled(np.full(problem.network.classes, factor))) for term in last.terms)
    layers = (*problem.network.layers[:-1], replace(last, terms=terms, bias=last.bias * factor))
    network = replace(problem.network, layers=layers)
    form = replace(FORM, weight=1e-3)
    logits = network.replay(problem.images)
    labels = logits.argmin(axis=1)
    over = logits.max(axis=1) - logits.min(axis=1)
    assert over.max() > 1e3
    scores = {group.name: np.ones(group.size) for group in network.groups}
    objective = 1.0 + 1e-3 * float(over.mean()) + 1e-3
    proof = prove(network, problem.images, labels, form, scores, objective, -1.0)
    assert check_proof(proof, network, problem.images).objective == pytest.approx(objective, rel=1e-5)


@pytest.mark.parametrize("x", [-744.5, -9000.0, -1e6, -1e300])
def test_small_powers_of_e_are_enclosed(x):
    low, high = exp_bounds(Fraction(x))
    assert 0 <= low <= high < Fraction(1, 10**300)


def test_large_powers_of_e_are_refused_and_small_logarithms_are_not():
    with pytest.raises(om.CheckError, match="power of e"):
        exp_bounds(Fraction(1e300))
    assert float(log_above(Fraction(5e-324))) == pytest.approx(-744.44, abs=0.01)
