"""Methods as objects: what a result keeps of them, what their knobs change, and results as tables and pictures."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import oamip_model as om


def test_a_result_keeps_the_method_and_the_solver_in_its_file(problem_of, tmp_path):
    p = problem_of("dense", 1)
    for method in (
        om.Forward(
            amount=0.5, weights=(0.5, 5.0), exchanges=om.Exchanges(3, candidates=4), level=om.LevelMethod(level=0.3)
        ),
        om.Joint(om.Formulation(scores="binary"), search=om.TreeSearch(dive=0.5), bounds=om.Tightening("lp", jobs=1)),
        om.Elimination(amount=0.5),
    ):
        solver = None if isinstance(method, om.Elimination) else om.Solver("highs", seed=2)
        given = om.score(p.network, p.images, p.labels, method, solver=solver)
        found = om.load_scores(given.save(tmp_path / "scores.json"))
        assert given.method == found.method == method
        assert found.solver_options == solver


def test_a_file_of_version_0_1_is_read_and_tells_no_method(problem_of, tmp_path):
    p = problem_of("dense", 1)
    path = om.score(p.network, p.images, p.labels, "forward").save(tmp_path / "scores.json")
    record = json.loads(path.read_text())
    record["options"] = {"order": "forward", "head": "pattern", "weight": 5.0, "input_shape": [4]}
    path.write_text(json.dumps(record))
    found = om.load_scores(path)
    assert (found.method, found.solver_options) == (None, None)
    assert found.options["weight"] == 5.0


def test_a_name_is_the_object_with_its_defaults(problem_of):
    p = problem_of("dense", 1)
    by_name = om.score(p.network, p.images, p.labels, "decoupled")
    by_object = om.score(p.network, p.images, p.labels, om.Decoupled(), solver=om.Solver())
    assert by_name.options == by_object.options
    for name, values in by_name.by_layer.items():
        np.testing.assert_array_equal(values, by_object.by_layer[name])


@pytest.mark.parametrize(("given", "message"), [
    ({"method": "sideways"}, "method: got 'sideways', accepted are elimination, decoupled"),
    ({"method": om.Forward}, "method: got <class"),
    ({"labels": om.Forward()}, r"labels: got Forward\(\), a method is given as method="),
    ({"method": "forward", "solver": om.Solver(threads=2)}, "threads: got 2, but strategy forward has no use for it"),
    ({"method": "elimination", "solver": "highs"}, "solver: got 'highs', but strategy elimination solves no program; "
     "methods that do are decoupled, forward, backward, joint, batches, per-class"),
    ({"method": "elimination", "solver": om.Solver(time_limit=9)},
     r"solver: got Solver\(time_limit=9.0\), but strategy elimination"),
    ({"method": "elimination", "run": om.Run(store="runs.jsonl")}, "store: got 'runs.jsonl', but strategy elimination"),
    ({"labels": [0]}, "arrays given by the caller: 2 images and 1 labels"),
    ({"method": "joint", "run": om.Run(device="cuda")}, "device: got 'cuda', but strategy joint has no use for it"),
])  # fmt: skip
def test_what_does_not_go_together_is_refused_in_a_line(problem_of, given, message):
    p = problem_of("dense", 1)
    with pytest.raises(om.InputError, match=f"^{message}[^\n]*$"):
        om.score(p.network, p.images, **{"labels": p.labels} | given)


def test_the_knobs_of_the_tree_change_its_work_and_not_its_optimum(problem_of):
    p = problem_of("conv", 4)
    program = om.Formulation(sparsity="mean")
    nodes, objectives = [], []
    for search in (om.TreeSearch(), om.TreeSearch(strong_branching=1, reliable=0, root_rounds=0, node_rounds=0)):
        found = om.score(p.network, p.images, p.labels, om.Joint(program, search=search))
        assert found.proved
        nodes.append(found.programs[0].rounds)
        objectives.append(found.objective)
    assert nodes[0] != nodes[1]
    assert objectives[0] == pytest.approx(objectives[1], rel=3e-4)


def test_fewer_calls_of_the_oracle_leave_a_gap(problem_of):
    p = problem_of("deep", 1, 4)
    early = om.score(p.network, p.images, p.labels, om.Decoupled(level=om.LevelMethod(max_calls=2)))
    whole = om.score(p.network, p.images, p.labels, om.Decoupled())
    assert (early.status, whole.status) == ("feasible", "optimal")
    assert early.gap > whole.gap


def test_scores_have_a_short_text_a_table_and_a_picture(problem_of, tmp_path, monkeypatch):
    p = problem_of("dense", 1)
    found = om.score(p.network, p.images, p.labels, "forward")
    assert repr(found).startswith("<Scores: forward, optimal, gap ")
    assert len(repr(found)) < 100
    figure = found.plot(tmp_path / "scores.png")
    assert (tmp_path / "scores.png").read_bytes().startswith(b"\x89PNG")
    assert len(figure.axes[0].lines) == len(found.by_layer)
    with pytest.raises(om.InputError, match=r"^plot: [^\n]* is not a name ending in"):
        found.plot(tmp_path / "scores.txt")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(om.InputError, match=r"^to_frame: needs pandas"):
        found.to_frame()


def test_the_table_has_a_row_for_each_unit(problem_of):
    pytest.importorskip("pandas")
    p = problem_of("dense", 1)
    found = om.score(p.network, p.images, p.labels)
    frame = found.to_frame()
    assert list(frame.columns) == ["layer", "unit", "score"]
    for name, values in found.by_layer.items():
        np.testing.assert_array_equal(frame[frame.layer == name].score, values)
