"""Files with the ending .pt2: their parts, checked before torch sees any.

They are put into a new archive for torch.

torch.export.load unpickles some parts, runs compiled ones, and evaluates texts of others as Python. So nothing of the
file reaches it but numbers, and a graph that :mod:`~.pt2_program` has checked name by name.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Annotated, Any, Final, TypedDict

import torch

from oamip_model.errors import InputError
from oamip_model.network.readers.torch.pt2_program import checked_program
from oamip_model.network.readers.torch.pt2_schema import Fixed, ModuleName
from oamip_model.records import OPEN, Matches, Within, checked, parse_json

_MODEL: Final = "models/model.json"
_WEIGHTS: Final = "data/weights/model_weights_config.json"
_CONSTANTS: Final = "data/constants/model_constants_config.json"
_SAMPLES: Final = "data/sample_inputs/model.pt"
_NEEDED: Final = ("archive_format", "archive_version", _MODEL, _WEIGHTS, _CONSTANTS)
_NUMBERS: Final = {"data/weights/": "weight_", "data/constants/": "tensor_"}
_KNOWN: Final = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|\.format_version|\.storage_alignment"
    rf"|{_MODEL}|{_WEIGHTS}|{_CONSTANTS}|{_SAMPLES}|data/weights/weight_\d+|data/constants/tensor_\d+|extra/.+"
)
_REASONS: Final = (
    (r"serialized_.+|version", "of an older format, which needs unpickling; save the program again with a newer torch"),
    (r"data/(weights|constants)/.+\.pt", "of an older format, which needs unpickling"),
    (r"data/constants/(custom_obj|opaque_obj)_.*", "a pickled object, which could run code"),
    (r"data/aotinductor/.*", "compiled code"),
)
_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2, 28: 2}
"""Bytes of one number, by torch's code of its type: whole numbers, truth values, and real floating-point numbers."""
_EXPANDED: Final = 2**24
"""Entries that a tensor may have beyond what is stored, by repeating it."""

_DAMAGED = (
    zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError, ValueError, NotImplementedError,
    OverflowError, MemoryError,
)  # fmt: skip


class _Device(TypedDict, total=False):
    type: Annotated[str, Matches("[a-z]+", "the type of a device")]
    index: Annotated[int, Within(0, 1024)] | None


class _Stored(TypedDict):
    dtype: Annotated[int, Within(0, 64)]
    sizes: list[Fixed]
    strides: list[Fixed]
    storage_offset: Fixed
    requires_grad: bool
    device: Annotated[_Device, OPEN]
    layout: Annotated[int, Within(0, 16)]


class _Payload(TypedDict):
    path_name: str
    is_param: bool
    use_pickle: bool
    tensor_meta: Annotated[_Stored, OPEN] | None


class _Config(TypedDict):
    config: dict[ModuleName, Annotated[_Payload, OPEN]]


def load_program(path: Path) -> torch.export.ExportedProgram:
    """The exported program of a .pt2 file.

    Nothing that the file names is run. Raises InputError with the part's name where
    torch.export.save does not write such a file for plain weights, or something needs unpickling.
    Errors of torch, where it cannot load the accepted parts, are raised too.
    """
    where = f"network: {path}"
    with path.open("rb") as file:
        parts = _parts(file.read(), where)
    return torch.export.load(_rewritten(parts, where))


def _parts(data: bytes, where: str) -> dict[str, bytes]:
    """The parts of an archive by their names without its root folder."""
    entries = archive_entries(data, where)
    roots = {name.partition("/")[0] for name in entries}
    if len(roots) != 1 or not all("/" in name for name in entries):
        older = "serialized_exported_program.json" in entries
        reason = f"is {_REASONS[0][1]}" if older else "has parts outside one folder, which torch.export.save never has"
        raise InputError(f"{where} {reason}")
    parts = {name.partition("/")[2]: content for name, content in entries.items()}
    for name in parts:
        if not _KNOWN.fullmatch(name):
            kinds = (reason for pattern, reason in _REASONS if re.fullmatch(pattern, name))
            reason = next(kinds, "none that torch.export.save writes for a network")
            raise InputError(
                f"{where}: its part {_printable(name)} is {reason}; accepted are plain weights and a graph"
            )
    for name in _NEEDED:
        if name not in parts:
            raise InputError(f"{where} is not an exported program, it has no part {name}")
    if (parts["archive_format"], parts["archive_version"]) != (b"pt2", b"0"):
        raise InputError(f"{where} is not an exported program of format pt2, version 0")
    if parts.get("byteorder", b"little") != b"little":
        raise InputError(f"{where}: its numbers are not little-endian")
    return parts


def archive_entries(data: bytes, where: str) -> dict[str, bytes]:
    """What is in a zip archive as torch writes it.

    Each name is there once, not compressed, not encrypted, and all of it within.
    """
    found: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if sum(max(entry.file_size, entry.compress_size) for entry in entries) > len(data):
                raise InputError(f"{where} declares more bytes than it has")
            for entry in entries:
                name = entry.filename
                shown = f"{where}: its part {_printable(name)}"
                steps = name.split("/")
                if name in found:
                    raise InputError(f"{shown} occurs twice")
                if not name or "\\" in name or any(step in ("", ".", "..") for step in steps):
                    raise InputError(f"{shown} has a name that leaves the archive")
                if entry.flag_bits & 0x1 or entry.compress_type != zipfile.ZIP_STORED:
                    raise InputError(f"{shown} is compressed or encrypted, which torch.export.save never does")
                found[name] = archive.read(entry)
    except InputError:
        raise
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"{where} cannot be read as an exported program, it is no whole zip archive ({reason[:120]})"
        ) from None
    return found


def _rewritten(parts: dict[str, bytes], where: str) -> io.BytesIO:
    """A new archive of what is needed, every part of which was checked."""
    _check_samples(parts.get(_SAMPLES, b""), where)
    weights = _check_numbers(parts, _WEIGHTS, "data/weights/", where)
    constants = _check_numbers(parts, _CONSTANTS, "data/constants/", where)
    program = checked_program(parse_json(parts[_MODEL], f"{where}: its part {_MODEL}"), f"{where}: its part {_MODEL}")
    written: dict[str, Any] = {_MODEL: program, _WEIGHTS: weights, _CONSTANTS: constants}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in (("archive_format", b"pt2"), ("archive_version", b"0"), (".data/version", b"6\n"),
                              ("byteorder", b"little"), (_SAMPLES, b"")):  # fmt: skip
            archive.writestr(f"checked/{name}", content)
        for name, record in written.items():
            archive.writestr(f"checked/{name}", json.dumps(record))
        for folder, record in (("data/weights/", weights), ("data/constants/", constants)):
            for name in dict.fromkeys(payload["path_name"] for payload in record["config"].values()):
                archive.writestr(f"checked/{folder}{name}", parts[folder + name])
    buffer.seek(0)
    return buffer


def _check_numbers(parts: dict[str, bytes], config: str, folder: str, where: str) -> dict[str, Any]:
    """The record of the weights or constants, each of which is plain numbers that are there in full."""
    at = f"{where}: its part {config}"
    found: dict[str, Any] = checked(Annotated[_Config, OPEN], parse_json(parts[config], at), at)
    for name, payload in found["config"].items():
        what = f"{at}: {name}"
        if payload["use_pickle"] or payload["tensor_meta"] is None:
            raise InputError(f"{what} is pickled, which could run code; accepted are plain numbers")
        path = payload["path_name"]
        if not re.fullmatch(_NUMBERS[folder] + r"\d+", path) or folder + path not in parts:
            raise InputError(f"{what} is in {_printable(path)}, which is no part with numbers of this file")
        _check_tensor(payload["tensor_meta"], len(parts[folder + path]), what)
    return found


def _check_tensor(meta: _Stored, stored: int, what: str) -> None:
    if meta["dtype"] not in _BYTES:
        raise InputError(f"{what} has the type {meta['dtype']}; accepted are real and whole numbers")
    sizes, strides = ([entry["as_int"] for entry in meta[key]] for key in ("sizes", "strides"))
    count, held = math.prod(sizes), stored // _BYTES[meta["dtype"]]
    if len(sizes) != len(strides) or stored % _BYTES[meta["dtype"]]:
        raise InputError(f"{what} has sizes, strides and bytes that do not fit together")
    last = meta["storage_offset"]["as_int"] + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    if count and (last >= held or count > max(held, _EXPANDED)):
        raise InputError(f"{what} has shape {tuple(sizes)}, but the file holds {held} numbers for it")


def _check_samples(data: bytes, where: str) -> None:
    """Checks that the sample inputs, which are not needed, hold nothing but tensors."""
    if not data:
        return
    at = f"{where}: its part {_SAMPLES}"
    archive_entries(data, at)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception:  # whatever the error of torch is, they are no plain sample inputs
        raise InputError(f"{at} needs unpickling, which could run code; accepted are tensors") from None


def _printable(name: str) -> str:
    return name if name.isprintable() and len(name) < 80 else repr(name)[:80]
