"""Rows of proofs: writer and checker make the same ones, forward passes satisfy them, and windows cannot be cheated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import BUILDERS, make_problem
from torch import nn

import oamip_model as om
from oamip_model.certify.proofs.prove import prove
from oamip_model.certify.proofs.rows import ProofProgram
from oamip_model.proofcheck import check_proof
from oamip_model.proofcheck.check import _Checker
from oamip_model.proofcheck.record import Multiplier

FORMS = {
    "subtractive": om.Formulation(sparsity="mean", weight=1.0),
    "switch": om.Formulation(gate="switch", scores="binary", loss="hinge", sparsity="mean", weight=1.0),
}


def proof_of(problem, form):
    method = om.Joint(form, search="tree")
    found = om.score(problem.network, problem.images, problem.labels, method=method, solver=om.Solver(tolerance=1e-3))
    known = (form, found.by_layer, found.objective, found.bound)
    return prove(problem.network, problem.images, problem.labels, *known)


@pytest.mark.thinned(10)
@pytest.mark.parametrize("kind", sorted(BUILDERS))
@pytest.mark.parametrize("name", sorted(FORMS))
def test_writer_and_checker_make_the_same_rows_and_forward_passes_satisfy_them(kind, name):
    problem, form = make_problem(kind, 2), FORMS[name]
    program = ProofProgram(problem.network, problem.images, problem.labels, form)
    sides = (
        tuple(tuple(tuple(layer[n].tolist()) for layer in side) for n in range(len(problem.images)))
        for side in (program.low, program.high)
    )
    lower, upper = sides
    ones = np.ones(problem.units)
    record = {"images": (), "labels": tuple(problem.labels.tolist()), "scores": tuple(ones.tolist())}
    proof = replace(_blank(form), **record, lower=lower, upper=upper)
    checker = _Checker(proof, problem.network, list(problem.images))
    for at, (names, entries) in enumerate(zip(program.rows.names, program.rows.entries, strict=True)):
        row, low, high = checker.row(Multiplier(*names, 1.0))
        assert row.keys() == entries.keys()
        # The writer's slacks are rounded: a leaf's bound is added up over the checker's.
        assert [float(row[c]) for c in row] == pytest.approx([entries[c] for c in row], rel=1e-9, abs=1e-9)
        for exact, own in ((low, program.rows.low[at]), (high, program.rows.high[at])):
            assert own == (pytest.approx(float(exact), rel=1e-9, abs=1e-9) if exact is not None else own)
            assert np.isinf(own) == (exact is None)
    pick = np.random.default_rng(0)
    for draw in range(6):
        binary = form.scores == "binary" or draw % 2
        scores = pick.integers(0, 2, problem.units) if binary else pick.uniform(0, 1, problem.units)
        x = _forward(program, problem, scores.astype(float))
        rows = program.arrays.matrix @ x
        assert (rows >= program.arrays.row_lower - 1e-9).all()
        assert (rows <= program.arrays.row_upper + 1e-9).all()
        assert (x >= program.arrays.lower - 1e-9).all()
        assert (x <= program.arrays.upper + 1e-9).all()


def _blank(form):
    from oamip_model.proofcheck.record import Program, Proof

    program = Program(form.gate, form.scores, form.loss, form.sparsity, form.weight, form.margin)
    return Proof(1, "scores", "", (), (), program, (), 1.0, 0.0, (), (), ())


def _forward(program, problem, scores):
    """The point of some scores: all columns of the program by a plain forward pass."""
    x = np.zeros(len(program.columns))

    def put(kind, n, k, i, value):
        if (kind, n, k, i) in program.columns:
            x[program.columns[kind, n, k, i]] = value

    for u, s in enumerate(scores):
        put("s", 0, 0, u, s)
    network = problem.network
    for n, image in enumerate(problem.images):
        outputs = []
        for k, layer in enumerate(network.layers):
            ins = [image[None] if t.source == -1 else outputs[t.source][None] for t in layer.terms]
            a = layer.pre_activation([i.reshape(1, *t.input_shape) for i, t in zip(ins, layer.terms, strict=True)])
            flat = a.reshape(-1)
            for i, value in enumerate(flat):
                put("a", n, k, i, value)
            out = flat
            if layer.activation == "relu":
                out = np.zeros_like(flat)
                for i, value in enumerate(flat):
                    unit = program.unit(k, i)
                    s, high = (1.0 if unit is None else scores[unit]), max(program.high[k][n, i], 0.0)
                    multiplied = program.form.gate == "switch" or unit is None
                    out[i] = s * max(value, 0.0) if multiplied else max(value - (1 - s) * high, 0.0)
                    put("h", n, k, i, out[i])
                    put("z", n, k, i, float(out[i] > 0))
            elif layer.activation == "max":
                windows = layer.pool.windows(layer.pre_shape)
                out = np.array([max(flat[j] for j in window if j >= 0) for window in windows])
                for i, window in enumerate(windows):
                    put("h", n, k, i, out[i])
                    best = next(w for w, j in enumerate(window) if j >= 0 and flat[j] == out[i])
                    put("q", n, k, i * len(window) + best, 1.0)
            outputs.append(out)
        o, label = outputs[-1], problem.labels[n]
        others = np.delete(o, label)
        put(
            "t",
            n,
            0,
            0,
            max(0.0, program.form.margin + others.max() - o[label]) if program.form.loss == "hinge" else 9.0,
        )
    return x


CASES = {
    # Pooling behind ReLUs, whose largest entry is known, and before them, where the tree splits by entries.
    "largest": ("relu-pool", 2, FORMS["subtractive"]),
    "choice": ("pool-relu", 4, om.Formulation(sparsity="mean", weight=1.0, scores="binary")),
}


@pytest.fixture(scope="module", params=sorted(CASES))
def pooled(request):
    kind, seed, form = CASES[request.param]
    problem = make_problem(kind, seed)
    return request.param, problem, form, proof_of(problem, form)


def test_a_window_s_rows_are_used_and_none_can_be_changed_for_another(pooled):
    name, problem, _, proof = pooled
    check_proof(proof, problem.network, problem.images)
    families = {row.family for node in proof.nodes for row in node.rows}
    assert families >= ({"largest", "entry"} if name == "largest" else {"chosen", "choice", "entry"})
    assert ("choice" in {node.kind for node in proof.nodes}) == (name == "choice")

    def changed(number, row, new):
        rows = tuple(new if one == row else one for one in proof.nodes[number].rows)
        nodes = list(proof.nodes)
        nodes[number] = replace(nodes[number], rows=rows)
        return replace(proof, nodes=tuple(nodes))

    wrong = []
    for number, node in enumerate(proof.nodes):
        if node.kind == "choice":
            nodes = list(proof.nodes)
            nodes[number] = replace(node, place=10**4)
            wrong.append(replace(proof, nodes=tuple(nodes)))
        for row in node.rows:
            if row.family in ("largest", "chosen", "choice") and abs(row.value) > 1e-3:
                wrong += [changed(number, row, replace(row, place=10**4)), changed(number, row, replace(row, image=9))]
                if row.family != "chosen":
                    wrong.append(changed(number, row, replace(row, place=row.place + 1)))
    assert len(wrong) > 10
    for one in wrong[:: max(1, len(wrong) // 7)]:
        with pytest.raises(om.CheckError):
            check_proof(replace(one, digest=one.digested()), problem.network, problem.images)


def test_an_entry_that_is_not_the_largest_for_all_scores_is_refused(pooled):
    name, problem, form, proof = pooled
    checker = _Checker(proof, problem.network, list(problem.images))
    program = ProofProgram(problem.network, problem.images, problem.labels, form)
    taken = {tuple(vars(row).values())[:4] for node in proof.nodes for row in node.rows if row.family == "largest"}
    refused = accepted = 0
    for k, windows in enumerate(checker.windows):
        for window in range(len(windows)):
            width = len(windows[0])
            for number, j in enumerate(windows[window]):
                try:
                    checker.row(Multiplier("largest", 0, k, window * width + number, 1.0))
                    accepted += 1
                except om.CheckError:
                    refused += 1
                    assert ("largest", 0, k, window * width + number) not in taken
                    continue
                seen = []
                for scores in problem.all_binary():
                    x = _forward(program, problem, scores)
                    seen.append(x[program.columns["h", 0, k, window]] - x[program.columns["a", 0, k, j]])
                assert max(seen) <= 1e-9
    assert refused > 5
    assert (accepted > 3) == (name == "largest")


MODULES = {
    "LeakyReLU": lambda: nn.LeakyReLU(0.2),
    "ReLU6": nn.ReLU6,
    "Hardtanh": lambda: nn.Hardtanh(-0.5, 0.5),
    "PReLU": nn.PReLU,
}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_other_activations_have_proofs(name):
    torch.manual_seed(3)
    module = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2), MODULES[name](), nn.Linear(2, 3)).eval()
    network = om.read_network(module, input_shape=(4,))
    images, labels = np.random.default_rng(1).normal(size=(2, 4)), np.array([0, 2])
    form = FORMS["switch"]
    found = om.score(network, images, labels, method=om.Joint(form, search="tree"), solver=om.Solver(tolerance=1e-3))
    proof = prove(network, images, labels, form, found.by_layer, found.objective, found.bound)
    assert check_proof(proof, network, images).bound == pytest.approx(found.bound, abs=2e-6)
