"""A .pt2 file that would run something, or that is no whole archive, is refused in one line, and runs nothing."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import crafted_pt2 as crafted
import numpy as np
import pytest
import torch

import oamip_model as om
from oamip_model.cli import run

pytestmark = pytest.mark.xdist_group("crafted pt2")  # what its fixtures make takes long

SHAPE = (1, 3, 3)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pt2") / "net.pt2"
    return om.save_module(om.make_network("dense-5-4", SHAPE, 3), path, SHAPE)


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[Path, str], None]:
    """Asserts that `oamip score` refuses a file in one line, and writes nothing."""
    images = np.random.default_rng(0).uniform(0, 1, (6, *SHAPE))
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(6) % 3)

    def check(path: Path, culprit: str) -> None:
        before = sorted(tmp_path.iterdir())
        capsys.readouterr()
        out = tmp_path / "scores.json"
        code = run(["score", str(path), "--data", str(tmp_path / "data.npz"), "--out", str(out)])
        told = capsys.readouterr()
        assert (code, told.out) == (2, ""), told
        assert len(told.err.splitlines()) == 1, told.err
        assert culprit in told.err
        assert sorted(tmp_path.iterdir()) == before

    return check


@pytest.mark.parametrize(("change", "culprit"), [c[1:] for c in crafted.CRAFTED], ids=[c[0] for c in crafted.CRAFTED])
def test_what_would_run_is_refused(change: Any, culprit: str, plain: Path, tmp_path: Path, refused: Any) -> None:
    marker, modules = tmp_path / "marker", set(sys.modules)
    parts = crafted.parts_of(plain)
    change(parts, marker)
    refused(crafted.write(tmp_path / "bad.pt2", parts), culprit)
    assert not marker.exists()
    assert "this" not in set(sys.modules) - modules


def test_the_payload_of_these_tests_does_run(tmp_path: Path) -> None:
    # Were it harmless, the tests above could not fail.
    import pickle

    pickle.loads(pickle.dumps(crafted.Payload(tmp_path / "marker")))
    assert (tmp_path / "marker").exists()


def test_the_older_format_is_refused(tmp_path: Path, refused: Any) -> None:
    marker = tmp_path / "marker"
    data = crafted.saved(crafted.Payload(marker))
    parts = {"version": b"8.1", "serialized_exported_program.json": b"{}", "serialized_state_dict.pt": data,
             "serialized_constants.pt": data, "serialized_example_inputs.pt": data}  # fmt: skip
    refused(crafted.write(tmp_path / "old.pt2", parts, root=""), "older format")
    assert not marker.exists()


def _twice(path: Path, parts: crafted.Parts) -> None:
    crafted.write(path, parts)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(f"net/{crafted.MODEL}", b"{}")


def _encrypted(path: Path, parts: crafted.Parts) -> None:
    crafted.write(path, parts)
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    data = bytearray(path.read_bytes())
    data[start + 8] |= 1
    path.write_bytes(bytes(data))


def _bomb(path: Path, parts: crafted.Parts) -> None:
    crafted.write(path, parts | {"data/weights/weight_0": bytes(2**24)}, compression=zipfile.ZIP_DEFLATED)


def _huge_tensor(path: Path, parts: crafted.Parts) -> None:
    def enlarge(config: Any) -> None:
        next(iter(config.values()))["tensor_meta"].update(
            sizes=[{"as_int": 2**30}] * 2, strides=[{"as_int": 0}] * 2, storage_offset={"as_int": 0}
        )

    crafted.config(parts, crafted.WEIGHTS, enlarge)
    crafted.write(path, parts)


def _without_numbers(path: Path, parts: crafted.Parts) -> None:
    crafted.write(path, parts | {"data/weights/weight_0": b""})


ARCHIVES: list[tuple[str, Callable[[Path, crafted.Parts], Any], str]] = [
    ("not a zip", lambda path, parts: path.write_bytes(b"no network"), "no whole zip archive"),
    ("empty", lambda path, parts: path.write_bytes(b""), "no whole zip archive"),
    ("a name twice", _twice, "occurs twice"),
    ("encrypted", _encrypted, "compressed or encrypted"),
    ("zip bomb", _bomb, "declares more bytes"),
    ("parent folder", lambda path, parts: crafted.write(path, parts, root="../"), "leaves the archive"),
    ("absolute name", lambda path, parts: crafted.write(path, parts, root="/net/"), "leaves the archive"),
    ("huge tensor", _huge_tensor, "holds"),
    ("without numbers", _without_numbers, "holds 0 numbers"),
    ("no graph", lambda path, parts: crafted.write(path, {"archive_format": b"pt2"}), "has no part archive_version"),
    ("deep", lambda path, parts: crafted.write(path, parts | {crafted.MODEL: b"[" * 10**5}), "nested too deeply"),
    ("many digits", lambda path, parts: crafted.write(path, parts | {crafted.MODEL: b"1" * 5000}), "digits"),
    ("not UTF-8", lambda path, parts: crafted.write(path, parts | {crafted.MODEL: b"\xff"}), "UTF-8"),
    ("a list", lambda path, parts: crafted.write(path, parts | {crafted.MODEL: b"[]"}), "accepted is an object"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "culprit"), [a[1:] for a in ARCHIVES], ids=[a[0] for a in ARCHIVES])
def test_a_damaged_archive_is_refused(make: Any, culprit: str, plain: Path, tmp_path: Path, refused: Any) -> None:
    make(tmp_path / "bad.pt2", crafted.parts_of(plain))
    refused(tmp_path / "bad.pt2", culprit)


def test_a_truncated_archive_is_refused(plain: Path, tmp_path: Path, refused: Any) -> None:
    (tmp_path / "bad.pt2").write_bytes(plain.read_bytes()[:-100])
    refused(tmp_path / "bad.pt2", "bad.pt2")


def test_extra_files_are_left_out(plain: Path, tmp_path: Path) -> None:
    program = torch.export.load(shutil.copy(plain, tmp_path / "copy.pt2"))
    torch.export.save(program, tmp_path / "extra.pt2", extra_files={"notes.txt": "trained on Monday"})
    assert om.read_network(tmp_path / "extra.pt2").fingerprint == om.read_network(plain).fingerprint


def test_ordinary_guards_are_accepted(plain: Path, tmp_path: Path) -> None:
    parts = crafted.parts_of(plain)
    crafted.graph(parts, lambda record: record.update(guards_code=["L['input'].size()[0] >= 2"]))
    assert json.loads(parts[crafted.MODEL])["guards_code"]
    assert om.read_network(crafted.write(tmp_path / "guards.pt2", parts)).classes == 3


class _Adding(torch.nn.Module):
    """A network that adds a constant which it works out of nothing."""

    def __init__(self, constant: Callable[[], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.constant = torch.nn.Linear(9, 3), constant

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.Tensor(self.layer(x.flatten(1)) + self.constant()[0, :3])


@pytest.mark.parametrize("constant", [
    lambda: torch.ones(10**6, 10**6),
    lambda: torch.zeros(3, 3).expand(10**9, 3, 3).reshape(-1, 3),
    lambda: torch.eye(2000).repeat(3000, 3000),
])  # fmt: skip
def test_a_huge_constant_is_refused_before_it_is_worked_out(constant: Any, tmp_path: Path, refused: Any) -> None:
    program = torch.export.export(_Adding(constant).eval(), (torch.zeros(2, *SHAPE),))
    torch.export.save(program, tmp_path / "huge.pt2")
    refused(tmp_path / "huge.pt2", "far more numbers than the file has")


def test_a_small_constant_is_read(tmp_path: Path) -> None:
    program = torch.export.export(_Adding(lambda: torch.ones(2, 3)).eval(), (torch.zeros(2, *SHAPE),))
    torch.export.save(program, tmp_path / "small.pt2")
    assert om.read_network(tmp_path / "small.pt2").classes == 3
