"""Runs a solver that is a separate program.

It is started, interrupted where necessary, and never left running.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from oamip_backends.shared.interrupts import Interrupts

_PATIENCE = 5.0
"""Seconds that an interrupted solver has for writing its solution."""

# A child survives a parent that is killed. On Linux a process can request a signal at the end of its parent. Requesting
# it between fork and exec is unsafe in a process with threads, so a bare interpreter does so and then runs the solver.
_TIED_TO_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execvp(sys.argv[2], sys.argv[2:])"
)


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
    if sys.platform == "linux":
        command = [sys.executable, "-I", "-S", "-c", _TIED_TO_PARENT, str(os.getpid()), *command]
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
    deadline = None if time_limit is None else time.monotonic() + time_limit
    pause = 0.001
    while not interrupts.pressed and (deadline is None or time.monotonic() < deadline):
        try:
            process.wait(pause)
            return False
        except subprocess.TimeoutExpired:
            pause = min(2 * pause, 0.05)
    _signal(process, signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_PATIENCE)
    return True


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal to the process and to all that it started, as far as they are running."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)
