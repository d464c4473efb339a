"""Ctrl-C ends a solve within seconds, gives back what there is, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oamip_model.solving.protocol import Capability

SCRIPT = """
import sys
import numpy as np, scipy.sparse as sp
from oamip_model.solving.protocol import Arrays, Options
from oamip_model.solving.registry import get_backend, open_session
rng = np.random.default_rng(5)
if sys.argv[2] == "incumbent":
    rows, cost, sense = rng.integers(10, 100, (20, 200)).astype(float), rng.integers(10, 100, 200) + 0.125, -1
    lower, upper = np.full(20, -np.inf), rows.sum(1) // 2.5
else:
    rows, cost, sense = rng.integers(1, 1000, (5, 50)).astype(float), np.zeros(50), 1
    lower = upper = rows[:, rng.permutation(50)[:25]].sum(1)
n = len(cost)
arrays = Arrays(sp.csr_array(rows), cost, np.zeros(n), np.ones(n), lower, upper, np.ones(n, bool), 0.0, sense)
session = open_session(get_backend(sys.argv[1]), arrays, Options(time_limit=60))
print("solving", flush=True)
solution = session.solve()
print(solution.status, solution.interrupted, solution.x is not None, flush=True)
print(session.solve(relaxed=True).status, flush=True)
session.close() if hasattr(session, "close") else None
try:
    import os, signal
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("handler restored", flush=True)
"""


def processes_of(session_id: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session_id and fields[0] != "Z":
                found.append(int(entry.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.thinned(7)
@pytest.mark.parametrize("kind", ["incumbent", "none"])
def test_interrupt(backend, needs, kind):
    needs(Capability.INTERRUPT)
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, backend.name, kind], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "solving\n"
        time.sleep(1.0)
        begin = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        told, _ = process.communicate(timeout=30)
        assert time.monotonic() - begin < 10.0
    finally:
        process.kill()
        process.wait()
    lines = told.splitlines()
    expected = "feasible True True" if kind == "incumbent" else "no solution True False"
    assert [line for line in lines if "True" in line] == [expected]
    assert lines[-2:] == ["optimal", "handler restored"]
    assert processes_of(process.pid) == []
