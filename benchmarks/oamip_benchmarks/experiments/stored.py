"""Reads what a run's folder holds: studies, cells, trained networks and seconds."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Required, TypedDict

import torch

from oamip_benchmarks.experiments.cells import Plain
from oamip_benchmarks.experiments.study import Asked
from oamip_model.errors import InputError
from oamip_model.network.readers.torch.pt2_archive import archive_entries
from oamip_model.read import read_bytes
from oamip_model.records import OPEN, Count, Number, Share, Within, checked, read_json

if TYPE_CHECKING:
    from torch import nn

_Seconds = Annotated[float, Within(0, 1e9)]
_Tag = str | bool | int | float | None


class _Listed(TypedDict):
    """A cell in the record of a study."""

    key: str
    work: str
    tags: dict[str, _Tag]


class _Machine(TypedDict):
    """The machine of a study, as the report describes it."""

    versions: dict[str, str]
    cpu: str
    cpus: Count | None
    revision: str | None
    date: str


class _Study(TypedDict):
    """The record of a study."""

    study: str
    asked: Annotated[Asked, OPEN]
    environment: Annotated[_Machine, OPEN]
    cells: list[_Listed]


class _Rule(TypedDict, total=False):
    """The rule that scores units, as far as the report shows it."""

    method: Required[str]
    images: Count | None
    score: dict[str, Any]


class _Setting(TypedDict):
    """A trained network, see :class:`~.cells.Setting`."""

    network: str
    data: str
    seed: Count
    recipe: dict[str, Any]
    images: Count | None
    pixels: str


class _Options(TypedDict, total=False):
    """The options of a cell, as far as the report shows them."""

    setting: Required[_Setting]
    target: _Setting | None
    rule: Annotated[_Rule, OPEN] | None
    choice: dict[str, Any] | None
    of: str


class _Result(TypedDict, total=False):
    """The result of a cell, as far as tables and reports show it."""

    accuracy: Share
    class_accuracy: Share
    units: Share
    parameters: Annotated[float, Within(-math.inf, 1)]
    parameters_left: Count
    macs_left: Count
    layers: dict[str, list[Count]]
    test_images: Count
    confusion: list[list[Count]]
    proved: bool
    status: str
    gap: Number | None
    relaxed: bool
    averaged: bool
    score_images: Count
    summary: str
    difference: Annotated[float, Within(0)]
    agreement: Share
    seconds: _Seconds
    seconds_training: _Seconds
    seconds_pruning: _Seconds
    seconds_tuning: _Seconds
    seconds_refit: _Seconds
    seconds_mip: _Seconds
    seconds_build: _Seconds
    solved: Share
    distance: Annotated[float, Within(0)]
    same: Share


class _Kept(TypedDict):
    """A finished cell."""

    work: str
    options: Annotated[_Options, OPEN]
    result: Annotated[_Result, OPEN]


def read_study(path: Path) -> Plain:
    """The record of a study, with ``asked`` as :class:`~.study.Asked`.

    Raises
    ------
    InputError
        For any other file.
    """
    where = f"run: {path}"
    record: Plain = checked(dict[str, Any], read_json(path, where), where)
    known: Plain = checked(Annotated[_Study, OPEN], record, f"{where} is not the record of a study: it")
    return record | known


def checked_cell(record: Plain, where: str) -> Plain:
    """The record of a finished cell.

    Raises
    ------
    InputError
        For anything else; the message begins with ``where``.
    """
    found: Plain = checked(_Kept, record, where)
    return {"work": found["work"]} | {part: record[part] | found[part] for part in ("options", "result")}


def read_seconds(path: Path) -> float:
    """The seconds that a file holds.

    Raises
    ------
    InputError
        For any other file.
    """
    found: float = checked(_Seconds, read_json(path, f"run: {path}"), f"run: {path}: it")
    return found


def read_network(path: Path) -> tuple[dict[str, torch.Tensor], float]:
    """The weights of a trained network, and the seconds that its training took.

    Raises
    ------
    InputError
        Where the file is none that a study wrote: nothing in it is run.
    """
    where = f"run: {path}"
    data = read_bytes(path, where)
    archive_entries(io.BytesIO(data), where)
    try:
        stored = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for what is damaged, or would run something
        raise InputError(f"{where} cannot be read as a trained network ({type(error).__name__})") from None
    whole = checked(dict[str, Any], dict(stored) if isinstance(stored, Mapping) else stored, where)
    state = whole.get("state")
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and type(tensor) is torch.Tensor for name, tensor in state.items()
    ):
        raise InputError(f"{where} has no field state with tensors by their names")
    seconds: float = checked(_Seconds, whole.get("seconds"), f"{where}: seconds")
    return dict(state), seconds


def fill(module: nn.Module, state: Mapping[str, torch.Tensor], where: str) -> None:
    """Put the weights of a file into a module.

    Raises
    ------
    InputError
        Where they do not fit; the message begins with ``where``.
    """
    wanted = module.state_dict()
    for name in sorted(wanted.keys() | state.keys()):
        if name not in state or name not in wanted:
            raise InputError(f"{where} {'lacks' if name in wanted else 'has'} the weights {name[:80]!r} of a network")
        mine, theirs = wanted[name], state[name]
        if mine.shape != theirs.shape or mine.dtype != theirs.dtype:
            raise InputError(f"{where} has weights {name} of shape {tuple(theirs.shape)}, not {tuple(mine.shape)}")
        if not torch.isfinite(theirs).all():
            raise InputError(f"{where} has weights {name} that are NaN or infinite")
    module.load_state_dict(state)
