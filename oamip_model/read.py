"""Files that were given, read whole, where they are regular ones.

So no pipe blocks and no device never ends.
"""

from __future__ import annotations

import stat
from pathlib import Path

from oamip_model.errors import InputError


def check_regular(path: Path, where: str) -> int:
    """Gives the bytes that a file has.

    where: what the file is, as errors begin. Raises InputError where there is none, or it is a folder, a pipe or a
    device.
    """
    try:
        told = path.stat()
    except FileNotFoundError:
        raise InputError(f"{where} is missing, there is no such file") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{where} cannot be read ({_reason(error)})") from None
    if not stat.S_ISREG(told.st_mode):
        kind = "a folder" if stat.S_ISDIR(told.st_mode) else "a pipe or a device"
        raise InputError(f"{where} is {kind}, accepted is a file")
    return told.st_size


def read_bytes(path: Path, where: str, most: int | None = None) -> bytes:
    """Reads all that a file holds, of at most ``most`` bytes.

    where: what the file is, as errors begin. Raises InputError where :func:`check_regular` does, and for a file that is
    larger or cannot be read.
    """
    size = check_regular(path, where)
    if most is not None and size > most:
        raise InputError(f"{where} is too large, {size} bytes; accepted are {most}")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{where} cannot be read ({_reason(error)})") from None


def _reason(error: OSError | ValueError) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
