"""Runs a solver that is a separate program.

It is started, interrupted where necessary, and never left running.
"""

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
"""Seconds that an interrupted solver has for writing its solution."""

_LOOK = 0.05
"""Seconds between two looks at whether Ctrl-C was pressed."""

# A child survives a parent that is killed. On Linux a process can request a signal at the end of its parent. Requesting
# it between fork and exec is unsafe in a process with threads, so a program does so and then runs the solver. That of
# util-linux takes 2 ms, a bare interpreter 10 ms.
_SETPRIV = ["setpriv", "--pdeathsig", "KILL", "sh", "-c", '[ "$PPID" = "$0" ] || exit 1; exec "$@"']
_PYTHON = [
    sys.executable, "-I", "-S", "-c",
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execvp(sys.argv[2], sys.argv[2:])",
]  # fmt: skip


@cache
def _tied() -> list[str]:
    """The beginning of a command that ends with its parent. The number of the parent comes next."""
    if sys.platform != "linux":
        return []
    try:
        tried = subprocess.run([*_SETPRIV, str(os.getpid()), "true"], capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return _PYTHON
    return _PYTHON if tried.returncode else _SETPRIV


@dataclass(frozen=True)
class Ended:
    """The end of a program.

    Parameters
    ----------
    log : str
        Its output.
    seconds : float
        Wall clock.
    interrupted : bool
        Whether Ctrl-C was pressed.
    code : int, default 0
        Its exit code.
    stopped : bool, default False
        Whether it was interrupted, by Ctrl-C or at its time limit.
    """

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
    standard_input: Path | None = None,
    environment: Mapping[str, str] | None = None,
    folder: str | Path | None = None,
) -> Ended:
    """Run a program, append its output to a file, and wait for its end.

    After the time limit, or at Ctrl-C, it gets SIGINT, at which solvers write their incumbent. Five
    seconds later it is killed, with all programs that it started. It runs in a process group of its
    own, so that a terminal's Ctrl-C reaches it only through this function.

    Parameters
    ----------
    command : list of str
        The program and its arguments.
    log : Path
        The file that its output is appended to.
    time_limit : float, optional
        Seconds.
    standard_input : Path, optional
        A file that it reads as standard input.
    environment : mapping of str to str, optional
        Its environment, by default that of this process.
    folder : str or Path, optional
        Its working folder, by default that of this process.

    Returns
    -------
    Ended
        Its output, and how it ended.
    """
    if tied := _tied():
        command = [*tied, str(os.getpid()), *command]
    with log.open("ab") as output, Path(standard_input or os.devnull).open("rb") as given:
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
    """Wait for the end. Returns whether the program had to be interrupted."""
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
    """A function that waits some seconds at most for the end of a process, and returns whether it came.

    Where the system reports the end at once, no time is lost.
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
    """Send a signal to the process and to all that it started, as far as they are running."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
