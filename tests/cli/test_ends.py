"""How commands end that a full disk, a signal or a second writer stops: one line, nothing half-written."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import forked
import pytest
from one_line import without_signs_of_life

from oamip_model.errors import InputError
from oamip_model.files import append_line, only_writer, replacing

OAMIP = [sys.executable, "-c", "from oamip_model.cli import main; main()"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
def test_a_full_standard_output_is_told(files: Any) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run([*OAMIP, "solvers"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.returncode == 1
    told = without_signs_of_life(ended.stderr)
    assert told.count("\n") == 1
    assert told.startswith("oamip: error: ")


@pytest.mark.parametrize("name", ["small.onnx", "small.pt2"])
def test_a_full_disk_leaves_no_half_written_network(
    name: str, files: Any, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    asked = ["prune", files.net, "--scores", files.scores, "--data", files.data, "--amount", "0.5"]
    outcome = call(*asked, "--out", tmp_path / name)
    assert (outcome.code, outcome.out, outcome.err.count("\n")) == (1, "", 1)
    assert "No space left" in outcome.err
    assert name in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_a_line_that_does_not_fit_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "lines"
    append_line(path, "first")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        append_line(path, "second")
    assert path.read_text() == "first\n"


def test_only_one_process_writes_and_an_empty_file_goes(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with only_writer(path, "store"):
        with (
            pytest.raises(InputError, match=r"^store: another run is writing to [^\n]*store$"),
            only_writer(path, "store"),
        ):
            pass
        assert path.exists()
    assert not path.exists()
    with replacing(path) as temporary:
        temporary.write_text("whole")
    with only_writer(path, "store"):
        pass
    assert path.read_text() == "whole"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_during_the_imports_is_one_line(number: int, code: int, files: Any) -> None:
    slow = "import oamip_model.cli, os, signal, sys; sys.meta_path.insert(0, type('F', (), {'find_spec': staticmethod("
    slow += f"lambda n, *a: os.kill(os.getpid(), {int(number)}) if n == 'oamip_model.cli.app' else None)}})()); "
    slow += "sys.argv = ['oamip', 'solvers']; oamip_model.cli.main()"
    ended = subprocess.run([sys.executable, "-c", slow], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr == "oamip: error: interrupted, nothing was saved\n"


def test_sigterm_ends_a_run_with_its_own_exit_code(files: Any, tmp_path: Path) -> None:
    asked = ["--data", files.data, "--network", "dense-9", "--epochs", "100000", "--out", str(tmp_path / "run")]
    running = forked.Forked(forked.OAMIP, "experiment", "pruning", *asked)
    while not (tmp_path / "run" / "networks").exists() and running.poll() is None:
        time.sleep(0.05)
    running.kill(signal.SIGTERM)
    out, err = running.communicate(timeout=60)
    err = without_signs_of_life(err)
    assert (running.wait(), out, err.count("\n")) == (143, "", 1), err
    assert "goes on" in err


def test_file_names_that_are_not_utf_8_work(files: Any, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    net, data, scores = (os.path.join(folder, name) for name in (b"\xff.onnx", b"\xfe.npz", b"\xfd.json"))
    Path(os.fsdecode(net)).write_bytes(Path(files.net).read_bytes())
    Path(os.fsdecode(data)).write_bytes(Path(files.data).read_bytes())
    script = "from oamip_model.cli import run; import sys; sys.stdout.reconfigure(errors='surrogateescape'); "
    made = [os.path.join(folder, name) for name in (b"\xfc.onnx", b"\xfb.pt2")]
    commands = [[b"baseline", b"random", net, b"--out", scores]]
    commands += [
        [b"prune", net, b"--scores", scores, b"--data", data, b"--amount", b"0.4", b"--out", out] for out in made
    ]
    commands += [[b"baseline", b"random", out] for out in made]
    lists = ascii([[os.fsdecode(word) for word in command] for command in commands])
    ended = forked.run(f"{script}sys.exit(max(run(part) for part in {lists}))")
    assert ended.returncode == 0, ended.stderr
    assert without_signs_of_life(ended.stderr) == ""
    assert f"saved to {os.fsdecode(made[1])}" in ended.stdout
    missing = subprocess.run([*OAMIP, "score", b"\xfa.onnx"], capture_output=True, check=False)
    assert (missing.returncode, missing.stderr.count(b"\n")) == (2, 1)
