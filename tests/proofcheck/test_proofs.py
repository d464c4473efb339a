"""Proofs of solved programs check in rational arithmetic, and no changed or false one does."""

from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import make_problem

import oamip_model as om
from oamip_model.certify.proofs import prove as prove_module
from oamip_model.certify.proofs.prove import prove
from oamip_model.proofcheck import check_proof, load_proof
from oamip_model.proofcheck.exact import exp_bounds, log_above
from oamip_model.solving.proofs.certificates import Rows, weak_duality
from oamip_model.solving.proofs.no_point import least_violation

PROGRAMS = {
    "subtractive, continuous": om.Formulation(sparsity="mean", weight=1.0),
    "subtractive, binary, hinge": om.Formulation(scores="binary", loss="hinge", sparsity="parameters", weight=1.0),
    "switch": om.Formulation(gate="switch", scores="binary", sparsity="mean", weight=1.0),
}
KINDS = ("dense", "deep", "conv", "norm", "average-pool", "depthwise", "tied-to-image", "relu-pool", "pool-relu")
CASES = [(kind, name) for kind in KINDS for name in PROGRAMS] + [("residual", "switch")]


def solved(kind: str, name: str):
    problem, form = make_problem(kind, 1), PROGRAMS[name]
    method = om.Joint(form, search="tree")
    found = om.score(problem.network, problem.images, problem.labels, method=method, solver=om.Solver(tolerance=1e-3))
    known = (form, found.by_layer, found.objective)
    return problem, prove(problem.network, problem.images, problem.labels, *known, found.bound), found


@pytest.mark.thinned(12)
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_proofs_of_solved_programs_check(kind, name):
    problem, proof, found = solved(kind, name)
    checked = check_proof(proof, problem.network, problem.images)
    assert checked.bound == pytest.approx(found.bound, abs=2e-6)
    assert checked.objective == pytest.approx(found.objective, abs=3e-6)
    assert checked.objective - checked.bound <= 1.1e-3 * max(1.0, abs(found.objective))


@pytest.fixture(scope="module")
def case():
    problem, proof, _ = solved("conv", "switch")
    assert sum(node.kind != "leaf" for node in proof.nodes) > 2
    return problem, proof


@pytest.mark.parametrize("rays", ["no ray", "a ray of nothing"])
def test_a_leaf_without_a_point_is_proved_where_the_solver_gives_no_ray(rays, monkeypatch):
    answers, empty = prove_module._Writer._answer, []

    def without_a_ray(writer, lower, upper):
        answer = answers(writer, lower, upper)
        if answer.status != "infeasible":
            return answer
        empty.append(answer)
        return replace(answer, ray=None if rays == "no ray" else np.eye(1, len(answer.ray))[0])

    monkeypatch.setattr(prove_module._Writer, "_answer", without_a_ray)
    problem, proof, _ = solved("conv", "switch")
    check_proof(proof, problem.network, problem.images)
    assert empty


@pytest.mark.parametrize("infeasible", [True, False])
def test_the_least_violation_is_a_ray_where_there_is_no_point(infeasible):
    # x + y >= 3 and x - y <= 0 in [0, 1] x [0, 1], or in [0, 2] x [0, 2].
    rows = [Rows(sp.csr_array([[1.0, 1.0]]), np.array([3.0]), np.array([np.inf])),
            Rows(sp.csr_array([[1.0, -1.0]]), np.array([-np.inf]), np.array([0.0]))]  # fmt: skip
    lower, upper = np.zeros(2), np.full(2, 1.0 if infeasible else 2.0)
    y = least_violation(rows, lower, upper, om.Solver())
    assert (weak_duality(np.zeros(2), lower, upper, rows, y) > 0.5) == infeasible


def numbers(record, at=()):
    """The places of all numbers of a record."""
    items = record.items() if isinstance(record, dict) else enumerate(record) if isinstance(record, list) else ()
    for key, value in items:
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield (*at, key)
        else:
            yield from numbers(value, (*at, key))


def test_a_file_with_any_number_changed_is_refused(case, tmp_path):
    _, proof = case
    path = tmp_path / "proof.json"
    proof.save(path)
    assert load_proof(path) == proof
    record = json.loads(path.read_text())
    places = list(numbers(record))
    assert len(places) > 500
    for place in places[:: len(places) // 60]:
        changed = copy.deepcopy(record)
        inner = changed
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = inner[place[-1]] + 1
        path.write_text(json.dumps(changed))
        with pytest.raises(om.InputError):
            load_proof(path)


def test_false_proofs_are_found_whatever_their_digest_says(case):
    problem, proof = case
    leaf = max((k for k, node in enumerate(proof.nodes) if node.kind == "leaf"), key=lambda k: len(proof.nodes[k].rows))
    split = next(k for k, node in enumerate(proof.nodes) if node.kind != "leaf")

    def with_node(number, **changes):
        nodes = list(proof.nodes)
        nodes[number] = replace(nodes[number], **changes)
        return replace(proof, nodes=tuple(nodes))

    rows = proof.nodes[leaf].rows
    wide = tuple(tuple(tuple(v + 1.0 for v in layer) for layer in image) for image in proof.lower)
    false = [
        replace(proof, bound=proof.bound + 1e-4),
        replace(proof, objective=proof.objective - 1e-4),
        replace(proof, scores=tuple(1.0 - s for s in proof.scores)),
        replace(proof, labels=tuple((label + 1) % 3 for label in proof.labels)),
        replace(proof, program=replace(proof.program, weight=2.0)),
        replace(proof, program=replace(proof.program, sparsity="parameters")),
        replace(proof, lower=wide),
        replace(proof, nodes=(proof.nodes[leaf],)),
        replace(proof, nodes=proof.nodes[:-1]),
        with_node(split, low=split),
        with_node(split, low=proof.nodes[split].high),
        with_node(split, layer=99, kind="state"),
        with_node(leaf, rows=()),
        with_node(leaf, rows=(*rows, replace(rows[0], layer=99))),
        with_node(leaf, rows=tuple(replace(row, value=-row.value) for row in rows)),
    ]
    for wrong in false:
        with pytest.raises(om.CheckError):
            check_proof(replace(wrong, digest=wrong.digested()), problem.network, problem.images)


def test_a_broken_tree_s_false_bound_is_found():
    # A tree that never looks at one side of its splits: what it says is the best of the other sides.
    problem = make_problem("conv", 1)
    form = PROGRAMS["switch"]
    values = []
    for bits in problem.all_binary():
        logits = problem.network.replay(problem.images, problem.split(bits))
        over = logits - logits[np.arange(len(logits)), problem.labels][:, None]
        values.append((bits.mean() + np.log(np.exp(over).sum(axis=1)).mean(), bits))
    values.sort(key=lambda pair: pair[0])
    best = values[0]
    split = next(u for u in range(problem.units) if values[0][1][u] != values[1][1][u])
    other = next(value for value, bits in values if bits[split] != best[1][split])
    with pytest.raises(om.CheckError, match="does not reach"):
        prove(problem.network, problem.images, problem.labels, form, problem.split(best[1]), best[0], other)
    # And where the writer is broken as well, and leaves the side out that holds the optimum:
    made = prove(problem.network, problem.images, problem.labels, form, problem.split(best[1]), best[0], best[0])
    wrong = replace(made, bound=other - 1e-6, objective=other)
    with pytest.raises(om.CheckError, match="holds less"):
        check_proof(wrong, problem.network, problem.images)


def test_another_network_and_other_images_are_refused(case):
    problem, proof = case
    with pytest.raises(om.InputError, match="it is of network"):
        check_proof(proof, make_problem("conv", 2).network, problem.images)
    with pytest.raises(om.InputError, match="are not among those given"):
        check_proof(proof, problem.network, problem.images + 1e-9)
    more = np.concatenate([problem.images + 1.0, problem.images[::-1]])
    assert check_proof(proof, problem.network, more).bound == proof.bound


@pytest.mark.parametrize(
    ("form", "kind", "said"),
    [
        (om.Formulation(), "dense", "sparsity"),
        (om.Formulation(gate="published"), "dense", "gate"),
        (om.Formulation(sparsity="mean", loss="margin"), "dense", "loss"),
    ],
)
def test_what_proofs_do_not_cover_is_refused(form, kind, said):
    problem = make_problem(kind)
    with pytest.raises(om.InputError, match=said):
        prove(problem.network, problem.images, problem.labels, form, {}, 1.0, 1.0)


@pytest.mark.parametrize("x", [-300.0, -20.5, -1e-9, 0.0, 1e-30, 0.7, 3.0, 250.0])
def test_exponentials_and_logarithms_are_enclosed(x):
    low, high = exp_bounds(Fraction(x))
    assert low <= high <= low * (1 + Fraction(1, 10**25))
    assert float(low) == pytest.approx(math.exp(x), rel=1e-12)
    # The inverse meets itself: log e^x is not below x.
    assert 0 <= log_above(high) - Fraction(x) < Fraction(1, 10**9)


def test_the_checker_uses_nothing_of_the_search():
    import ast
    from pathlib import Path

    import oamip_model.proofcheck as room

    rooms = set()
    for path in Path(room.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("oamip_model."):
                rooms.add(node.module.split(".")[1])
    assert rooms <= {"proofcheck", "network", "errors", "records", "files"}
