"""The regression watch compares with the last finished run of this machine, and goes on where one was cut short."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from made_rows import row
from oamip_benchmarks.bench import watch as watching
from oamip_benchmarks.bench.rows import ResultStore
from oamip_benchmarks.bench.verbs.watch import watch

from oamip_model.runs.environment import describe

HERE = describe() | {"revision": "a" * 40}


@pytest.fixture
def solves(monkeypatch):
    """Runs without solving: the seconds of each, negative for one that is cut short, and the folders of all."""
    seconds, folders = [], []

    def run_plan(plan, folder, *, grace, progress):
        folder.mkdir(exist_ok=True)
        folders.append(folder)
        (folder / "environment.json").write_text(json.dumps(watching.describe()))
        rows = [row(name, abs(seconds[0]) * factor) for name, factor in (("a", 1.0), ("b", 2.0))]
        store = ResultStore(folder)
        for made in rows:
            store.put(made)
        if seconds.pop(0) < 0:
            raise KeyboardInterrupt
        return rows

    monkeypatch.setattr(watching, "run_plan", run_plan)
    monkeypatch.setattr(watching, "describe", lambda: HERE)
    names = iter(f"2026010{k}T000000Z" for k in range(1, 9))
    moment = type("Now", (), {"strftime": lambda self, _: next(names)})
    monkeypatch.setattr(watching, "datetime", type("D", (), {"now": staticmethod(lambda _: moment())}))
    return seconds, folders


def test_each_run_is_compared_with_the_one_before(solves, tmp_path):
    seconds, _ = solves
    seconds += [8.0, 4.0]
    first = watching.watch([], tmp_path)
    assert (first.previous, first.comparisons) == (None, [])
    second = watching.watch([], tmp_path)
    assert second.previous == first.folder != second.folder
    (found,) = second.comparisons
    assert found.ratios[1.0].high < 1
    assert found.ratios[1.0].ratio == pytest.approx(((5 * 9) ** 0.5 - 1) / ((9 * 17) ** 0.5 - 1))


def test_a_run_that_was_cut_short_goes_on_and_is_never_compared_with(solves, tmp_path, monkeypatch):
    seconds, folders = solves
    seconds += [8.0, -1.0, 4.0]
    first = watching.watch([], tmp_path)
    with pytest.raises(KeyboardInterrupt):
        watching.watch([], tmp_path)
    third = watching.watch([], tmp_path)
    assert folders[1] == folders[2] == third.folder
    assert third.previous == first.folder
    # Other code, or code with changes of its own, begins anew.
    seconds += [-1.0, 4.0, -1.0, 4.0]
    for revision in ("b" * 40, "b" * 40 + "+changes"):
        with pytest.raises(KeyboardInterrupt):
            watching.watch([], tmp_path)
        monkeypatch.setattr(watching, "describe", lambda revision=revision: HERE | {"revision": revision})
        assert watching.watch([], tmp_path).folder == folders[-1] != folders[-2]


def test_runs_of_another_machine_are_not_compared_with(solves, tmp_path, monkeypatch):
    solves[0].extend([8.0, 4.0])
    watching.watch([], tmp_path)
    monkeypatch.setattr(watching, "describe", lambda: HERE | {"machine": "another"})
    assert watching.watch([], tmp_path).previous is None


def test_command_prints_the_ratio(solves, tmp_path):
    solves[0].extend([8.0, 4.0])
    arguments = ["--instance", "digits-dense-n2-switch-binary-hinge", "--out", str(tmp_path)]
    first = CliRunner().invoke(watch, arguments, standalone_mode=False)
    assert "no finished run of this machine" in first.stdout
    again = CliRunner().invoke(watch, arguments, standalone_mode=False)
    assert again.return_value == 0
    assert f"against {tmp_path}" in again.stdout
    assert "highs / interval / big-m" in again.stdout
    assert "nothing is shown" in again.stdout
