"""A study survives being stopped and killed, does nothing twice, and gives the same table again."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
from oamip_benchmarks.experiments import works
from oamip_benchmarks.experiments.cells import Cell
from oamip_benchmarks.experiments.conduct import conduct
from oamip_benchmarks.experiments.engine import CELLS, run_cells, run_folder, stored_cells
from oamip_benchmarks.experiments.studies.pruning import STUDY, plan
from oamip_benchmarks.experiments.study import Asked
from oamip_benchmarks.experiments.workshop import Workshop

import oamip_model as om
from oamip_model.errors import InputError
from oamip_model.files import alone

pytestmark = pytest.mark.xdist_group("engine")  # what its fixtures make takes long


def without_seconds(lines: Any) -> list[dict[str, Any]]:
    return [{n: v for n, v in line.plain().items() if not n.startswith("seconds")} for line in lines]


@pytest.fixture(scope="module")
def conducted(asked: Asked, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A finished study, and its folder."""
    folder = tmp_path_factory.mktemp("run")
    return conduct(STUDY, asked, folder), folder


def test_a_second_run_computes_nothing_and_touches_nothing(conducted: tuple[Any, Path], asked: Asked) -> None:
    first, folder = conducted
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}
    again = conduct(STUDY, asked, folder)
    assert (first.done, again.done) == (first.cells, 0)
    assert [line.plain() for line in again.lines] == [line.plain() for line in first.lines]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    first.files[0].unlink()
    assert conduct(STUDY, asked, folder).done == 0
    assert first.files[0].stat().st_size


def test_a_network_is_trained_once_for_all_cells(quick: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained = []
    train = Workshop.train

    def counted(shop: Workshop, module: Any, images: Any, setting: Any) -> None:
        trained.append(setting["seed"])
        train(shop, module, images, setting)

    monkeypatch.setattr(Workshop, "train", counted)
    run_cells(plan(quick), tmp_path)
    assert trained == [0, 1]


def test_accuracy_and_size_are_those_of_the_network_with_the_units_at_zero(
    conducted: tuple[Any, Path], asked: Asked
) -> None:
    _, folder = conducted
    results = stored_cells(folder)
    _, test = om.load_dataset(asked.data, split="train"), om.load_dataset(asked.data, split="test")
    shop = Workshop(folder)
    pruned = [cell for cell in plan(asked) if cell.work == "prune" and not cell.options["tune"]]
    for cell in pruned:
        setting = cell.options["setting"]
        network = shop.trained(setting).network
        scores, _ = shop.scores(setting, cell.options["rule"])
        keep = om.choose_units(scores, network, **cell.options["choice"]).keep
        outputs = network.replay(test.images, {name: mask.astype(float) for name, mask in keep.items()})
        result = results[cell.key]["result"]
        assert result["accuracy"] == pytest.approx(float((outputs.argmax(axis=1) == test.labels).mean()))
        assert np.trace(result["confusion"]) / np.sum(result["confusion"]) == pytest.approx(result["accuracy"])
        assert result["layers"] == {name: [int((~mask).sum()), len(mask)] for name, mask in keep.items()}
    assert {cell.tags["method"] for cell in pruned} == set(asked.methods)


def test_fine_tuning_keeps_the_size(conducted: tuple[Any, Path]) -> None:
    lines = [line for line in conducted[0].lines if line.tags["method"] == "decoupled"]
    assert [line.tags["tuned"] for line in lines] == [None, 1]
    assert lines[0].mean("parameters") == lines[1].mean("parameters") > 0


def test_ctrl_c_keeps_what_is_finished(quick: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    run = works.WORKS["prune"]

    def stopped(shop: Workshop, options: Any) -> Any:
        calls.append(options)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run(shop, options)

    monkeypatch.setitem(works.WORKS, "prune", stopped)
    cells = plan(quick)
    with pytest.raises(KeyboardInterrupt):
        run_cells(cells, tmp_path)
    kept = len(stored_cells(tmp_path))
    assert kept == sum(cell.work == "reference" for cell in cells) + 1
    monkeypatch.setitem(works.WORKS, "prune", run)
    assert run_cells(cells, tmp_path)[1] == len(cells) - kept


def test_an_interrupted_solve_is_no_result(asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    score = om.score

    def interrupted(*arguments: Any, **keywords: Any) -> om.Scores:
        return replace(score(*arguments, **keywords), interrupted=True)

    monkeypatch.setattr(om, "score", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_cells([cell for cell in plan(asked) if cell.tags["method"] == "decoupled"], tmp_path)
    assert not (tmp_path / CELLS).exists()
    assert not list((tmp_path / "scores").glob("*.json"))


def test_a_killed_study_goes_on_and_ends_in_the_same_table(
    conducted: tuple[Any, Path], quick: Asked, tmp_path: Path
) -> None:
    command = ["experiment", "pruning", "--network", "dense-6-4", "--data", quick.data, "--seeds", "2", "--epochs"]
    command += ["20", "--jobs", "2", "--out", str(tmp_path), "--tuned", "random"]
    command += [part for method in quick.methods for part in ("--method", method)]
    process = forked.Forked(forked.OAMIP, *command)
    path, until = tmp_path / CELLS, time.monotonic() + 240
    while not (path.exists() and path.read_bytes().count(b"\n") >= 5):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.wait(timeout=30)
    with path.open("ab") as file:
        file.write(b'{"key": "cut sho')  # what a kill leaves of a line
    before = path.read_bytes().count(b"\n")
    found = conduct(STUDY, quick, tmp_path)
    assert found.done == found.cells - before > 0
    assert path.read_bytes().count(b"\n") == found.cells
    # The same seeds gave the same, some of it in two processes at a time, as in the fixture's one.
    named = {tuple(line[name] for name in STUDY.rows): line for line in without_seconds(conducted[0].lines)}
    again = {tuple(line[name] for name in STUDY.rows): line for line in without_seconds(found.lines)}
    shared = named.keys() & again.keys()
    assert len(shared) >= 5
    assert {row: again[row] for row in shared} == {row: named[row] for row in shared}


def test_what_does_not_fit_is_said_before_anything_is_trained(asked: Asked, tmp_path: Path) -> None:
    from dataclasses import replace

    with pytest.raises(InputError, match=r"network: got 'dense', accepted are fc3"):
        plan(replace(asked, networks=("dense",)))
    with pytest.raises(InputError, match=r"images: got 91, 90 are trained on of .*data.npz, train split, 90 images"):
        plan(replace(asked, images=91))
    with pytest.raises(InputError, match="no IDX files"):
        plan(replace(asked, data="kmnist"))
    with pytest.raises(InputError, match=r"download: .* is not downloaded"):
        plan(replace(asked, download=True))
    with pytest.raises(InputError, match="device: got 'gpu', accepted are cpu, cuda and auto"):
        plan(replace(asked, device="gpu"))
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(InputError, match="out: the folder"), run_folder(file / "run"):
        pass
    with pytest.raises(InputError, match="is no folder of `oamip experiment`"):
        stored_cells(tmp_path)


def test_a_folder_is_for_one_run_at_a_time(tmp_path: Path) -> None:
    with alone(tmp_path, "out"), pytest.raises(InputError, match="another run is writing"), run_folder(tmp_path):
        pass


def test_tables_and_figures_are_written_while_the_folder_is_this_runs(
    quick: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = []

    def written(*given: Any) -> None:
        with pytest.raises(InputError, match="another run is writing"), alone(tmp_path, "out"):
            pass
        held.append(given[-1].name)

    monkeypatch.setattr("oamip_benchmarks.experiments.conduct.write_table", written)
    monkeypatch.setattr("oamip_benchmarks.experiments.conduct.write_cells", written)
    conduct(STUDY, quick, tmp_path)
    assert held == ["pruning.csv", "pruning-cells.csv"]


def test_keys_depend_on_work_and_options_alone() -> None:
    one = Cell("prune", {"a": 1}, {"seed": 0})
    assert one.key == Cell("prune", {"a": 1}, {"seed": 7}).key
    assert len({one.key, Cell("change", {"a": 1}).key, Cell("prune", {"a": 2}).key}) == 3
