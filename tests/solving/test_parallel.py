"""Many solves at once: every task once, those of a killed worker again, and nothing that outlives the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from oamip_model.errors import InputError, SolverError
from oamip_model.solving.workers.parallel import Workers


def total(shared: Any, item: int, tell: Any) -> tuple[float, str, int]:
    return float(shared["x"].sum()) + item, os.environ.get("OMP_NUM_THREADS", ""), os.getpid()


def dies_once(shared: Any, item: int, tell: Any) -> int:
    """Task 2 kills its worker the first time; every start leaves a line."""
    with Path(shared).open("a") as file:
        file.write(f"{item}\n")
    if item == 2 and Path(shared).read_text().split().count("2") == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def always_dies(shared: Any, item: int, tell: Any) -> int:
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def fails(shared: Any, item: int, tell: Any) -> int:
    raise InputError(f"item: got {item}")


def items(count: int) -> dict[str, int]:
    return {f"task {k}": k for k in range(count)}


def test_one_job_runs_here_and_tells() -> None:
    told: list[str] = []

    def work(shared: int, item: int, tell: Any) -> int:
        tell(f"at {item}")
        return shared + item

    assert list(Workers().run(work, 10, items(3), told.append)) == [("task 0", 10), ("task 1", 11), ("task 2", 12)]
    assert told == ["at 0", "at 1", "at 2"]


def test_two_jobs_share_arrays_and_have_one_thread_each() -> None:
    found = dict(Workers(2).run(total, {"x": np.ones(1000)}, items(6)))
    assert {name: value for name, (value, _, _) in found.items()} == {f"task {k}": 1000.0 + k for k in range(6)}
    assert {threads for _, threads, _ in found.values()} == {"1"}
    pids = {pid for _, _, pid in found.values()}
    assert os.getpid() not in pids
    assert len(pids) <= 2
    assert not any(psutil.pid_exists(pid) for pid in pids), "workers are gone when the results are there"


def test_a_killed_worker_costs_its_task_only(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    assert dict(Workers(2).run(dies_once, str(starts), items(6))) == items(6)
    assert sorted(starts.read_text().split()) == ["0", "1", "2", "2", "3", "4", "5"]


def test_a_task_that_kills_every_worker_is_named_and_the_others_are_done() -> None:
    found: list[tuple[str, int]] = []
    with pytest.raises(SolverError, match=r"^task 1: its worker was killed 3 times"):
        found.extend(Workers(2).run(always_dies, None, items(4)))
    assert sorted(found) == [("task 0", 0), ("task 2", 2), ("task 3", 3)]


def test_what_a_task_raises_is_raised() -> None:
    with pytest.raises(InputError, match=r"^item: got 0$"):
        list(Workers(2).run(fails, None, {"a": 0}))


PARENT = """
import os, sys, time
from oamip_model.solving.workers.parallel import Workers
def work(shared, item, tell):
    open(os.path.join(shared, str(os.getpid())), "w").close()
    time.sleep(600)
list(Workers(2).run(work, sys.argv[1], {"a": 0, "b": 1}))
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_and_their_files_end_with_the_parent(number: signal.Signals, tmp_path: Path) -> None:
    marks, temporary = tmp_path / "marks", tmp_path / "tmp"
    marks.mkdir()
    temporary.mkdir()
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(marks)], env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.DEVNULL, process_group=0,
    )  # fmt: skip
    wait_until(lambda: len(list(marks.iterdir())) == 2)
    workers = [psutil.Process(int(mark.name)) for mark in marks.iterdir()]
    assert any(temporary.glob("oamip-*"))
    os.kill(parent.pid, number)
    parent.wait(30)
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert not alive
    wait_until(lambda: not any(temporary.glob("oamip-*")))


def wait_until(condition: Any) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"jobs": 0}, "jobs: got 0, accepted is"),
        ({"jobs": 1.5}, "jobs: got 1.5, accepted is"),
        ({"jobs": True}, "jobs: got True, accepted is"),
        ({"engine": "ray"}, "engine: got 'ray', accepted are loky, dask"),
        ({"engine": "dask"}, "scheduler: got none, engine dask needs"),
        ({"scheduler": "tcp://host:1"}, "scheduler: got 'tcp://host:1', but engine loky has no use for it"),
    ],
)
def test_values_that_are_wrong_or_do_not_go_together(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as error:
        Workers(**given)
    assert "\n" not in str(error.value)
