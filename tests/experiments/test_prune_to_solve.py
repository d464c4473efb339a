"""The study prune-to-solve: programs of smaller networks over boxes, compared with sampling and with each other."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from oamip_benchmarks.bench.boxes.model import front
from oamip_benchmarks.experiments.boxes import work
from oamip_benchmarks.experiments.boxes.tools import TOOLS, arrays_of, chain
from oamip_benchmarks.experiments.boxes.work import box_around, box_scores, gather
from oamip_benchmarks.experiments.catalogue import STUDIES
from oamip_benchmarks.experiments.conduct import conduct
from oamip_benchmarks.experiments.engine import stored_cells
from oamip_benchmarks.experiments.reporting.page import make_report
from oamip_benchmarks.experiments.study import Asked
from oamip_benchmarks.experiments.workshop import Workshop

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.solving.protocol import Options

RADIUS = 0.15


@pytest.fixture(scope="module")
def small(data: str) -> Asked:
    return Asked(
        ("dense-12-8",), data, 1, epochs=8, shares=(0.5,), methods=("weight-l1", "box", "compress"),
        levels=("least-squares",), radius=RADIUS, boxes=2, tools=("ours",), solver="highs", time_limit=20.0,
        distance_limit=2.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def conducted(small: Asked, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, object]:
    folder = tmp_path_factory.mktemp("prune-to-solve")
    return folder, conduct(STUDIES["prune-to-solve"], small, folder)


def results(folder: Path, small: Asked) -> dict[str, list[dict]]:
    stored, found = stored_cells(folder), {}
    for cell in STUDIES["prune-to-solve"].plan(small):
        found.setdefault(cell.tags["method"], []).append(stored[cell.key]["result"])
    return found


def test_every_line_is_compared_with_the_network_as_trained(conducted, small):
    folder, found = conducted
    assert [line.tags["method"] for line in found.lines] == ["reference", "compress", "weight-l1", "box"]
    seconds = found.lines[0].mean("seconds_mip")
    for line in found.lines:
        assert line.mean("times") == pytest.approx(seconds / line.mean("seconds_mip"))
        assert line.mean("solved") == 1.0
    for line, rows in zip(found.lines, results(folder, small).values(), strict=True):
        spent = np.array([row["seconds_mip"] for row in rows])
        assert line.mean("seconds_mip") == pytest.approx(np.exp(np.log(spent + 1).mean()) - 1)
    assert all(path.stat().st_size for path in found.files)
    assert conduct(STUDIES["prune-to-solve"], small, folder).done == 0, "a finished study does nothing"
    page, studies = make_report(folder)
    assert studies == 1
    assert "times shorter" in page.html()


def test_optima_are_largest_logits_and_distances_hold(conducted, small, data):
    folder, _ = conducted
    by_method = results(folder, small)
    setting = STUDIES["prune-to-solve"].plan(small)[0].options["setting"]
    trained = Workshop(folder).trained(setting)
    test = om.load_dataset(data, split="test")
    for number in range(2):
        box = box_around(test, number, RADIUS)
        points = om.Box(box.lower.reshape(-1), box.upper.reshape(-1)).sample(2000)
        seen = trained.network.replay(points.reshape(-1, *test.images.shape[1:]))[:, box.logit]
        largest = by_method["reference"][number]["largest"]
        assert seen.max() <= largest + 1e-6
        assert largest <= seen.max() + 0.5 * (seen.max() - seen.min()) + 1e-6
        # The exact compression has the same logits in the box.
        assert by_method["compress"][number]["largest"] == pytest.approx(largest, rel=1e-3, abs=1e-3)
        for method in ("weight-l1", "box"):
            row = by_method[method][number]
            assert abs(row["largest"] - largest) <= row["distance"] + 1e-3
    assert all(row["units"] == 0.5 for method in ("weight-l1", "box") for row in by_method[method])
    assert all(row["distance"] == 0.0 for row in by_method["compress"])


def test_a_refit_for_all_boxes_is_made_once(conducted, small, data, monkeypatch):
    folder, _ = conducted
    assert len(list((folder / "smaller").glob("*.pt"))) == 1, "of weight-l1; masks for a box are not kept"
    made = work.om.prune

    def without_refit(*args, **more):
        assert "refit" not in more, "the weights are in the folder"
        return made(*args, **more)

    (cell, *_) = [c for c in STUDIES["prune-to-solve"].plan(small) if c.tags["method"] == "weight-l1"]
    stored, options = stored_cells(folder)[cell.key]["result"], cell.options | {"radius": RADIUS / 2}
    monkeypatch.setattr(work.om, "prune", without_refit)
    monkeypatch.setattr(work, "_kept", {})
    again = work.in_box(Workshop(folder), options)
    assert (again["accuracy"], again["units"]) == (stored["accuracy"], stored["units"])
    assert again["largest"] <= stored["largest"] + 1e-6


def test_a_program_without_an_incumbent_leaves_the_means_of_the_others():
    rows = [{"seconds_mip": 1.0, "largest": None, "solved": 0.0}, {"seconds_mip": 7.0, "largest": 2.0, "solved": 1.0}]
    ((tags, means),) = gather([({"method": "box", "box": k}, row) for k, row in enumerate(rows)])
    assert tags == {"method": "box"}
    assert means == {"seconds_mip": pytest.approx(3.0), "solved": 0.5}


def test_units_that_are_never_on_in_the_box_go_first(conducted, small, data):
    folder, _ = conducted
    setting = STUDIES["prune-to-solve"].plan(small)[0].options["setting"]
    network = Workshop(folder).trained(setting).network
    box = box_around(om.load_dataset(data, split="test"), 0, 0.02)
    points = om.Box(box.lower.reshape(-1), box.upper.reshape(-1)).sample(300)
    on = network.activations(points.reshape(-1, *network.input_shape))
    bounds = om.compute_bounds(front(network, box), np.zeros((1, 1)), "crown")
    first = len(bounds.upper) - len(network.layers)
    dead = 0
    for refitted in (False, True):
        scores = box_scores(network, box, refitted)
        for group in network.groups:
            (k,) = group.layers
            never = bounds.upper[k + first].reshape(-1) <= 0
            dead += int(never.sum())
            assert (scores[group.name][never] == 0).all()
            assert scores[group.name].max() == 1.0
            assert (scores[group.name][~never] > 0).all()
            assert (on[k].reshape(len(points), -1)[:, never] == 0).all()
    assert dead > 0, "a box so small has units that are never on"


def test_all_tools_have_the_same_optimum(conducted, small, data):
    folder, _ = conducted
    setting = STUDIES["prune-to-solve"].plan(small)[0].options["setting"]
    network = Workshop(folder).trained(setting).network
    test = om.load_dataset(data, split="test")
    flat = test.images.reshape(test.count, -1)
    np.testing.assert_allclose(
        chain(network)(torch.as_tensor(flat)).detach().numpy(), network.replay(test.images), atol=1e-9
    )
    box = box_around(test, 0, RADIUS)
    optima = {}
    for name, tool in TOOLS.items():
        if name == "ours" or importlib.util.find_spec(name.replace("-", "_")) is not None:
            arrays = tool(network, box)
            found = om.get_backend("highs").solve(arrays, Options(gap=1e-6))
            optima[name] = -arrays.sense * found.objective
    assert max(optima.values()) - min(optima.values()) < 1e-4


def test_a_program_that_highs_holds_is_read_as_it_is():
    import highspy

    highs = highspy.Highs()
    highs.silent()
    x, y = highs.addVariable(0, 3), highs.addIntegral(0, 5)
    highs.addConstr(x + 2 * y <= 7)
    highs.maximize(x + y)
    arrays = arrays_of(highs.getLp(), highspy)
    assert arrays.matrix.toarray().tolist() == [[1.0, 2.0]]
    assert arrays.integral.tolist() == [False, True]
    assert (arrays.sense, arrays.upper.tolist(), arrays.row_upper.tolist()) == (-1, [3.0, 5.0], [7.0])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"boxes": 61}, "boxes: got 61, there are 60 test images"),
        ({"solver": "nobody"}, "nobody"),
        ({"tools": ("omlt",), "networks": ("lenet5",)}, "omlt"),
    ],
)
def test_bad_input_is_told_before_anything_is_trained(more, message, small, tmp_path):
    with pytest.raises(om.OamipError, match=message) as told:
        conduct(STUDIES["prune-to-solve"], replace(small, **more), tmp_path / "out")
    assert isinstance(told.value, InputError | om.SolverMissingError)
    assert not (tmp_path / "out").exists()


def test_masks_for_a_box_belong_to_this_study_alone():
    from click.testing import CliRunner
    from oamip_benchmarks.experiments.cli import experiment

    told = CliRunner().invoke(experiment, ["pruning", "--method", "box"])
    assert told.exit_code == 2
    assert "box" in told.output
