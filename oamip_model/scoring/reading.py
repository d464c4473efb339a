"""Scores files, read strictly.

What is no record of this package is refused by name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from oamip_model.arrays import read_safetensors
from oamip_model.errors import InputError
from oamip_model.records import Count, Number, Share, checked, read_json
from oamip_model.scoring.program_result import STATUSES, ProgramResult, ReplayCheck, TrainedHead
from oamip_model.scoring.result import FORMAT, Array, Scores

_FIELDS: dict[str, Any] = {
    "strategy": str, "gate": str, "solver": str, "version": str, "relaxed": bool, "options": dict[str, Any],
    "source": str, "network": str, "planned": Count, "interrupted": bool, "seconds": dict[str, Number],
    "images": Count, "head": str | None,
}  # fmt: skip
_LATER: dict[str, Any] = {"network_accuracy": Share | None, "exchanged": Count, "out_of_time": bool}
"""Fields that files of earlier versions lack."""
_PROGRAM: dict[str, Any] = {
    "images": list[int], "status": str, "objective": Number | None, "bound": Number | None, "gap": Number | None,
    "loss": Number | None, "sparsity": Number | None, "replayed_loss": Number | None, "replay": Any,
    "nodes": Count | None, "rounds": Count, "cuts": Count, "seconds": dict[str, Number],
}  # fmt: skip
_PROGRAM_LATER: dict[str, Any] = {
    "message": str, "weight": Number | None, "layer": str, "variables": Count | None, "rows": Count | None,
    "trained": Any, "heuristic": Number | None, "certified": bool,
}  # fmt: skip
_REPLAY: dict[str, Any] = {"logits": Number, "loss": Number, "tolerance": Number, "passed": bool | None}
_TRAINED: dict[str, Any] = {"accuracy": Share, "epochs": Count, "seed": Count, "features": Count}


def load_scores(path: str | Path) -> Scores:
    """The scores that :meth:`Scores.save` wrote to a file.

    Parameters
    ----------
    path : str or Path
        The JSON file.

    Returns
    -------
    Scores
        The scores as they were saved.

    Raises
    ------
    InputError
        Where the file is missing, is no scores file, or holds scores outside [0, 1].

    Examples
    --------
    >>> import tempfile, torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = om.baseline_scores(module, "weight-l1").save(f"{folder}/scores.json")
    ...     om.load_scores(path).strategy
    'weight-l1'
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"scores: there is no file {source}")
    where = f"scores: {source}"
    record = read_json(source, where)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise InputError(f"{where} is not a scores file of this package (format {FORMAT})")
    known = _fields(record, where, _FIELDS, _LATER)
    programs = tuple(read_program(p, where) for p in checked(list[Any], _there(record, "programs", where), where))
    by_layer = _read_layers(_there(record, "by_layer", where), source, where)
    for name, values in by_layer.items():
        if values.ndim != 1 or not np.isfinite(values).all() or (values < 0).any() or (values > 1).any():
            raise InputError(f"scores: layer {name} of {source} has scores outside [0, 1]")
    return Scores(by_layer, programs=programs, **known)


def read_program(record: Any, where: str) -> ProgramResult:
    """The result that was stored as a JSON record by :func:`dataclasses.asdict`.

    where: what the record is in, as errors begin. Raises InputError for anything that is no such record.
    """
    known = _fields(record, f"{where}: a program", _PROGRAM, _PROGRAM_LATER)
    if known["status"] not in STATUSES:
        raise InputError(f"{where}: a program has the status {known['status']!r}, accepted are {', '.join(STATUSES)}")
    known["images"] = tuple(known["images"])
    if known["replay"] is not None:
        known["replay"] = ReplayCheck(**_fields(known["replay"], f"{where}: replay", _REPLAY, {}))
    if known.get("trained") is not None:
        known["trained"] = TrainedHead(**_fields(known["trained"], f"{where}: trained", _TRAINED, {}))
    return ProgramResult(**known)


def read_values(stored: Any, where: str) -> dict[str, Array]:
    """Scores by layer, (units,) each, from a JSON object of lists.

    Raises InputError for anything else.
    """
    layers = checked(dict[str, list[Share]], stored, where)
    return {name: np.asarray(values, dtype=np.float64) for name, values in layers.items()}


def _there(record: dict[str, Any], name: str, where: str) -> Any:
    if name not in record:
        raise InputError(f"{where} has no field {name}")
    return record[name]


def _fields(record: Any, where: str, needed: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """The declared fields of a record, checked; others are left out."""
    whole = checked(dict[str, Any], record, where)
    kinds = needed | {name: kind for name, kind in later.items() if name in whole}
    return {name: checked(kind, _there(whole, name, where), f"{where}: {name}") for name, kind in kinds.items()}


def _read_layers(stored: Any, source: Path, where: str) -> dict[str, Array]:
    if not isinstance(stored, dict) or set(stored) != {"file", "layers"} or not isinstance(stored["file"], str):
        return read_values(stored, f"{where}: by_layer")
    name = stored["file"]
    if Path(name).name != name or name in ("", ".", ".."):
        raise InputError(f"{where}: by_layer.file is {name!r}, accepted is the name of a file in the same folder")
    layers = checked(list[str], stored["layers"], f"{where}: by_layer.layers")
    beside = source.with_name(name)
    held = f"scores: {beside}, which holds the scores of {source},"
    if beside.resolve().parent not in (source.parent.resolve(), source.resolve().parent):
        raise InputError(f"{held} is a link that leaves the folder")
    arrays = read_safetensors(beside, held)
    missing = [layer for layer in layers if layer not in arrays]
    if missing:
        raise InputError(f"scores: {beside} has no scores of the layer {missing[0]}, which {source} names")
    return {layer: np.asarray(arrays[layer], dtype=np.float64) for layer in layers}
