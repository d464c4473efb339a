"""A dask cluster all of whose workers are killed: the run says that it can go on, and does."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oamip_model as om
from oamip_model.runs.store import RunStore
from oamip_model.scoring.asked import as_objects


def test_the_run_says_that_it_can_go_on_and_goes_on(problem_of: Any, tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed")
    p, store = problem_of("deep", 1, 4), tmp_path / "runs.jsonl"
    asked: dict[str, Any] = {"strategy": "batches", "batch_size": 1}
    whole = om.score(p.network, p.images, p.labels, **as_objects(**asked))
    with distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None, silence_logs=50) as running:
        address = running.scheduler_address
        # A worker without a nanny, which would start it again.
        command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1"]
        worker = subprocess.Popen(
            [*command, "--no-dashboard", "--local-directory", str(tmp_path)], stderr=subprocess.DEVNULL
        )
        try:
            with distributed.Client(address) as client:
                client.wait_for_workers(1, timeout=120)

            def kill(done: int, total: int, line: str) -> None:
                if done == 1:
                    worker.kill()
                    worker.wait()

            told = f"all workers of {re.escape(address)} are lost; [^\n]*finished programs are kept, [^\n]* continues"
            with pytest.raises(om.SolverError, match=told):
                om.score(p.network, p.images, p.labels, **as_objects(
                    **asked, engine="dask", scheduler=address, store=store, progress=kill))  # fmt: skip
        finally:
            worker.kill()
            worker.wait()
    kept = RunStore(store).records
    assert 1 <= len(kept) < 4
    lines = store.read_text().splitlines()
    found = om.score(p.network, p.images, p.labels, **as_objects(**asked, store=store))
    assert store.read_text().splitlines()[: len(lines)] == lines
    assert len(RunStore(store).records) == len(store.read_text().splitlines()) == 4
    for name, values in whole.by_layer.items():
        np.testing.assert_allclose(found.by_layer[name], values, atol=1e-9)
