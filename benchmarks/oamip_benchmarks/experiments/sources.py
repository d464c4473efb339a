"""The data sets of a study, loaded once, and the part of them that is trained on."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import oamip_model as om
from oamip_benchmarks.experiments.cells import Plain
from oamip_model.data.remote import OPENML

if TYPE_CHECKING:
    from oamip_model.data import Dataset


@functools.lru_cache(maxsize=2)
def load(name: str, download: bool = False) -> tuple[Dataset, Dataset]:
    """Training and test images of a data set by name, kept for the next cell.

    With ``download`` they are fetched where they are not here and OpenML has them.
    """
    fetch = download and name in OPENML
    return om.load_dataset(name, split="train", download=fetch), om.load_dataset(name, split="test", download=fetch)


def training_images(setting: Plain, download: bool = False) -> Dataset:
    """The training images of a setting, as many as it says, balanced over the classes."""
    train, _ = load(setting["data"], download)
    if setting["images"] is None or setting["images"] >= train.count:
        return train
    return om.choose_images(train, n=setting["images"], seed=0)
