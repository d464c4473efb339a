"""Files that are either whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oamip_model.errors import InputError
from oamip_model.scratch import owned, sweep


def check_writable(path: str | Path, option: str = "path") -> Path:
    """The path, after making sure that a file can be created there. Raises InputError where it cannot.

    Called before long work starts, so that hours of solving do not end at a folder that does not exist.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{option}: {target} is a folder, a file name is needed")
    if not target.parent.is_dir():
        raise InputError(f"{option}: {target} cannot be written, there is no folder {target.parent}")
    if not os.access(target.parent, os.W_OK) or (target.exists() and not os.access(target, os.W_OK)):
        raise InputError(f"{option}: {target} cannot be written, permission denied")
    return target


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, on disk when this returns; where that fails, the file is left as it was."""
    left = line.encode() + b"\n"
    # Without a buffer, which would be written once more, and fail once more, where the file is closed.
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError as error:
            os.ftruncate(file.fileno(), before)
            raise OSError(error.errno, error.strerror, str(path)) from None


@contextmanager
def only_writer(path: Path, option: str) -> Iterator[None]:
    """Keep a file to this process while the block lasts; the lock dies with the process.

    Raises InputError where another process has it. A file that is made here and stays empty goes at the end.
    """
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{option}: another run is writing to {path}") from None
        try:
            yield
        finally:
            if path.exists() and path.stat().st_size == 0:
                path.unlink()


@contextmanager
def alone(path: Path, option: str) -> Iterator[None]:
    """Keep an output, a file or a folder that is there, to this process while the block lasts.

    A hidden file beside the file, or in the folder, is locked, and goes at the end. The lock dies with the process.
    Raises InputError where another process has it.
    """
    lock = path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")
    while True:
        file = lock.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise InputError(f"{option}: another run is writing to {path}") from None
        # Whoever had it may have removed it between the two calls.
        if lock.exists() and os.path.samestat(os.fstat(file.fileno()), lock.stat()):
            break
        file.close()
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
        file.close()


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path in the same folder, which takes the place of ``path`` when the block ends without an error.

    What killed processes left in the folder in this way goes.
    """
    target = check_writable(path)
    sweep(target.parent)
    name = f".{target.stem}-{owned()}"
    handle, made = tempfile.mkstemp(prefix=name, suffix=target.suffix, dir=target.parent)
    fcntl.flock(handle, fcntl.LOCK_EX)
    temporary = Path(made)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(target)
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(target)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)
        os.close(handle)
