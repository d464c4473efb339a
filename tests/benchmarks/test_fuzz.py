"""A few files of each of the quick kinds, damaged: every one is refused in one line, or does no harm."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from made_rows import run_rows, write_run
from oamip_benchmarks import mutations as by

import oamip_model as om
from oamip_model.cli import run

SHAPE = (1, 2, 2)
CHECKS = {
    "certificate.json": ["check-certificate", "certificate.json", "net.onnx", "less.onnx", "--solver", "highs"],
    "proof.json": ["check-proof", "proof.json", "net.onnx", "--data", "data.npz"],
}


@pytest.mark.parametrize("seed", range(40))
def test_damaged_rows_are_refused_in_one_line_or_told(
    seed: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "run", run_rows(instances=2, seeds=1))
    pick = random.Random(seed)
    path = folder / pick.choice(["results.jsonl", "results.jsonl", "environment.json"])
    told = pick.choice([by.damage_json, by.damage_json, by.damage_bytes, by.damage_place])(path, pick)
    before = sorted(folder.iterdir())
    code = run(["bench", "compare", str(folder), str(folder), "--draws", "100"])
    found = capsys.readouterr()
    assert code in (0, 2), told
    if code == 2:
        assert found.err.startswith("oamip: error: "), told
        assert (found.err.count("\n"), found.out) == (1, ""), told
    assert sorted(folder.iterdir()) == before


@pytest.fixture(scope="module")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate, a proof, and what they are of."""
    folder = tmp_path_factory.mktemp("proved")
    om.save_module(om.make_network("dense-4-3", SHAPE, 2), folder / "net.onnx", SHAPE)
    labels = np.arange(4) % 2
    np.savez(folder / "data.npz", images=np.random.default_rng(0).uniform(size=(4, *SHAPE)), labels=labels)
    net, data = str(folder / "net.onnx"), str(folder / "data.npz")
    tree = ["--strategy", "joint", "--search", "tree", "--sparsity", "mean", "--images", "2"]
    for made in (
        ["compress", net, "--domain", "0,0.3", "--checker", "none", "--out", str(folder / "less.onnx"),
         "--certificate", str(folder / "certificate.json")],
        ["score", net, "--data", data, *tree, "--proof", str(folder / "proof.json")],
    ):  # fmt: skip
        assert run(made) == 0
    return folder


@pytest.mark.parametrize("seed", range(60))
def test_damaged_certificates_and_proofs_are_refused_or_found_false(
    seed: int, proved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(by.copied(proved, tmp_path / "work"))
    pick = random.Random(seed)
    name = ("proof.json", "certificate.json")[seed % 2]
    damages = [by.damage_json, by.damage_signed if name == "proof.json" else by.damage_json, by.damage_bytes]
    told = pick.choice(damages)(Path(name), pick)
    before = sorted(Path.cwd().iterdir())
    code = run(CHECKS[name])
    found = capsys.readouterr()
    assert code in (0, 2, 5), told
    if code:
        assert found.err.startswith("oamip: error: "), told
        assert (found.err.count("\n"), found.out) == (1, ""), told
    assert sorted(Path.cwd().iterdir()) == before
