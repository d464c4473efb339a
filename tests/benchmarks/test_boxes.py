"""The task of the comparison with other tools: the model's optimum is the largest logit over the box."""

from __future__ import annotations

import json
import re
from fractions import Fraction

import numpy as np
import pyomo.environ as pyo
import pytest
import scipy.sparse as sp
import torch
from click.testing import CliRunner
from oamip_benchmarks.bench.boxes.model import Box, box_instance, image_of
from oamip_benchmarks.bench.boxes.planted import planted
from oamip_benchmarks.bench.boxes.vnnlib import property_text
from oamip_benchmarks.bench.check import check_point, point_of
from oamip_benchmarks.bench.cli import bench
from oamip_benchmarks.bench.permuted import Order, Permuted
from oamip_benchmarks.bench.programs import build_program
from oamip_benchmarks.bench.recipes import LIBRARY, choose_recipes, find_recipe, read_library
from oamip_benchmarks.bench.rows import Limits
from oamip_benchmarks.bench.runner import make_plan, run_plan
from torch import nn

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.runs.store import key_of
from oamip_model.solving.protocol import Arrays, Options

DENSE = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)), (4,)
CONVOLUTIONAL = (
    nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 3)), (1, 3, 3)
)  # fmt: skip


@pytest.mark.parametrize("bounds", ["interval", "crown"])
@pytest.mark.parametrize(("module", "shape"), [DENSE, CONVOLUTIONAL])
def test_the_optimum_is_the_largest_logit(module, shape, bounds):
    torch.manual_seed(1)
    for layer in module:
        if hasattr(layer, "reset_parameters"):
            layer.reset_parameters()
    network = om.read_network(module.eval(), input_shape=shape)
    draw = np.random.default_rng(0)
    box = Box.around(draw.random(shape), 0.3, logit=1)
    before = network.replay(box.lower[None])
    instance = box_instance(network, box, bounds)
    arrays = om.compile_arrays(instance)
    solution = om.get_backend("highs").solve(arrays, Options(gap=1e-9))
    for data, value in zip(instance.component_data_objects(pyo.Var), solution.x, strict=True):
        data.set_value(value, skip_validation=True)
    found = image_of(instance, box)
    assert (found >= box.lower - 1e-9).all()
    assert (found <= box.upper + 1e-9).all()
    assert network.replay(found[None])[0, 1] == pytest.approx(-solution.objective, abs=1e-5)
    # No corner of the box, where a convex function is largest, and no image inside has more.
    size = box.lower.size
    corners = (np.arange(2**size)[:, None] >> np.arange(size)) & 1
    inside = draw.random((2000, size))
    images = box.lower.ravel() + np.concatenate([corners, inside]) * (box.upper - box.lower).ravel()
    assert network.replay(images.reshape(-1, *shape))[:, 1].max() <= -solution.objective + 1e-6
    # The network itself is as it was.
    np.testing.assert_array_equal(network.replay(box.lower[None]), before)


def numbers_of(path):
    """Bounds of the inputs, and (output, threshold), of a VNN-LIB file of the simple form that verifiers read."""
    low, high, asked = {}, {}, None
    declared = set()
    for line in path.read_text().splitlines():
        if line.startswith(";"):
            continue
        if found := re.fullmatch(r"\(declare-const ([XY]_\d+) Real\)", line):
            declared.add(found[1])
            continue
        sign, name, value = re.fullmatch(r"\(assert \((>=|<=) ([XY]_\d+) (-?\d+\.\d+)\)\)", line).groups()
        assert name in declared
        number = int(name[2:])
        if name.startswith("Y"):
            assert (sign, asked) == (">=", None)
            asked = number, float(value)
        else:
            (low if sign == ">=" else high)[number] = float(value)
    assert sorted(low) == sorted(high) == list(range(len(low)))
    return np.array([low[k] for k in range(len(low))]), np.array([high[k] for k in range(len(low))]), asked


def test_exported_properties_are_answered_as_the_index_says(tmp_path):
    name = "digits-dense-box-r1"
    done = CliRunner().invoke(bench, ["export-vnnlib", "--instance", name, "--out", str(tmp_path), "--json"],
                              standalone_mode=False)  # fmt: skip
    assert done.return_value == 0, done.output
    (entry,) = json.loads(done.stdout)["instances"]
    assert [row["answer"] for row in entry["properties"].values()] == ["sat", "unsat"]
    assert (tmp_path / "instances.csv").read_text().splitlines() == [
        f"digits-dense.onnx,{file},300" for file in entry["properties"]
    ]
    # Read back by a parser of the test's own, and answered with the network of the file and bounds of another method.
    network = om.read_network(tmp_path / entry["network"])
    for file, row in entry["properties"].items():
        low, high, (logit, threshold) = numbers_of(tmp_path / file)
        shape = tuple(entry["input_shape"])
        box = Box(low.reshape(shape), high.reshape(shape), logit)
        instance = box_instance(network, box, "crown")
        solution = om.get_backend("highs").solve(om.compile_arrays(instance), Options(gap=1e-9))
        assert ("sat" if -solution.objective >= threshold else "unsat") == row["answer"]
        if row["answer"] == "sat":
            for data, value in zip(instance.component_data_objects(pyo.Var), solution.x, strict=True):
                data.set_value(value, skip_validation=True)
            assert network.replay(image_of(instance, box)[None])[0, logit] >= threshold
        draws = low + (high - low) * np.random.default_rng(1).random((2000, low.size))
        seen = network.replay(draws.reshape(-1, *shape))[:, logit].max()
        assert row["answer"] == "sat" or seen < threshold


def test_only_boxes_go_to_vnnlib(tmp_path):
    arguments = ["export-vnnlib", "--instance", "digits-dense-n2-switch-binary-hinge", "--out", str(tmp_path / "a")]
    done = CliRunner().invoke(bench, arguments, standalone_mode=False)
    assert isinstance(done.exception, InputError)
    assert "not of the family of boxes" in str(done.exception)
    assert not (tmp_path / "a").exists()


def test_thresholds_are_written_without_exponents():
    box = Box(np.array([0.0, 1e-7]), np.array([0.1, 1.0]), 1)
    text = property_text(box, 2, -1e-9, ["told"])
    assert "; told" in text
    assert "(assert (>= X_1 0.0000001))" in text
    assert text.endswith("(assert (>= Y_1 -0.000000001))\n")


@pytest.mark.parametrize("seed", range(5))
def test_nothing_exceeds_a_planted_optimum(seed):
    made = planted(3, 4, 4, seed)
    weight, bias = (part.detach().numpy().astype(np.float64) for part in (made.module[0].weight, made.module[0].bias))
    out = made.module[2].weight.detach().numpy().astype(np.float64)[0]
    # In exact arithmetic: each zigzag, at each of its bends and far beyond, is at most 0, and 0 at the planted image.
    for first in range(0, len(out), 8):
        part = slice(first, first + 8)
        direction = [Fraction(v) for v in weight[first].tolist()]
        centre = sum((a * Fraction(x) for a, x in zip(direction, made.at.tolist(), strict=True)), Fraction(0))
        # The argument of each ReLU is side * (u - centre) - turn.
        sides = [1] * 4 + [-1] * 4
        turns = [-(Fraction(b) + s * centre) for b, s in zip(bias[part].tolist(), sides, strict=True)]
        assert min(turns) == 0

        def zigzag(u, part=part, sides=sides, turns=turns):
            heights = (max(Fraction(0), s * u - t) for s, t in zip(sides, turns, strict=True))
            return sum((Fraction(c) * h for c, h in zip(out[part].tolist(), heights, strict=True)), Fraction(0))

        assert zigzag(Fraction(0)) == 0
        for side, turn in zip(sides, turns, strict=True):
            assert turn == 0 or zigzag(side * turn) < 0
        assert all(zigzag(Fraction(40 * side)) < zigzag(Fraction(39 * side)) for side in (1, -1))
    network = om.read_network(made.module, input_shape=(3,))
    images = np.random.default_rng(seed).random((5000, 3))
    assert network.replay(made.at[None])[0, 0] == made.value
    assert network.replay(images)[:, 0].max() <= made.value
    solution = om.solve_instance(box_instance(network, Box(np.zeros(3), np.ones(3), 0)), om.Solver("highs"))
    assert solution.objective == pytest.approx(-made.value, abs=1e-3)


def test_every_box_of_the_library_is_what_was_planted_or_is_bounded():
    boxes = choose_recipes(tags=["box"])
    assert len(boxes) == 2 * 14 + 3
    for recipe in boxes:
        known = recipe.best
        if recipe.data == "planted":
            assert known.objective == known.bound == -read_library(LIBRARY)["networks"][recipe.network]["planted"]
        assert known.objective is not None
        assert known.bound is None or known.bound <= known.objective + 1e-6


def test_a_box_is_run_like_any_other_instance(tmp_path):
    names = ["digits-conv-box-r1", "planted-easy-box"]
    plan = make_plan(solvers=["highs"], instances=names, limits=Limits(time_limit=20.0))
    rows = run_plan(plan, tmp_path)
    assert [(row["status"], row["as_recorded"], row["check"]["passed"]) for row in rows] == [
        ("optimal", True, True)
    ] * 2
    assert {row["gate"] for row in rows} == {"none"}
    assert all("box" in row["tags"] for row in rows)
    assert all((tmp_path / row["log"]).read_text().strip() for row in rows)
    assert all(len(row["load"]) == 2 for row in rows)


def test_unknown_tags_are_refused_in_one_line():
    done = CliRunner().invoke(bench, ["list", "--tag", "sphere"], standalone_mode=False)
    assert isinstance(done.exception, InputError)
    assert "accepted are" in str(done.exception)


@pytest.mark.parametrize("solver", ["highs", "cbc"])
def test_permuted_rows_and_columns_have_the_same_optimum(solver):
    backend = om.get_backend(solver)
    program = build_program(find_recipe("digits-dense-n2-switch-binary-hinge"))
    order = Order(*program.arrays.matrix.shape, 3)
    moved = order.program(program.arrays)
    assert not np.array_equal(moved.cost, program.arrays.cost)
    plain = om.solve_instance(program.instance, om.Solver(solver))
    for seed in (1, 2):
        found = om.solve_instance(program.instance, om.Solver(Permuted(backend, seed)))
        assert found.status.value == "optimal"
        assert found.objective == pytest.approx(plain.objective, rel=2e-4)
        assert check_point(program, point_of(program.instance), found.objective)["passed"]


def test_permuted_sessions_take_rows_and_give_duals_in_the_programs_order():
    arrays = Arrays(
        sp.csr_array([[1.0, 2.0, 0.0], [0.0, 1.0, 1.0]]), np.array([1.0, 3.0, 2.0]), np.zeros(3), np.full(3, 10.0),
        np.array([2.0, 3.0]), np.full(2, np.inf), np.zeros(3, dtype=bool),
    )  # fmt: skip
    extra = sp.csr_array([[0.0, 0.0, 1.0]])
    answers = []
    for backend in (om.get_backend("highs"), Permuted(om.get_backend("highs"), 4)):
        session = backend.session(arrays, Options())
        first = session.solve()
        session.add_rows(extra, np.array([2.5]), np.array([np.inf]))
        answers.append((first, session.solve()))
        session.close()
    for plain, moved in zip(*answers, strict=True):
        np.testing.assert_allclose(moved.x, plain.x, atol=1e-9)
        np.testing.assert_allclose(moved.row_duals, plain.row_duals, atol=1e-9)
    assert "cost-change" not in Permuted(om.get_backend("highs"), 4).capabilities


def test_keys_of_rows_from_before_there_were_orders_are_the_same():
    (plain,), moved = (
        make_plan(solvers=["highs"], instances=["digits-conv-box-r1"], seeds=n, limits=Limits(permuted=n > 1))
        for n in (1, 3)
    )
    assert [solve.seed for solve in moved] == [0, 1, 2]
    parts = {name: value for name, value in vars(plain).items() if name != "permuted"}
    assert plain.key == key_of(**parts, arrays=plain.recipe.sha256)
    assert len({plain.key, *(solve.key for solve in moved)}) == 4
