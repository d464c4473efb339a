"""Watches a process, and kills it with its children at its time or memory limit."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oamip_model.errors import OamipError
from oamip_model.files import replacing

LOGS = "logs"
LOG_BYTES = 2**20
"""A longer log is kept without its middle."""

_PAUSE = 0.05
_MIB = 2**20


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    Parameters
    ----------
    reason : str
        "exit", "timeout", "memory" or "stop".
    code : int
        Its exit code, negative for a signal.
    seconds : float
        Seconds since it was ready, 0 if it never was.
    peak_mib : float
        Largest resident memory seen, children included.
    """

    reason: str
    code: int
    seconds: float
    peak_mib: float


def require_psutil() -> Any:
    """The module psutil.

    Raises
    ------
    OamipError
        Where it is not installed; the message says what to install.
    """
    try:
        import psutil
    except ImportError:
        raise OamipError(
            "bench: psutil, which watches memory, is not installed: pip install 'oamip_model[bench]'"
        ) from None
    return psutil


def supervise(
    command: list[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    ready: Callable[[], bool],
    before: float,
    limit: float,
    memory_mib: float,
    stop: Callable[[], bool] = lambda: False,
) -> Ended:
    """How the command ended.

    It is killed, with every process that it started, at one of its limits or when ``stop``.

    Parameters
    ----------
    command : list of str
        The command.
    environment : mapping
        Its environment.
    log : Path
        The file of its output.
    ready : callable
        Whether the preparation is over.
    before : float
        Seconds for the preparation.
    limit : float
        Seconds from then on.
    memory_mib : float
        Limit on the resident memory of the process and its children together.
    stop : callable, optional
        Whether to end it.
    """
    psutil = require_psutil()
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=dict(environment),
            start_new_session=True,
        )  # fmt: skip
    began, since, peak, reason = time.monotonic(), None, 0.0, "exit"
    try:
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            now = time.monotonic()
            if since is None and ready():
                since = now
            used = _resident(psutil, watched)
            peak = max(peak, used)
            over = now - began > before if since is None else now - since > limit
            reason = "memory" if used > memory_mib else "timeout" if over else "stop" if stop() else "exit"
            if reason != "exit":
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PAUSE)
    finally:
        _end(psutil, process)
    seconds = 0.0 if since is None else time.monotonic() - since
    return Ended(reason, process.returncode, seconds, peak)


def _resident(psutil: Any, process: Any) -> float:
    total = 0.0
    with contextlib.suppress(psutil.Error):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                total += one.memory_info().rss / _MIB
    return total


def _end(psutil: Any, process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    family = []
    with contextlib.suppress(psutil.Error):
        family = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for child in family:
        with contextlib.suppress(psutil.Error):
            child.kill()
    process.wait()


def single_threaded(threads: int) -> dict[str, str]:
    """The environment of this process, with the threads of numerical libraries set."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    return (
        dict(os.environ) | dict.fromkeys(names, str(threads)) | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    )


def keep_log(folder: Path, key: str, text: str) -> str | None:
    """The name in the run's folder under which a log was kept, None for an empty one."""
    if not text.strip():
        return None
    raw = text.encode()
    if len(raw) > LOG_BYTES:
        left_out = len(raw) - LOG_BYTES
        middle = f"\n... {left_out} bytes are left out here ...\n".encode()
        raw = raw[: LOG_BYTES // 2] + middle + raw[-LOG_BYTES // 2 :]
    name = f"{LOGS}/{key}.log"
    with replacing(folder / name) as temporary:
        temporary.write_bytes(raw)
    return name


def load_here() -> float | None:
    """The machine's mean number of running processes over the last minute.

    It is None where the system has none.
    """
    try:
        return round(os.getloadavg()[0], 2)
    except (AttributeError, OSError):
        return None


def abnormal(ended: Ended, output: str) -> tuple[str, str]:
    """Status and message of a process that ended without an answer."""
    if ended.reason == "memory":
        return "memory", f"killed at {ended.peak_mib:.0f} MiB"
    if ended.reason == "timeout":
        return "timeout", "killed after its time limit and the grace" if ended.seconds else "building took too long"
    lines = [line for line in output.splitlines() if line.strip()]
    if "bad_alloc" in output or "MemoryError" in output:
        return "memory", lines[-1][:300]
    how = f"signal {-ended.code}" if ended.code < 0 else f"exit code {ended.code}"
    return "crash", f"the process ended with {how}" + (f": {lines[-1][:300]}" if lines else "")
