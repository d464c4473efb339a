"""``oamip score --proof`` and ``oamip check-proof``."""

from __future__ import annotations

import json

import pytest

JOINT = ["--strategy", "joint", "--search", "tree", "--sparsity", "mean", "--images", "3"]


def test_a_proof_is_written_checked_and_checked_again(files, call, tmp_path):
    path = tmp_path / "proof.json"
    done = call("score", files.net, "--data", files.data, *JOINT, "--score-type", "binary", "--proof", path)
    assert done.code == 0
    assert "certified, proof checked" in done.out
    again = call("check-proof", path, files.net, "--data", files.data)
    assert again.code == 0
    assert again.out.startswith("certified, proof checked")
    assert call("check-proof", path, files.net, "--data", files.data, "--json").json()["checked"]
    record = json.loads(path.read_text())
    record["bound"] += 1e-3
    path.write_text(json.dumps(record))
    changed = call("check-proof", path, files.net, "--data", files.data)
    assert (changed.code, len(changed.err.splitlines())) == (2, 1)
    assert "digest" in changed.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--proof", "p.json"], "--proof"),
        (["--strategy", "joint", "--proof", "p.json"], "--proof"),
        ([*JOINT, "--proof", "p.txt"], "--proof"),
        ([*JOINT, "--loss", "margin", "--proof", "p.json"], "--loss"),
        (["--strategy", "joint", "--search", "tree", "--images", "3", "--proof", "p.json"], "--sparsity"),
    ],
)
def test_what_has_no_proof_is_refused(files, call, arguments, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = call("score", files.net, "--data", files.data, *arguments)
    assert (done.code, done.out, len(done.err.splitlines())) == (2, "", 1)
    assert said in done.err
    assert not (tmp_path / "p.json").exists()


def test_what_is_no_proof_is_refused(files, call):
    done = call("check-proof", files.net, files.net, "--data", files.data)
    assert (done.code, len(done.err.splitlines())) == (2, 1)
