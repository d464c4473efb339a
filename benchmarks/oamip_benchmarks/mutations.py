"""Damages files of this package by random numbers: bytes, JSON, members, messages."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from oamip_model.errors import InputError
from oamip_model.proofcheck.record import Proof
from oamip_model.records import checked, read_json

Damage = Callable[[Path, random.Random], str]
_DIGITS: Final = "DIGITS"
"""A text that stands for a number of 5,000 digits, which Python does not write."""
VALUES: Final[tuple[Any, ...]] = (
    None, True, False, -1, 0, 1, 2, 10**6, 2**63, 10**300, 0.5, -0.5, 1.5, 1e308, float("nan"), float("inf"), "", "x",
    "../x", "/etc/passwd", "a\nb", "\ud800", [], {}, [[]], [None], {"": None}, _DIGITS,
)  # fmt: skip


def damage_bytes(path: Path, pick: random.Random) -> str:
    """Change, cut, double or drop bytes of a file; says what was done."""
    data = bytearray(path.read_bytes())
    first = pick.randrange(len(data) + 1)
    last = min(len(data), first + pick.choice([1, 4, 50, 1000]))
    kind = pick.choice(["cut", "change", "drop", "double", "zero", "put", "empty"])
    if kind == "cut":
        del data[first:]
    elif kind == "change":
        data[first:last] = bytes(pick.randrange(256) for _ in range(last - first))
    elif kind == "drop":
        del data[first:last]
    elif kind == "double":
        data[first:first] = data[first:last]
    elif kind == "zero":
        data[first:last] = bytes(last - first)
    elif kind == "put":
        data[first:first] = pick.choice([b"\xff\xfe", b"\0", b"[" * 5000, b"NaN", b"\n", b"9" * 5000])
    else:
        data.clear()
    path.write_bytes(bytes(data))
    return f"bytes: {kind} {first} to {last}"


def damage_place(path: Path, pick: random.Random) -> str:
    """Put something else in the place of a file: a folder, a pipe, a link."""
    kind = pick.choice(["folder", "pipe", "dangling link", "device", "loop"])
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"dangling link": "nowhere", "device": "/dev/zero", "loop": path.name}[kind])
    return f"place: {kind}"


def damage_json(path: Path, pick: random.Random) -> str:
    """Change one field of a JSON file, or of one line of a file of JSON lines."""
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines() if path.suffix == ".jsonl" else [text]
    number = pick.randrange(len(lines))
    lines[number], told = _changed(lines[number], pick)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="surrogatepass")
    return f"json: {told}"


def damage_signed(path: Path, pick: random.Random) -> str:
    """Change one field of a proof, and sign it anew where it is still one, so that its checker sees the change."""
    told = damage_json(path, pick)
    try:
        proof = checked(Proof, read_json(path, "proof"), "proof")
    except InputError:
        return told
    replace(proof, digest=proof.digested()).save(path)
    return f"{told}, signed"


def _changed(text: str, pick: random.Random) -> tuple[str, str]:
    record = json.loads(text)
    places: list[tuple[Any, Any]] = []
    waiting = [record]
    while waiting:
        at = waiting.pop()
        keys = at.keys() if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()
        places += [(at, key) for key in keys]
        waiting += [at[key] for key in keys]
    if not places:
        return json.dumps(pick.choice(VALUES[:-1])), "all of it"
    at, key = pick.choice(places)
    kind = pick.choice(["value", "value", "value", "drop", "add", "deep", "twice"])
    if kind == "drop":
        del at[key]
    elif kind == "add" and isinstance(at, dict):
        at["unheard of"] = pick.choice(VALUES)
    elif kind == "twice" and isinstance(at, dict):
        written = json.dumps(record)
        return written.replace(f'"{key}": ', f'"{key}": 1, "{key}": ', 1), f"{key} twice"
    elif kind == "deep":
        at[key] = "DEEP"
    else:
        at[key] = pick.choice(VALUES)
    written = json.dumps(record).replace('"DEEP"', "[" * 3000 + "]" * 3000).replace(f'"{_DIGITS}"', "7" * 5000)
    return written, f"{kind} {key}"


def damage_arrays(path: Path, pick: random.Random) -> str:
    """Change one array of an .npz file, its header or its place among the members."""
    with np.load(path, allow_pickle=False) as archive:
        arrays: dict[str, Any] = dict(archive.items())
    name = pick.choice(list(arrays))
    kind = pick.choice(["drop", "object", "type", "shape", "nan", "one", "none", "header", "member", "bomb"])
    array = arrays.pop(name)
    made: dict[str, Any] = {
        "object": np.array([{}, None], dtype=object), "type": array.astype("U4"), "shape": array[None],
        "nan": np.full(array.shape, np.nan), "one": array.ravel()[:1], "none": array[:0] if array.ndim else array,
        "bomb": np.zeros(2**26),
    }  # fmt: skip
    if kind in made:
        arrays[name] = made[kind]
    np.savez_compressed(path, **arrays)
    if kind in ("header", "member"):
        buffer = io.BytesIO()
        np.save(buffer, array)
        data = buffer.getvalue().replace(b"(", b"(9" if pick.random() < 0.5 else b"(-", 1)
        with zipfile.ZipFile(path, "a") as zipped:
            zipped.writestr(f"{name}.npy" if kind == "header" else "../x", data)
    return f"array {name}: {kind}"


def damage_parts(path: Path, pick: random.Random) -> str:
    """Change one part of a zip archive as torch writes it, and write the archive anew.

    A part in JSON is changed as JSON.
    """
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = pick.choice(list(parts))
    beside = path.with_name("part.json" if name.endswith(".json") else "part")
    beside.write_bytes(parts[name])
    told = damage_json(beside, pick) if name.endswith(".json") and pick.random() < 0.9 else damage_bytes(beside, pick)
    parts[name] = beside.read_bytes()
    beside.unlink()
    if pick.random() < 0.1:
        parts[pick.choice(["extra", "../x", "data/aotinductor/a.so"])] = b"x"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if pick.random() < 0.05 else zipfile.ZIP_STORED) as archive:
        for part, data in parts.items():
            archive.writestr(part, data)
    return f"part {name}: {told}"


def damage_message(path: Path, pick: random.Random) -> str:
    """Change one field of one message of an ONNX model."""
    import onnx
    from google.protobuf.message import Message

    model = onnx.ModelProto()
    model.ParseFromString(path.read_bytes())
    places: list[tuple[Any, Any, Any]] = []
    waiting: list[Any] = [model]
    while waiting:
        at = waiting.pop()
        for field, value in at.ListFields():
            places.append((at, field, value))
            if field.message_type is not None:
                waiting.extend([value] if isinstance(value, Message) else list(value))
    at, field, value = pick.choice(places)
    repeated = not isinstance(value, Message | str | bytes | int | float)
    kind = pick.choice(["clear", "value", "value", "double"])
    numbers = [-1, 0, 1, 2, 3, 7, 10**6, 2**31 - 1]
    if kind == "clear" or isinstance(value, Message) or (repeated and not len(value)):
        at.ClearField(field.name)
    elif repeated and field.message_type is not None:
        if kind == "double":
            value.add().CopyFrom(pick.choice(list(value)))
        else:
            del value[pick.randrange(len(value))]
    elif repeated:
        plain = value[0]
        new = pick.choice(numbers) if isinstance(plain, int) else _other(plain, pick)
        if field.enum_type is not None:
            new = pick.choice(list(field.enum_type.values_by_number))
        if kind == "double":
            value.append(new)
        else:
            value[pick.randrange(len(value))] = new
    elif field.enum_type is not None:
        setattr(at, field.name, pick.choice(list(field.enum_type.values_by_number)))
    else:
        setattr(at, field.name, pick.choice(numbers) if isinstance(value, int) else _other(value, pick))
    path.write_bytes(model.SerializePartialToString())
    return f"message: {kind} {field.full_name}"


def _other(value: Any, pick: random.Random) -> Any:
    if isinstance(value, float):
        return pick.choice([0.0, -1.0, 1e30, float("nan"), float("inf")])
    text = pick.choice(["", "x", "../x", "y", "Relu", "é" * 300])
    return text.encode() if isinstance(value, bytes) else text


def copied(folder: Path, target: Path) -> Path:
    """A copy of a folder in the place of what was there."""
    shutil.rmtree(target, ignore_errors=True)
    return Path(shutil.copytree(folder, target, symlinks=True))
