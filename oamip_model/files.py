"""Files that are either whole or not there.

They are written beside their place, then renamed.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from oamip_model.errors import InputError
from oamip_model.scratch import owned, sweep


def check_writable(path: str | Path, option: str = "path") -> Path:
    """The path, after making sure that a file can be created there.

    Raises InputError where it cannot.

    Called before long work starts, so that hours of solving do not end at a folder that does not exist.
    """
    target = Path(path)
    if target.is_dir():
        raise InputError(f"{option}: {target} is a folder, a file name is needed")
    if not target.parent.is_dir():
        raise InputError(f"{option}: {target} cannot be written, there is no folder {target.parent}")
    if target.is_symlink() and not target.exists():
        raise InputError(f"{option}: {target} is a link that leads to nothing")
    if target.exists() and not target.is_file():
        raise InputError(f"{option}: {target} is a pipe or a device, a file name is needed")
    if not os.access(target.parent, os.W_OK) or (target.exists() and not os.access(target, os.W_OK)):
        raise InputError(f"{option}: {target} cannot be written, permission denied")
    return target


def append_line(path: Path, line: str) -> None:
    """Append a line to a file, on disk when this returns.

    Where that fails, the file is left as it was.
    """
    left = line.encode() + b"\n"
    # Without a buffer, since closing the file would write it once more, and fail once more.
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            while left:
                left = left[file.write(left) :]
            os.fsync(file.fileno())
        except OSError as error:
            os.ftruncate(file.fileno(), before)
            raise OSError(error.errno, error.strerror, str(path)) from None


def drop_unfinished(path: Path, whole: int) -> None:
    """Cut a file of lines after its first ``whole`` bytes.

    A kill left the beginning of another line there.
    """
    if path.stat().st_size > whole:
        with path.open("r+b") as file:
            file.truncate(whole)


@contextmanager
def only_writer(path: Path, option: str) -> Iterator[None]:
    """Keep a file to this process while the block lasts.

    The lock ends with the process. A file that is made here and is empty at the end is removed.

    Parameters
    ----------
    path : Path
        The file.
    option : str
        The option that names it, for errors.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    InputError
        Where another process has it.
    """
    with check_writable(path, option).open("ab") as file:
        _take(file.fileno(), path, option)
        try:
            yield
        finally:
            if path.exists() and path.stat().st_size == 0:
                path.unlink()


def _take(handle: int, path: Path, option: str) -> None:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise InputError(f"{option}: another run is writing to {path}") from None


@contextmanager
def lock_file(path: Path, option: str) -> Iterator[int]:
    """The descriptor of an empty file that is locked, made where it is missing.

    Raises InputError for a link, which could lead anywhere, and for anything else that is no file.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        handle = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise InputError(f"{option}: {path} is a link, a folder or a device, accepted is a file") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(f"{option}: {path} is a pipe or a device, accepted is a file")
        yield handle
    finally:
        os.close(handle)


@contextmanager
def alone(path: Path, option: str) -> Iterator[None]:
    """Keep an existing output, a file or a folder, to this process in a block.

    A hidden file beside the file, or in the folder, is locked, and removed at the end. The lock
    ends with the process.

    Parameters
    ----------
    path : Path
        The output.
    option : str
        The option that names it, for errors.

    Yields
    ------
    None
        Nothing.

    Raises
    ------
    InputError
        Where another process has it, or where a link or a device stands in the lock's place.
    """
    lock = path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")
    while True:
        with lock_file(lock, option) as handle:
            _take(handle, path, option)
            # Its owner may have removed it between the two calls.
            if not lock.exists() or not os.path.samestat(os.fstat(handle), lock.stat()):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return


@contextmanager
def replacing_table(path: str | Path) -> Iterator[TextIO]:
    """An open text file for CSV, which takes the place of ``path`` at the end.

    Where the block ends with an error, ``path`` is not changed.
    """
    with (
        replacing(path) as temporary,
        # Names of files that are not UTF-8 are written as they are.
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,
    ):
        yield file


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary path that takes the place of ``path`` when the block ends.

    It is in the same folder. Where the block ends with an error, nothing is replaced. Such files of
    killed processes are removed from the folder.
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
