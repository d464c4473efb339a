"""Temporary folders and files, and the sweep of what killed processes left.

Each has its process number in its name, and the process holds a lock, which the system frees with
the process. Those that belong to no running process by either sign are removed.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_OWNED = re.compile(r"oamip-(?:[a-z]+-)?(\d+)-[a-z0-9_]{8}(\.[^.]*)?$")
"""The end of the name of what is temporary: the process that made it, letters of chance, and an ending."""
_HELD = ".held"


def owned(kind: str = "") -> str:
    """What a temporary name holds before its letters of chance.

    :func:`abandoned` knows it by that.

    >>> _OWNED.search(owned("cbc") + "abcd1234") is not None
    True
    """
    return f"oamip-{kind}-{os.getpid()}-" if kind else f"oamip-{os.getpid()}-"


def abandoned(path: Path) -> bool:
    """Whether this is a temporary folder or file whose process has ended."""
    named = _OWNED.search(path.name)
    if named is None or _runs(int(named[1])):
        return False
    held = path / _HELD if path.is_dir() else path
    try:
        with held.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return path.exists()
    except OSError:  # another process holds it, perhaps in another container, or it is another user's
        return False
    return True


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def sweep(folder: Path | None = None) -> None:
    """Remove what killed processes left in a temporary folder.

    It is the system's, or another one.
    """
    where = Path(tempfile.gettempdir()) if folder is None else folder
    with contextlib.suppress(OSError):
        for name in os.listdir(where):
            path = where / name
            if _OWNED.search(name) is None or not abandoned(path):
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


@cache
def _sweep_once(folder: Path) -> None:
    """A program that is called for each of many linear programs has a folder each time: one sweep will do."""
    sweep(folder)


def _make(kind: str) -> tuple[Path, int]:
    _sweep_once(Path(tempfile.gettempdir()))
    folder = Path(tempfile.mkdtemp(prefix=owned(kind)))
    handle = os.open(folder / _HELD, os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return folder, handle


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """A temporary folder that is removed when the block ends.

    Where the process is killed in it, the next sweep removes it.
    """
    folder, handle = _make(kind)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


@cache
def process_folder(kind: str) -> Path:
    """A temporary folder of this process, made once.

    It is removed when the process ends.
    """
    folder, _ = _make(kind)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
