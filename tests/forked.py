"""Processes for tests, forked from one that has loaded the package: what takes seconds is loaded once.

What a test does to such a process is what it would do to a new one: signals, files, standard output, exit codes.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["torch", "oamip_model.cli.app", "oamip_model.cli.score", "oamip_model.scoring.run", "oamip_model.network.reader",
     "oamip_model.scoring.joint.whole", "oamip_model.scoring.layerwise.scores", "oamip_backends.highs"]
)  # fmt: skip
OAMIP = "from oamip_model.cli import main; main()"


class Forked:
    """A process that runs Python code with arguments, as ``python -c CODE ARGUMENTS`` does."""

    def __init__(self, code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.args = arguments
        self._folder = tempfile.TemporaryDirectory()
        self.files = [Path(self._folder.name) / name for name in ("out", "err")]
        told = (code, arguments, dict(os.environ) | dict(environment or {}), os.getcwd(), [*map(str, self.files)])
        self._process = CONTEXT.Process(target=_child, args=told)
        self._process.start()
        self.pid: int = self._process.pid or 0

    def poll(self) -> int | None:
        """The exit code, None while it runs, negative for a signal."""
        return self._process.exitcode

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send it a signal, where it still runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float = 300.0) -> int:
        """Its exit code, once it has ended."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            self.kill()
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def communicate(self, timeout: float = 300.0) -> tuple[str, str]:
        """What it wrote to its standard output and error, once it has ended."""
        self.wait(timeout)
        out, err = (path.read_text(errors="surrogateescape") if path.exists() else "" for path in self.files)
        self._folder.cleanup()
        return out, err


def run(code: str, *arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A process from its start to its end."""
    process = Forked(code, *arguments, environment=environment)
    out, err = process.communicate()
    return subprocess.CompletedProcess(arguments, process.wait(), out, err)


def _child(
    code: str, arguments: tuple[str, ...], environment: dict[str, str], folder: str, files: list[str]
) -> None:  # fmt: skip
    import torch

    for number, path in enumerate(files, 1):
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
        os.close(handle)
    sys.stdout, sys.stderr = (open(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.argv = ["-c", *arguments]
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
