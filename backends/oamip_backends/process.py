"""A solver that is a separate program: started, watched, interrupted, and never left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from oamip_backends.interrupts import Interrupts

_PATIENCE = 5.0
"""Seconds that a solver has to write its solution after it was asked to stop."""

# A child outlives a parent that is killed, unless, on Linux, it asked to be ended with its parent. Asking between fork
# and exec is unsafe in a process with threads, so a bare interpreter asks and then becomes the solver.
_TIED_TO_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); "
    "os.getppid() == int(sys.argv[1]) or sys.exit(1); os.execvp(sys.argv[2], sys.argv[2:])"
)


@dataclass(frozen=True)
class Ended:
    """How a program ended: its output, how long it ran, and whether Ctrl-C asked for the end."""

    log: str
    seconds: float
    interrupted: bool


def run_to_end(command: list[str], log: Path, time_limit: float | None) -> Ended:
    """Run the command with its output appended to ``log``, and return that output.

    After ``time_limit`` seconds, or at Ctrl-C, it gets SIGINT, which solvers take as "stop and write what you have",
    and five seconds later it is killed. It runs in a process group of its own, so that a terminal's Ctrl-C reaches it
    only through here.
    """
    if sys.platform == "linux":
        import os

        command = [sys.executable, "-I", "-S", "-c", _TIED_TO_PARENT, str(os.getpid()), *command]
    with log.open("ab") as output:
        before = output.tell()
        begin = time.monotonic()
        with Interrupts() as interrupts:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, process_group=0
            )
            try:
                _watch(process, interrupts, time_limit)
            finally:
                if process.poll() is None:
                    process.kill()
                    process.wait()
    seconds = time.monotonic() - begin
    with log.open("rb") as written:
        written.seek(before)
        return Ended(written.read().decode(errors="replace"), seconds, interrupts.pressed)


def _watch(process: subprocess.Popen[bytes], interrupts: Interrupts, time_limit: float | None) -> None:
    deadline = None if time_limit is None else time.monotonic() + time_limit
    pause = 0.001
    while not interrupts.pressed and (deadline is None or time.monotonic() < deadline):
        try:
            process.wait(pause)
            return
        except subprocess.TimeoutExpired:
            pause = min(2 * pause, 0.05)
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
