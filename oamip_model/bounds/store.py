"""Bounds in a file, so that expensive ones are paid once."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import numpy as np

from oamip_model.bounds.cutoff import Cutoff
from oamip_model.bounds.report import LayerReport
from oamip_model.bounds.types import Bounds, Validity
from oamip_model.errors import InputError
from oamip_model.files import check_writable, replacing
from oamip_model.network.ops import Array

SIDES = ("lower", "upper", "output_lower", "output_upper")
_FACTS = ("method", "validity", "epsilon", "network", "images")
_FORMAT = 2


def check_bounds_file(path: str | Path, option: str = "path") -> Path:
    """The path, after making sure that bounds can be saved there. Raises InputError where they cannot."""
    if Path(path).suffix != ".npz":
        raise InputError(f"{option}: {path} is not a name ending in .npz")
    return check_writable(path, option)


def save_bounds(bounds: Bounds, path: str | Path) -> None:
    """Write bounds to an .npz file, whole or not at all. Raises InputError where that cannot be."""
    target = check_bounds_file(path)
    arrays = {f"{side}_{k}": array for side in SIDES for k, array in enumerate(getattr(bounds, side))}
    facts: dict[str, Any] = {name: getattr(bounds, name) for name in _FACTS}
    facts |= {"format": _FORMAT, "layers": len(bounds.lower), "values": _digest(arrays)}
    facts["reports"] = [asdict(report) for report in bounds.reports]
    facts["cutoff"] = None if bounds.cutoff is None else asdict(bounds.cutoff)
    with replacing(target) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, facts=np.array(json.dumps(facts)), **arrays)


def load_bounds(path: str | Path) -> Bounds:
    """Bounds that :meth:`Bounds.save` wrote. Whether they fit a program is checked when they are used.

    Raises InputError, naming the file, where there is none, or it does not hold bounds as they were saved.

    Example:
        >>> import tempfile, numpy as np, torch, oamip_model as om
        >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> bounds = om.compute_bounds(om.read_network(module), np.ones((1, 2)), "crown")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     bounds.save(f"{folder}/bounds.npz")
        ...     load_bounds(f"{folder}/bounds.npz").method
        'crown'
    """
    source = Path(path)
    try:
        with np.load(source, allow_pickle=False) as archive:
            facts = json.loads(str(archive["facts"]))
            arrays = {f"{side}_{k}": archive[f"{side}_{k}"] for side in SIDES for k in range(int(facts["layers"]))}
        if (
            facts["format"] != _FORMAT
            or facts["values"] != _digest(arrays)
            or facts["validity"] not in get_args(Validity)
        ):
            raise InputError(f"bounds: {source} does not hold bounds as they were saved")
        known: dict[str, Any] = {
            side: tuple(arrays[f"{side}_{k}"] for k in range(int(facts["layers"]))) for side in SIDES
        }
        reports = tuple(LayerReport(**report) for report in facts["reports"])
        cutoff = None if facts["cutoff"] is None else Cutoff(**facts["cutoff"])
        return Bounds(**known, **{name: facts[name] for name in _FACTS}, reports=reports, cutoff=cutoff)
    except FileNotFoundError:
        raise InputError(f"bounds: there is no file {source}") from None
    except InputError:
        raise
    except (
        OSError, ValueError, TypeError, KeyError, AttributeError, EOFError, RuntimeError, MemoryError,
        zipfile.BadZipFile, zlib.error,
    ) as error:  # fmt: skip
        text = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"bounds: {source} cannot be read as a file of bounds ({text})") from None


def _digest(arrays: dict[str, Array]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(repr((name, array.shape, array.dtype.str)).encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
