"""Arrays in .npz files: what is pickled, declared without being there, or no array is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from one_line import one_line

from oamip_model import arrays
from oamip_model.arrays import open_arrays
from oamip_model.errors import InputError


def saved(array: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def header(shape: str, descr: str = "<f8", rest: bytes = bytes(8)) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + rest


def zipped(path: Path, *members: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members:
            archive.writestr(name, data)


def encrypted(path: Path) -> None:
    zipped(path, ("x.npy", saved(np.zeros(1))))
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    data = bytearray(path.read_bytes())
    data[start + 8] |= 1
    path.write_bytes(bytes(data))


def short(path: Path) -> None:
    np.savez(path, x=np.zeros(1000))
    path.write_bytes(path.read_bytes()[:-200])


MADE: list[tuple[str, Callable[[Path], Any], str]] = [
    ("object", lambda p: zipped(p, ("x.npy", saved(np.array([{}], object)))), "accepted are numbers"),
    ("fields", lambda p: zipped(p, ("x.npy", saved(np.zeros(1, [("a", "f8")])))), "accepted are numbers"),
    ("bomb", lambda p: zipped(p, ("x.npy", bytes(2**22)), kind=zipfile.ZIP_DEFLATED), "declares"),
    ("huge", lambda p: zipped(p, ("x.npy", header("(1000000, 1000000)"))), "promises 8000000000000"),
    ("overflowing", lambda p: zipped(p, ("x.npy", header(f"({2**62}, 4)"))), "promises"),
    ("negative", lambda p: zipped(p, ("x.npy", header("(-1,)"))), "x"),
    ("left over", lambda p: zipped(p, ("x.npy", header("(0,)"))), "promises 0"),
    ("no tuple", lambda p: zipped(p, ("x.npy", header("'a'"))), "cannot be read"),
    ("calls", lambda p: zipped(p, ("x.npy", header("print(1)"))), "cannot be read"),
    ("text", lambda p: zipped(p, ("x.npy", b"hello")), "cannot be read"),
    ("no array", lambda p: zipped(p, ("x.txt", b"hello")), "x.txt is no array"),
    ("twice", lambda p: zipped(p, ("x.npy", saved(1)), ("x.npy", saved(2))), "occurs twice"),
    ("packed", lambda p: zipped(p, ("x.npy", saved(1)), kind=zipfile.ZIP_LZMA), "another way than by deflate"),
    ("encrypted", encrypted, "is encrypted"),
    ("missing", lambda p: zipped(p, ("y.npy", saved(1))), "no array x"),
    ("no zip", lambda p: p.write_bytes(b"hello"), "cannot be read as an .npz file"),
    ("empty", lambda p: p.write_bytes(b""), "cannot be read as an .npz file"),
    ("cut", short, "cannot be read as an .npz file"),
    ("folder", lambda p: p.mkdir(), "is a folder"),
]


@pytest.mark.parametrize(("make", "told"), [case[1:] for case in MADE], ids=[case[0] for case in MADE])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_what_is_no_plain_array_is_refused(
    make: Callable[[Path], Any], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "_ALWAYS", 2**20)
    path = tmp_path / "a.npz"
    make(path)
    with pytest.raises(InputError) as error, open_arrays(path, f"data: {path}") as file:
        file.read("x")
    assert told in one_line(error)


@pytest.mark.parametrize("array", [
    np.arange(6).reshape(2, 3), np.float32(2), np.zeros((0, 3)), np.array("text"), np.asfortranarray(np.eye(3)[:2]),
    np.array([True]), np.zeros((1000, 1000)),
])  # fmt: skip
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_plain_arrays_come_back(array: Any, save: Any, tmp_path: Path) -> None:
    save(tmp_path / "a.npz", x=array)
    with open_arrays(tmp_path / "a.npz", "data") as file:
        assert file.names == ("x",)
        found = file.read("x")
    np.testing.assert_array_equal(found, array)
    assert found.dtype == np.asarray(array).dtype
