"""A solver that is a separate program: started, watched, interrupted, and never left behind."""

from __future__ import annotations

import contextlib
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from oamip_backends.shared.interrupts import Interrupts

_PATIENCE = 5.0
"""Seconds that a solver has to write its solution after it was asked to stop."""

_LOOK = 0.05
"""Seconds between two looks at whether Ctrl-C was pressed."""

# A child outlives a parent that is killed, unless, on Linux, it asked to be ended with its parent. Asking between fork
# and exec is unsafe in a process with threads, so a program asks and then becomes the solver: util-linux's where it is
# there, which takes 2 ms, else a bare interpreter, which takes 10 ms.
_SETPRIV = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", '[ "$PPID" = "$0" ] || exit 1; exec "$@"']
_PYTHON = [
    sys.executable, "-I", "-S", "-c",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execvp(sys.argv[2], sys.argv[2:])",
]  # fmt: skip


@cache
def _tied() -> list[str]:
    """What begins a command that is to end with its parent; the parent's number comes next."""
    if sys.platform != "linux":
        return []
    try:
        tried = subprocess.run([*_SETPRIV, str(os.getpid()), "true"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return _PYTHON
    return _PYTHON if tried.returncode else _SETPRIV


@dataclass(frozen=True)
class Ended:
    """How a program ended: its output, how long it ran, whether Ctrl-C asked for the end, its exit code, and whether it
    was told to stop, by Ctrl-C or at its limit."""

    log: str
    seconds: float
    interrupted: bool
    code: int = 0
    stopped: bool = False


def run_to_end(
    command: list[str],
    log: Path,
    time_limit: float | None,
    *,
    told: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: str | Path | None = None,
) -> Ended:
    """Run the command with its output appended to ``log``, and return that output.

    After ``time_limit`` seconds, or at Ctrl-C, it gets SIGINT, which solvers take as "stop and write what you have",
    and five seconds later it is killed, with all that it started. It runs in a process group of its own, so that a
    terminal's Ctrl-C reaches it only through here. told: a file that it reads as standard input; environment, folder:
    those of this process unless given.
    """
    if tied := _tied():
        command = [*tied, str(os.getpid()), *command]
    with log.open("ab") as output, Path(told or os.devnull).open("rb") as given:
        before = output.tell()
        begin = time.monotonic()
        with Interrupts() as interrupts:
            process = subprocess.Popen(
                command, stdin=given, stdout=output, stderr=subprocess.STDOUT, process_group=0,
                env=environment if environment is None else dict(environment), cwd=folder,
            )  # fmt: skip
            stopped = True
            try:
                stopped = _watch(process, interrupts, time_limit)
            finally:
                _signal(process, signal.SIGKILL)
                process.wait()
    seconds = time.monotonic() - begin
    with log.open("rb") as written:
        written.seek(before)
        return Ended(written.read().decode(errors="replace"), seconds, interrupts.pressed, process.returncode, stopped)


def _watch(process: subprocess.Popen[bytes], interrupts: Interrupts, time_limit: float | None) -> bool:
    """Wait for the end, and return whether it had to be asked for."""
    deadline = math.inf if time_limit is None else time.monotonic() + time_limit
    with _end_of(process) as wait:
        while not interrupts.pressed and (left := deadline - time.monotonic()) > 0:
            if wait(min(left, _LOOK)):
                return False
    _signal(process, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    return True


@contextmanager
def _end_of(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], bool]]:
    """A function that waits up to so many seconds for the end, and says whether it came.

    Where the system can tell of the end at once, nothing is lost by looking too late.
    """
    if not hasattr(os, "pidfd_open"):
        yield partial(_ends_within, process)
        return
    try:
        handle = os.pidfd_open(process.pid)
    except OSError:  # a kernel older than Python knows
        yield partial(_ends_within, process)
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)

        def ended(seconds: float) -> bool:
            return bool(poll.poll(1000 * seconds)) and process.wait() is not None

        yield ended
    finally:
        os.close(handle)


def _ends_within(process: subprocess.Popen[bytes], seconds: float) -> bool:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return process.returncode is not None


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the process and to all that it started, where any of them is still there."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
