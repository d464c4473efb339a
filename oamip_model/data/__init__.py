"""Labelled images: the embedded subset, local files, OpenML, and choices of them.

This room knows numpy only.
"""

from oamip_model.data.choose import Replays, choose_images, per_class
from oamip_model.data.dataset import Dataset, check_labels, check_pixels
from oamip_model.data.idx import read_idx
from oamip_model.data.load import NAMES, load_dataset
from oamip_model.data.npz import read_npz

__all__ = [
    "NAMES",
    "Dataset",
    "Replays",
    "check_labels",
    "check_pixels",
    "choose_images",
    "load_dataset",
    "per_class",
    "read_idx",
    "read_npz",
]
