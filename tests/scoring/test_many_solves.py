"""Scores from many solves at once: those of one job, whatever was killed on the way, and nothing solved twice."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import numpy as np
import pytest
import torch
from scoring.logging_backend import end_at, offer, started
from thinned import examples
from torch import nn

import oamip_model as om
from oamip_model.scoring.asked import as_objects

pytestmark = pytest.mark.xdist_group("many solves")  # what its fixtures make takes long

TWENTY: dict[str, Any] = {"strategy": "batches", "batch_size": 1, "loss": "hinge", "scores": "binary", "jobs": 2}
LAYERS: dict[str, Any] = {"strategy": "forward", "weight": 2.0}
"""Ten layers, each scored twice, one after the other: nineteen programs, since the last layer's does not change."""


@pytest.fixture(scope="module")
def problem() -> tuple[om.Network, np.ndarray, np.ndarray]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3)).eval()
    network = om.read_network(module, (4,))
    images = np.random.default_rng(0).normal(size=(20, 4))
    return network, images, network.replay(images).argmax(axis=1)


@pytest.fixture(scope="module")
def one_by_one(problem: Any) -> om.Scores:
    """The twenty programs' scores by one job."""
    return om.score(*problem, **as_objects(**TWENTY | {"jobs": 1}))


@pytest.fixture(scope="module")
def deep() -> tuple[om.Network, np.ndarray, np.ndarray]:
    torch.manual_seed(0)
    hidden = [part for _ in range(10) for part in (nn.Linear(4, 4), nn.ReLU())]
    network = om.read_network(nn.Sequential(*hidden, nn.Linear(4, 3)).eval(), (4,))
    images = np.random.default_rng(0).normal(size=(20, 4))
    return network, images, np.arange(20) % 3


@pytest.fixture(scope="module")
def logged_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a dask cluster of two processes that find the test's backend, and the log of that."""
    distributed = pytest.importorskip("distributed")
    with pytest.MonkeyPatch.context() as patch:
        log = offer(tmp_path_factory.mktemp("cluster"), patch)
        with distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as running:
            yield running.scheduler_address, log


@pytest.fixture(scope="module")
def cluster(logged_cluster: tuple[str, Path]) -> str:
    return logged_cluster[0]


def same(a: om.Scores, b: om.Scores) -> None:
    assert list(a.by_layer) == list(b.by_layer)
    for name, values in a.by_layer.items():
        # Sums of arrays that another process has laid out otherwise may differ in the last digits.
        np.testing.assert_allclose(values, b.by_layer[name], atol=1e-9)
    assert (a.status, a.planned) == (b.status, b.planned)
    assert (a.objective, a.bound) == pytest.approx((b.objective, b.bound), rel=1e-9)
    assert [p.images for p in a.programs] == [p.images for p in b.programs]


@pytest.mark.thinned(3)
@pytest.mark.parametrize("where", ["jobs", "cluster"])
@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "per-class", "bounds": "lp"},
        {"strategy": "batches", "batch_size": 7},
        {"strategy": "decoupled"},
    ],
    ids=lambda options: options["strategy"],
)
def test_two_jobs_and_a_cluster_give_the_scores_of_one(
    options: dict[str, Any], where: str, problem: Any, cluster: str
) -> None:
    told: list[tuple[int, int, str]] = []
    one = om.score(*problem, **as_objects(**options))
    several = {"jobs": 2} if where == "jobs" else {"engine": "dask", "scheduler": cluster}
    found = om.score(*problem, **as_objects(**options, **several, progress=lambda *line: told.append(line)))
    same(one, found)
    count = len(one.programs)
    assert [line[:2] for line in told] == [(k + 1, count) for k in range(count)], "one bar for all"


def test_a_worker_that_is_killed_costs_its_program_only(
    problem: Any, one_by_one: om.Scores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = offer(tmp_path, monkeypatch)
    end_at(log, 10)
    store = tmp_path / "runs.jsonl"
    found = om.score(*problem, **as_objects(**TWENTY, solver="logging", store=store))
    same(one_by_one, found)
    assert len(started(log)) == 21
    assert len(set(started(log))) == 3, "two workers, and one in the place of the killed"
    assert len(keys(store)) == 20


def test_a_cluster_survives_a_killed_worker(
    problem: Any, one_by_one: om.Scores, logged_cluster: tuple[str, Path], tmp_path: Path
) -> None:
    address, log = logged_cluster
    end_at(log, 10)
    store = tmp_path / "runs.jsonl"
    found = om.score(*problem, **as_objects(**TWENTY, solver="logging", engine="dask", scheduler=address, store=store))
    same(one_by_one, found)
    assert 21 <= len(started(log)) <= 25
    assert len(keys(store)) == 20


RUN = """
import json, pickle, sys
import oamip_model as om
from oamip_model.scoring.asked import as_objects

with open(sys.argv[1], "rb") as file:
    problem = pickle.load(file)
om.score(*problem, **as_objects(**json.loads(sys.argv[2]), solver="logging", store=sys.argv[3]))
"""


@pytest.mark.parametrize(("asked", "kills"), [(TWENTY, examples(1, 3)), (LAYERS, 1)], ids=["batches", "layers"])
def test_kill_9_at_any_point_and_the_same_again(
    asked: dict[str, Any], kills: int, problem: Any, deep: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = deep if asked is LAYERS else problem
    jobs = asked.get("jobs", 1)
    log = offer(tmp_path, monkeypatch)
    store, file = tmp_path / "runs.jsonl", tmp_path / "problem"
    file.write_bytes(pickle.dumps(problem))
    alone = asked | {"jobs": 1}
    whole = om.score(*problem, **as_objects(**alone, store=tmp_path / "whole.jsonl"))
    count = len(keys(tmp_path / "whole.jsonl"))
    assert count == (20 if asked is TWENTY else 19)
    rng = np.random.default_rng(int.from_bytes(os.urandom(4)))
    points = sorted(rng.choice(np.arange(1, 19), size=kills, replace=False).tolist())
    kept: list[str] = []
    for number, point in enumerate(points, 1):
        run = forked.Forked(RUN, str(file), json.dumps(asked), str(store))
        end = time.monotonic() + 600
        while len(keys(store)) < point:
            assert run.poll() is None, (points, run.communicate())
            assert time.monotonic() < end, points
            time.sleep(float(rng.uniform(0, 0.02)))
        run.kill()
        run.communicate()
        now = keys(store)
        assert now[: len(kept)] == kept, (points, "finished programs stay as they are")
        kept = now
        # Of what was started, one a job at most was on its way when the run was killed.
        assert len(started(log)) <= len(kept) + jobs * number, points
    before = len(started(log))
    found = om.score(*problem, **as_objects(**alone, solver="logging", store=store))
    assert len(started(log)) - before == count - len(kept), (points, "only the unfinished are solved")
    assert len(set(keys(store))) == len(keys(store)) == count, points
    same(whole, found)


def keys(store: Path) -> list[str]:
    """Keys of the whole lines of a store."""
    whole = store.read_bytes().rpartition(b"\n")[0] if store.exists() else b""
    return [json.loads(line)["key"] for line in whole.splitlines()]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 2, "strategy": "joint"}, "jobs: got 2, but strategy joint is one program"),
        ({"jobs": 2}, "jobs: got 2, but strategy forward scores a layer after"),
        ({"jobs": 2, "strategy": "backward"}, "jobs: got 2, but strategy backward scores a layer after"),
        ({"jobs": 0, "strategy": "batches"}, "jobs: got 0, accepted is"),
        ({"jobs": 2, "strategy": "batches", "threads": 2}, "threads: got 2, accepted is 1"),
        ({"jobs": 2, "strategy": "batches", "log_file": "log"}, "log_file: several programs"),
        ({"engine": "dask", "scheduler": "tcp://a:1", "strategy": "joint"}, "engine: got 'dask', but strategy joint"),
        ({"engine": "dask", "scheduler": "nonsense", "strategy": "batches"}, "scheduler: got 'nonsense', where no"),
    ],
)
def test_what_cannot_be_solved_at_once_is_refused(options: dict[str, Any], message: str, problem: Any) -> None:
    with pytest.raises(om.InputError, match=f"^{message}") as error:
        om.score(*problem, **as_objects(**options))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content", [b"\x00\x01onnx", b'{"a": 1}\n', b"x,y\n1,2\n", b'{"key": "a", "record": {}}\nrest']
)
def test_a_file_that_is_no_store_is_left_as_it_is(content: bytes, problem: Any, tmp_path: Path) -> None:
    file = tmp_path / "file.jsonl"
    file.write_bytes(content)
    with pytest.raises(om.InputError, match=r"^store: line "):
        om.score(*problem, method="batches", run=om.Run(store=file))
    assert file.read_bytes() == content
