"""How bounds are written to a file; :mod:`oamip_model.bounds.store` reads it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from oamip_model.errors import InputError
from oamip_model.files import check_writable, replacing
from oamip_model.network.maps import Array

SIDES = ("lower", "upper", "output_lower", "output_upper")
FORMAT = 2


def check_bounds_file(path: str | Path, option: str = "path") -> Path:
    """The path, after making sure that bounds can be saved there.

    Raises InputError where they cannot.
    """
    if Path(path).suffix != ".npz":
        raise InputError(f"{option}: {path} is not a name ending in .npz")
    return check_writable(path, option)


def write_bounds(path: str | Path, sides: Mapping[str, Sequence[Array]], facts: Mapping[str, Any]) -> None:
    """Write bounds to an .npz file, whole or not at all.

    It holds the arrays of each side by layer, and other facts as JSON.

    Raises InputError where that cannot be.
    """
    target = check_bounds_file(path)
    arrays: dict[str, Any] = {f"{side}_{k}": array for side in SIDES for k, array in enumerate(sides[side])}
    told = {**facts, "format": FORMAT, "layers": len(sides[SIDES[0]]), "values": digest(arrays)}
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, facts=np.array(json.dumps(told)), **arrays)


def digest(arrays: Mapping[str, Array]) -> str:
    """Hash of arrays and their names."""
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(repr((name, array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]
