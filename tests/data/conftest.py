"""IDX files to read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from idx_files import write_idx


@pytest.fixture
def idx_folder(tmp_path, monkeypatch) -> Path:
    """OAMIP_DATA with an 'mnist' of 6 training and 4 test images, gzipped and plain."""
    monkeypatch.setenv("OAMIP_DATA", str(tmp_path))
    folder = tmp_path / "mnist"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for prefix, n, suffix in (("train", 6, ".gz"), ("t10k", 4, "")):
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", rng.integers(0, 256, (n, 28, 28)))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", rng.integers(0, 10, n))
    return folder
