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
