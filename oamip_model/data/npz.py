"""Labelled images from .npz files, under the key names that are in use."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oamip_model.arrays import open_arrays
from oamip_model.errors import InputError
from oamip_model.read import check_regular

WHOLE = (("images", "labels"), ("x", "y"))
"""Keys of a file without a split."""
SPLIT = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))
"""Keys of a file with a split, with "train" or "test" for the braces."""


def read_npz(path: str | Path) -> dict[str, tuple[NDArray[np.generic], NDArray[np.generic]]]:
    """Images and labels of an .npz file by split.

    They are {"train": ..., "test": ...} (or one of them), or {"": ...} where there is no split.

    Accepted keys: images and labels, x and y, or x_train, y_train, x_test, y_test, or train_images, train_labels,
    test_images, test_labels. Pickled objects are refused.
    Raises InputError, naming the file, where it cannot be read or has none of these pairs.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.savez(Path(folder) / "two.npz", x=np.zeros((2, 8, 8)), y=np.array([0, 1]))
    ...     {split: images.shape for split, (images, _) in read_npz(Path(folder) / "two.npz").items()}
    {'': (2, 8, 8)}
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"data: there is no file {source}")
    where = f"data: {source}"
    check_regular(source, where)
    with source.open("rb") as start:
        if start.read(6) == b"\x93NUMPY":
            raise InputError(f"{where} is one array, accepted is an .npz file with images and labels")
    with open_arrays(source, where) as file:
        found = _pairs(list(file.names))
        if not found:
            raise InputError(
                f"{where} has the keys {', '.join(file.names) or 'none'}; accepted are images and labels, x and y,"
                " or x_train, y_train, x_test, y_test"
            )
        return {split: (file.read(x), file.read(y)) for split, (x, y) in found.items()}


def _pairs(keys: list[str]) -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = {}
    for x, y in SPLIT:
        for split in ("train", "test"):
            if x.format(split) in keys and y.format(split) in keys:
                found.setdefault(split, (x.format(split), y.format(split)))
    whole = [pair for pair in WHOLE if set(pair) <= set(keys)]
    return {"": whole[0]} if whole and not found else found
