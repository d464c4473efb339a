"""A backend for tests, offered to other processes too: HiGHS, slowed, that logs each program, and can kill a worker."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any, ClassVar

import pytest
from oamip_backends.highs import Highs

LOG = "OAMIP_TEST_LOG"


class Logging(Highs):
    """HiGHS; a line in $OAMIP_TEST_LOG for each session that is opened, and at a line that was named the end."""

    name: ClassVar[str] = "logging"

    def session(self, arrays: Any, options: Any) -> Any:
        """Log, perhaps die, wait, and hand over to HiGHS."""
        log = Path(os.environ[LOG])
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        end = log.with_name("end")
        if end.exists() and len(started(log)) == int(end.read_text()):
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.05)
        return super().session(arrays, options)

    def solve(self, arrays: Any, options: Any, start: Any = None) -> Any:
        """A solve from scratch, such as a projection: a step on the way, and not logged."""
        return Highs().solve(arrays, options, start)


def started(log: Path) -> list[str]:
    """The processes in which programs were started, in order."""
    return log.read_text().split() if log.exists() else []


def end_at(log: Path, line: int) -> None:
    """Let the process end, killed, that writes this line of the log."""
    log.with_name("end").write_text(str(line))


def offer(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make the backend findable here and in processes started from here; gives back its log."""
    info = folder / "logging_backend-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: logging-backend\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[oamip_model.backends]\nlogging = oamip_logging_backend:Logging\n")
    (folder / "oamip_logging_backend.py").write_text(Path(__file__).read_text())
    patch.syspath_prepend(str(folder))
    patch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    patch.setenv(LOG, str(folder / "log"))
    return folder / "log"
