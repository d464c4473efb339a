"""Bounds in a file, so that expensive ones are paid once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import numpy as np

from oamip_model.arrays import open_arrays
from oamip_model.bounds.cutoff import Cutoff
from oamip_model.bounds.report import LayerReport
from oamip_model.bounds.types import Bounds, Validity
from oamip_model.bounds.write import SIDES, digest
from oamip_model.errors import InputError
from oamip_model.records import Within, checked, parse_json


class _Cutoff(TypedDict):
    objective: float
    labels: list[int]
    weight: float
    loss: str
    sparsity: str
    margin: float


class _Facts(TypedDict):
    """What a file says of its bounds, as JSON."""

    format: Literal[2]
    layers: Annotated[int, Within(0, 10_000)]
    values: str
    method: str
    validity: Validity
    epsilon: Annotated[float, Within(0)]
    network: str
    images: str
    reports: tuple[LayerReport, ...]
    cutoff: _Cutoff | None


def load_bounds(path: str | Path) -> Bounds:
    """Bounds that :meth:`Bounds.save` wrote.

    Whether they fit a program is checked when they are used.

    Parameters
    ----------
    path : str or Path
        The .npz file.

    Returns
    -------
    Bounds
        The bounds as they were saved.

    Raises
    ------
    InputError
        Where there is no such file, or it does not hold bounds as they were saved.

    Examples
    --------
    >>> import tempfile, numpy as np, torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> bounds = om.compute_bounds(om.read_network(module), np.ones((1, 2)), "crown")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bounds.save(f"{folder}/bounds.npz")
    ...     load_bounds(f"{folder}/bounds.npz").method
    'crown'
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"bounds: there is no file {source}")
    where = f"bounds: {source}"
    with open_arrays(source, where) as file:
        text = file.read("facts")
        if text.ndim or text.dtype.kind != "U":
            raise InputError(f"{where}: its array facts is not a text")
        facts = checked(_Facts, parse_json(str(text).encode("utf-8", "surrogateescape"), f"{where}: facts"), where)
        layers = facts.pop("layers")
        names = [f"{side}_{k}" for side in SIDES for k in range(layers)]
        if sorted(file.names) != sorted([*names, "facts"]):
            raise InputError(f"{where} does not hold four arrays for each of {layers} layers, as they were saved")
        arrays = {name: file.read(name) for name in names}
    if facts.pop("values") != digest(arrays):
        raise InputError(f"{where} does not hold bounds as they were saved")
    del facts["format"]
    cutoff = facts.pop("cutoff")
    sides: dict[str, Any] = {side: tuple(arrays[f"{side}_{k}"] for k in range(layers)) for side in SIDES}
    for k in range(layers):
        four = [sides[side][k] for side in SIDES]
        if any(array.ndim != 2 or array.dtype != np.float64 or np.isnan(array).any() for array in four) or any(
            low.shape != high.shape or len(low) != len(four[0]) for low, high in (four[:2], four[2:])
        ):
            raise InputError(f"{where}: the arrays of layer {k} are not bounds of one number of images each")
    return Bounds(**sides, **facts, cutoff=None if cutoff is None else Cutoff(**cutoff))
