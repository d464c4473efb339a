"""Temporary folders and files go with their process, however that ends, and outputs have one writer at a time."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from oamip_model.errors import InputError
from oamip_model.files import alone, replacing
from oamip_model.scratch import abandoned, scratch_folder, sweep

KILLED = """
import os, sys
from pathlib import Path
from oamip_model.files import replacing
from oamip_model.scratch import process_folder, scratch_folder
process_folder("solver")
with scratch_folder("tasks") as folder, replacing(Path(sys.argv[1]) / "scores.json") as temporary:
    (folder / "model.mps").write_text("rows")
    temporary.write_text("half")
    os.kill(os.getpid(), 9)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def test_what_a_killed_process_left_is_swept_and_nothing_else(temporary: Path, tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert ended.returncode == -9
    assert len(list(temporary.iterdir())) == 2
    assert len(list(tmp_path.glob(".scores-*"))) == 1
    (temporary / "oamip-notes").mkdir()
    (temporary / f"oamip-cbc-{os.getpid()}-abcdefgh").mkdir()  # of a process that runs: this one
    (tmp_path / ".scores-mine.json").touch()
    with scratch_folder("cbc") as folder:
        assert sorted(path.name.split("-")[1] for path in temporary.iterdir()) == ["cbc", "cbc", "notes"]
        sweep()
        assert folder.exists()
    assert not folder.exists()
    with replacing(tmp_path / "other.json") as half:
        half.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".scores-mine.json", "other.json", "temporary"]


def test_what_another_process_holds_stays_though_its_number_is_unknown_here(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    folder = tmp_path / f"oamip-cbc-{int(gone.stdout)}-abcdefgh"
    folder.mkdir()
    assert abandoned(folder)
    with (folder / ".held").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert not abandoned(folder)
    assert abandoned(folder)
    assert not abandoned(tmp_path / "oamip-cbc-0999999999999999999999-abcdefgh")


def test_a_folder_of_a_process_goes_at_its_end(temporary: Path) -> None:
    code = "from oamip_model.scratch import process_folder as f; assert f('a') == f('a'); print(f('a').exists())"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_an_output_has_one_writer_and_its_lock_goes(kind: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
    before = sorted(tmp_path.rglob("*"))
    with alone(out, "--out"):
        with pytest.raises(InputError, match=r"^--out: another run is writing to [^\n]*out$"), alone(out, "--out"):
            pass
        assert len(list(tmp_path.rglob("*"))) == len(before) + 1
    assert sorted(tmp_path.rglob("*")) == before
    with alone(out, "--out"):
        pass
