"""Arrays in .npz and .safetensors files that were given.

Nothing is unpickled, and no size is believed that the file does not have.
"""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from numpy.lib import format as npy
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.read import check_regular, read_bytes

_PLAIN: Final = "biufcSU"
"""Kinds of numbers and texts, of which alone arrays are read: no objects, and no records."""
_EXPANDED: Final = 100
"""How many times its own size a file may hold, beyond :data:`_ALWAYS`; images and bounds compress less."""
_ALWAYS: Final = 2**28
_SUFFIX: Final = ".npy"
_HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_DAMAGED: Final = (
    OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, OverflowError, MemoryError, SyntaxError,
    TypeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip


@dataclass(frozen=True)
class ArrayFile:
    """An .npz file that is open, with the ``names`` of its arrays in order.

    ``where`` begins its errors.
    """

    archive: zipfile.ZipFile
    names: tuple[str, ...]
    where: str

    def read(self, name: str) -> NDArray[Any]:
        """Read one array.

        Parameters
        ----------
        name : str
            Its name.

        Returns
        -------
        array
            Numbers, or a text.

        Raises
        ------
        InputError
            Where there is none of that name, or it holds anything else. Also where its header
            states another number of bytes than there are.
        """
        if name not in self.names:
            raise InputError(f"{self.where} cannot be read, it has no array {name}")
        member = name + _SUFFIX
        try:
            with self.archive.open(member) as file:
                self._check_header(name, file, self.archive.getinfo(member).file_size)
            with self.archive.open(member) as file:
                found: NDArray[Any] = npy.read_array(file, allow_pickle=False)
                if file.read(1):
                    raise ValueError("bytes are left over")
            return found
        except InputError:
            raise
        except _DAMAGED as error:
            raise InputError(f"{self.where}: its array {name} cannot be read ({_reason(error)})") from None

    def _check_header(self, name: str, file: IO[bytes], size: int) -> None:
        version = npy.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"format {version[0]}.{version[1]}")
        shape, _, dtype = _HEADERS[version](file)
        if dtype.kind not in _PLAIN or dtype.hasobject:
            raise InputError(f"{self.where}: its array {name} cannot be read, it holds {dtype}, accepted are numbers")
        promised, there = math.prod(shape) * dtype.itemsize, size - file.tell()
        if min(shape, default=0) < 0 or promised != there:
            raise InputError(
                f"{self.where}: its array {name} holds {there} bytes, its header promises {promised} for shape {shape}"
            )


@contextmanager
def open_arrays(path: Path, where: str) -> Iterator[ArrayFile]:
    """An open .npz file, of which only the names have been read.

    Parameters
    ----------
    path : Path
        The file.
    where : str
        The kind of file, at the beginning of errors.

    Yields
    ------
    ArrayFile
        The file.

    Raises
    ------
    InputError
        Where there is no such file, it is no whole .npz file, or it has other members than arrays.
        Also where it declares far more bytes than it has, as a zip bomb does.
    """
    size = check_regular(path, where)
    try:
        archive = zipfile.ZipFile(path)
    except _DAMAGED as error:
        raise InputError(f"{where} cannot be read as an .npz file ({_reason(error)})") from None
    with archive:
        entries = archive.infolist()
        declared = sum(entry.file_size for entry in entries)
        if declared > max(_ALWAYS, _EXPANDED * size):
            raise InputError(f"{where} declares {declared} bytes of arrays in a file of {size} bytes")
        names: dict[str, None] = {}
        for entry in entries:
            name, accepted = entry.filename.removesuffix(_SUFFIX), (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
            shown = f"{where}: its member {_shown(entry.filename)}"
            if name == entry.filename:
                raise InputError(f"{shown} is no array, accepted are names ending in {_SUFFIX}")
            if name in names:
                raise InputError(f"{shown} occurs twice")
            if entry.flag_bits & 0x1 or entry.compress_type not in accepted:
                raise InputError(f"{shown} is encrypted, or compressed in another way than by deflate")
            names[name] = None
        yield ArrayFile(archive, tuple(names), where)


def _reason(error: BaseException) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def _shown(name: str) -> str:
    return name if name.isprintable() and len(name) < 80 else repr(name)[:80]


def read_safetensors(path: Path, where: str) -> dict[str, NDArray[Any]]:
    """Reads all arrays of a .safetensors file, by name.

    where: what the file is, as errors begin. Raises InputError where :func:`~oamip_model.read.read_bytes` does, and for
    a file that holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    data = read_bytes(path, where)
    try:
        return load(data)
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{where} cannot be read ({error})") from None
