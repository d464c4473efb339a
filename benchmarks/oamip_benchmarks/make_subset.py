"""Makes the 2,000-image subset of Fashion-MNIST that the package carries.

    python -m oamip_benchmarks.make_subset OUT.npz

reads the IDX files of Fashion-MNIST (OAMIP_DATA, or Debian's package dataset-fashion-mnist). With
seed 2023 it draws 150 images of each class from the training file and 50 from the test file. They
are in the files' order. OUT.npz has, for
"train" and "test": NAME_images (n, 28, 28) and NAME_labels (n,) as bytes, and NAME_indices (n,) into the original file.
The same files give the same arrays, so that anybody can check the subset against the original.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from oamip_model.data.idx import find_idx, read_split
from oamip_model.errors import InputError
from oamip_model.files import replacing

SEED = 2023
PER_CLASS = {"train": 150, "test": 50}


def make_subset(folder: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of the subset, by name, drawn from the IDX files in ``folder``.

    Raises
    ------
    InputError
        Where a file is missing or damaged.
    """
    rng = np.random.default_rng(SEED)
    arrays: dict[str, NDArray[np.generic]] = {}
    for split, count in PER_CLASS.items():
        images, labels = read_split(folder, split)
        chosen = [rng.choice(np.flatnonzero(labels == label), count, replace=False) for label in range(10)]
        rows = np.sort(np.concatenate(chosen))
        arrays |= {f"{split}_images": images[rows], f"{split}_labels": labels[rows]}
        arrays[f"{split}_indices"] = rows.astype(np.uint16)
    return arrays


def main(target: str) -> None:
    """Write the subset to the file ``target``."""
    folder, seen = find_idx("fashion-mnist")
    if folder is None:
        raise InputError(f"data: no IDX files of fashion-mnist in {', '.join(seen)}")
    with replacing(target) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **make_subset(folder))  # type: ignore[arg-type]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m oamip_benchmarks.make_subset OUT.npz")
    main(sys.argv[1])
