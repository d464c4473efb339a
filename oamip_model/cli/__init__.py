"""The command line: ``oamip VERB``, one file for each verb.

Each verb is a thin skin over one public function.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

__all__ = ["main", "run"]

INTERRUPTED, TERMINATED = 130, 143


class _Termination:
    """The handler of SIGTERM, which is treated like Ctrl-C. Code that waits for a solver notes it instead."""

    def __init__(self) -> None:
        self.came = False

    def noted(self) -> None:
        """Remember that the signal came."""
        self.came = True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.noted()
        raise KeyboardInterrupt


_termination = _Termination()


def run(arguments: Sequence[str]) -> int:
    """The exit code of ``oamip ARGUMENTS``: see :func:`oamip_model.cli.app.run`."""
    from oamip_model.cli.app import run as run_verb

    return run_verb(arguments)


def main() -> NoReturn:
    """Run ``oamip`` on the arguments of the process, and leave with its exit code.

    SIGTERM is treated like Ctrl-C, so that the best so far is saved. Ctrl-C is reported in one line
    from the first import on.
    """
    signal.signal(signal.SIGTERM, _termination)
    try:
        # File names that are not UTF-8 are printed as they are.
        sys.stdout.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        sys.stderr.write("oamip: error: interrupted, nothing was saved\n")
        code = INTERRUPTED
    # A second signal while Python clears up would end in a traceback.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = TERMINATED if _termination.came and code == INTERRUPTED else code
    sys.exit(_flushed(code))


def _flushed(code: int) -> int:
    """The exit code after all that was printed is written, 1 where that fails, as on a full disk."""
    try:
        sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"oamip: error: standard output cannot be written ({error.strerror})\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code
