"""The page of a run's studies: everything in it, nothing outside it, and no more claimed than was proved."""

from __future__ import annotations

import base64
import doctest
import itertools
import json
import re
import shutil
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from oamip_benchmarks.experiments import cells, study
from oamip_benchmarks.experiments.catalogue import STUDIES
from oamip_benchmarks.experiments.conduct import conduct
from oamip_benchmarks.experiments.engine import CELLS, stored_cells
from oamip_benchmarks.experiments.measures import multiplications
from oamip_benchmarks.experiments.reporting import page as report
from oamip_benchmarks.experiments.reporting import sizes, table
from oamip_benchmarks.experiments.reporting.maps import confusion, filters, score_map
from oamip_benchmarks.experiments.reporting.page import LAYERS, PROVED, RELAXED, RULE, UNFINISHED, claim, make_report
from oamip_benchmarks.experiments.reporting.sizes import accuracy_by_size, sized
from oamip_benchmarks.experiments.study import Asked
from scipy import stats
from torch import nn

import oamip_model as om
from oamip_model.cli import run
from oamip_model.errors import InputError

pytestmark = pytest.mark.xdist_group("report")  # what its fixtures make takes long


@pytest.fixture(scope="module")
def folder(asked: Asked, other: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two finished studies."""
    found = tmp_path_factory.mktemp("finished") / "run<1>"
    asked = replace(asked, methods=("published", "random"), tuned=(), seeds=1, epochs=5)
    conduct(STUDIES["pruning"], asked, found)
    conduct(STUDIES["transfer"], replace(asked, target=other), found)
    return found


def test_the_page_holds_everything_and_refers_to_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["report", str(folder), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"report": str(folder / "report.html"), "studies": 2}
    text = (folder / "report.html").read_text()
    assert [name for name in ("pruning", "transfer") if f'">{name}</h2>' in text] == ["pruning", "transfer"]
    addresses = re.findall(r'(?:src|href)="([^"]*)"', text)
    assert all(address.startswith(("data:", "#")) for address in addresses)
    pictures = [base64.b64decode(a.partition(",")[2]) for a in addresses if a.startswith("data:image/svg")]
    # Each study: its figure, one map of scores (published), and confusion matrices (two data sets in transfer).
    # And accuracy by size: of the network that is cut in both.
    assert len(pictures) == (1 + 1 + 1 + 1) + (1 + 1 + 1 + 2)
    assert all(b"</svg>" in picture for picture in pictures)
    assert "run&lt;1&gt;" in text
    assert "run<1>" not in text
    assert f"<th>{RELAXED}</th>" in text
    assert f"<th>{PROVED}</th>" not in text


@pytest.mark.parametrize(("result", "strategy", "expected"), [
    ({"proved": True, "status": "optimal"}, "joint", PROVED),
    ({"proved": False, "status": "optimal"}, "joint", RELAXED),
    ({"proved": False, "status": "optimal"}, "decoupled", LAYERS),
    ({"proved": False, "status": "feasible"}, "decoupled", UNFINISHED),
    ({"proved": False, "status": "no program"}, None, RULE),
])  # fmt: skip
def test_no_more_is_claimed_than_was_proved(result: dict[str, Any], strategy: str | None, expected: str) -> None:
    assert claim(result, {"score": {"strategy": strategy}}) == expected


def test_cells_of_a_study_that_is_not_finished_are_told(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "transfer.study.json").unlink()
    page, studies = make_report(copy)
    found = [key for key, kept in stored_cells(copy).items() if kept["work"] == "retrain"]
    assert studies == 1
    # The network trained on the first data set is in both studies.
    assert f"{len(found) + 1} finished cells belong to studies that are not finished" in page.html()


def test_a_folder_that_is_damaged_or_no_run_is_one_line(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", str(tmp_path)]) == 2
    assert "holds no finished study" in capsys.readouterr().err
    copy = shutil.copytree(folder, tmp_path / "copy")
    lines = (copy / CELLS).read_bytes().splitlines(keepends=True)
    (copy / CELLS).write_bytes(b"".join(lines[1:]))
    with pytest.raises(InputError, match="is damaged, 1 cells of the study pruning are missing"):
        make_report(copy)
    (copy / "pruning.study.json").write_text("{}")
    with pytest.raises(InputError, match="is not the record of a study"):
        make_report(copy)
    assert run(["report", str(folder), "--out", str(tmp_path / "page.pdf")]) == 2
    assert "--out: " in capsys.readouterr().err


def test_filters_are_drawn_for_convolutions_alone() -> None:
    conv, keep = nn.Conv2d(3, 5, 2), np.array([True, False, True, True, True])
    module = nn.Sequential(OrderedDict(conv1=conv, flatten=nn.Flatten(), fc1=nn.Linear(20, 5)))
    figure = filters(module, "conv1", np.linspace(0, 1, 5), keep)
    assert figure is not None
    axes = figure.axes
    assert [each.get_title() for each in axes] == ["0.00", "0.25", "0.50", "0.75", "1.00"]
    assert np.allclose(axes[2].images[0].get_array(), conv.weight[2].detach().mean(0).numpy())
    assert filters(module, "fc1", np.linspace(0, 1, 5), keep) is None
    titles = [each.get_title(loc="left") for each in score_map({"fc1": np.ones(5)}, {"fc1": keep}).axes]
    assert titles[0] == "fc1: 4 of 5 units stay"


def test_intervals_are_those_of_students_t() -> None:
    found = table.summarise([({"a": 1}, {"accuracy": value}) for value in (0.8, 0.9, 0.85)], ["a"], ["accuracy"])
    low, high = found[0].interval("accuracy") or (0.0, 0.0)
    expected = stats.t.interval(0.95, 2, loc=0.85, scale=0.05 / np.sqrt(3))
    assert (low, high) == pytest.approx(expected)
    assert table.summarise([({"a": 1}, {"accuracy": 0.8})], ["a"], ["accuracy"])[0].interval("accuracy") is None


def test_multiply_accumulates_are_counted_as_the_network_counts_them() -> None:
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)).eval()
    network = om.read_network(module, input_shape=(1, 4, 4))
    assert multiplications(module, np.zeros((1, 1, 4, 4))) == network.macs


@pytest.mark.parametrize("spread", [1.2, 3.0, 50.0, 4000.0])
def test_ticks_of_sizes_do_not_overlap(spread: float) -> None:
    made = [
        ({"network": "fc3", "method": method, "share": share, "seed": seed},
         {"accuracy": 0.8 - share / 10 + seed / 100, "parameters_left": int(266_610 / (1 + share * (spread - 1))),
          "macs_left": int(266_200 / (1 + share * (spread - 1)))})
        for method in ("reference", "forward", "random") for share in (0.0, 0.5, 1.0) for seed in (0, 1)
    ]  # fmt: skip
    figure = accuracy_by_size(sized(made, "fc3"))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.get_xticklabels() if text.get_text()]
        inside = [box for box in boxes if axes.bbox.x0 - 1 <= (box.x0 + box.x1) / 2 <= axes.bbox.x1 + 1]
        assert len(inside) >= 2
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(sorted(inside, key=lambda box: box.x0)))
    assert not sized(made[:2], "fc3")


def test_confusions_have_the_names_of_the_classes() -> None:
    result = {"confusion": np.eye(10, dtype=int).tolist(), "accuracy": 1.0}
    (axes,) = confusion([("before", result)], "fashion-mnist-2000").axes
    assert [text.get_text() for text in axes.get_xticklabels()][-1] == "ankle boot"
    (axes,) = confusion([("before", result)], "digits").axes
    assert [text.get_text() for text in axes.get_yticklabels()][:2] == ["0", "1"]


@pytest.mark.parametrize("module", [cells, report, study, table, sizes], ids=lambda module: module.__name__)
def test_examples(module: Any) -> None:
    found = doctest.testmod(module)
    assert (found.failed, found.attempted > 0) == (0, True)
