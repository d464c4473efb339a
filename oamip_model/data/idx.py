"""IDX files, the format in which MNIST and its relatives are published."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError
from oamip_model.read import check_regular

PREFIX = {"train": "train", "test": "t10k"}
DEBIAN = {"fashion-mnist": Path("/usr/share/datasets/fashion-mnist")}
"""Where Debian's package dataset-fashion-mnist puts its files."""


def read_idx(path: str | Path, axes: int) -> NDArray[np.uint8]:
    """The bytes of one IDX file, plain or gzipped, as an array.

    The file has two zero bytes, the type (8 for unsigned bytes) and the number of axes. The length
    of each axis follows as a big-endian 32-bit integer, then the data in row-major order.

    Parameters
    ----------
    path : Path
        The file.
    axes : int
        Number of axes: 3 for images, 1 for labels.

    Returns
    -------
    array of uint8
        The data.

    Raises
    ------
    InputError
        Where the file cannot be read, or has another size than its header states.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "labels"
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 7, 3]))
    ...     read_idx(path, axes=1).tolist()
    [7, 3]
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"data: there is no file {source}")
    where, header = f"data: {source}", 4 + 4 * axes
    size = check_regular(source, where)
    try:
        with source.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            data: IO[bytes] | gzip.GzipFile = gzip.GzipFile(fileobj=file) if packed else file
            start = data.read(header)
            if len(start) < header or start[:4] != bytes([0, 0, 8, axes]):
                found = start[:4].hex() or "nothing"
                raise InputError(
                    f"{where} is not an IDX file of bytes with {axes} axes (starts with {found}, not 000008{axes:02x})"
                )
            shape = tuple(int(length) for length in np.frombuffer(start, dtype=">u4", count=axes, offset=4))
            promised = math.prod(shape)
            # Deflate makes bytes at most 1,032 times smaller, so a header that states more is refused.
            held = data.read(promised + 1) if promised <= size * (1032 if packed else 1) else None
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{where} cannot be read ({error})") from None
    if held is None or len(held) != promised:
        kind = f"a gzip file of {size} bytes" if packed else f"{size - header} bytes of data"
        there = kind if held is None or not packed else f"{len(held)} bytes of data, or more"
        raise InputError(f"{where} holds {there}, its header promises {promised} for shape {shape}")
    return np.frombuffer(held, dtype=np.uint8).reshape(shape)


def find_idx(name: str) -> tuple[Path | None, list[str]]:
    """The folder that holds the IDX files of ``name``, and the places looked at.

    The folder is None where no place holds them.

    Looked at, in this order: $OAMIP_DATA/name, $OAMIP_DATA, and for fashion-mnist the folder of Debian's package.
    Raises InputError where OAMIP_DATA is set to something that is not a folder.
    """
    folders, seen = [], []
    variable = os.environ.get("OAMIP_DATA")
    if variable:
        root = Path(variable).expanduser()
        if not root.is_dir():
            raise InputError(f"data: OAMIP_DATA is {variable}, which is not a folder")
        folders += [root / name, root]
    else:
        seen.append("OAMIP_DATA (not set)")
    folders += [DEBIAN[name]] if name in DEBIAN else []
    seen += [str(folder) for folder in folders]
    for folder in folders:
        if any(_file(folder, prefix, "images") is not None for prefix in PREFIX.values()):
            return folder, seen
    return None, seen


def read_split(folder: Path, split: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Images and labels of the split "train" or "test" in ``folder``, as bytes.

    They have the shapes (n, height, width) and (n,).

    Raises InputError, naming the file, where one is missing or damaged, or where their lengths differ.
    """
    paths = {}
    for kind, axes in (("images", 3), ("labels", 1)):
        path = _file(folder, PREFIX[split], kind)
        if path is None:
            raise InputError(f"data: there is no {PREFIX[split]}-{kind}-idx{axes}-ubyte (or .gz) in {folder}")
        paths[kind] = path
    images, labels = read_idx(paths["images"], 3), read_idx(paths["labels"], 1)
    if len(images) != len(labels):
        raise InputError(
            f"data: {paths['labels']} has {len(labels)} labels for the {len(images)} images of {paths['images'].name}"
        )
    return images, labels


def _file(folder: Path, prefix: str, kind: str) -> Path | None:
    axes = {"images": 3, "labels": 1}[kind]
    for separator in "-.":
        for suffix in ("", ".gz"):
            path = folder / f"{prefix}-{kind}{separator}idx{axes}-ubyte{suffix}"
            if path.is_file():
                return path
    return None
