"""Data sets that scikit-learn ships or fetches: digits, and OpenML."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError, OamipError

Pair: TypeAlias = tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class Published:
    """A data set on OpenML: its name there, one image's shape, and its split.

    The version is 1. The split is how many images train.
    """

    title: str
    shape: tuple[int, int, int]
    train: int
    total: int


OPENML = {
    "mnist": Published("mnist_784", (1, 28, 28), 60_000, 70_000),
    "fashion-mnist": Published("Fashion-MNIST", (1, 28, 28), 60_000, 70_000),
    "kmnist": Published("Kuzushiji-MNIST", (1, 28, 28), 60_000, 70_000),
    "cifar-10": Published("CIFAR_10", (3, 32, 32), 50_000, 60_000),
}


def fetch_published(name: str) -> tuple[dict[str, Pair], str]:
    """Images and labels by split, and a name for the source, from OpenML.

    Images have the shape (n, *shape) and values in [0, 1].

    scikit-learn keeps the download in its own cache, so it happens once. The rows keep the order in which the sets were
    published, training images first; a set of any other size is refused.
    Raises InputError where scikit-learn is missing, OamipError where the download fails or is not what it should be.
    """
    published = OPENML[name]
    _need_sklearn(f"downloading {name}")
    from sklearn.datasets import fetch_openml

    # scikit-learn's own choice of parser needs pandas, which this package does not need otherwise.
    parser = "pandas" if importlib.util.find_spec("pandas") else "liac-arff"
    try:
        bunch = fetch_openml(published.title, version=1, as_frame=False, parser=parser)
    except (OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise OamipError(f"data: {published.title} could not be downloaded from OpenML ({reason})") from None
    pixels = np.asarray(bunch.data, dtype=np.float64)
    columns = int(np.prod(published.shape))
    if pixels.shape != (published.total, columns):
        wanted = (published.total, columns)
        raise OamipError(f"data: {published.title} from OpenML has shape {pixels.shape}, expected is {wanted}")
    if not (pixels.min() >= 0 and pixels.max() <= 255):
        raise OamipError(f"data: {published.title} from OpenML has pixels outside 0 to 255")
    try:
        labels = np.asarray(bunch.target).astype(np.str_).astype(np.int64)
    except ValueError as error:
        raise OamipError(f"data: {published.title} from OpenML has labels that are not numbers ({error})") from None
    images = (pixels / 255.0).reshape(-1, *published.shape)
    cut = published.train
    parts = {"train": (images[:cut], labels[:cut]), "test": (images[cut:], labels[cut:])}
    return parts, f"{name} (OpenML {published.title}, version 1)"


def digits() -> tuple[dict[str, Pair], str, dict[str, NDArray[np.int64]]]:
    """The 1,797 digits of scikit-learn by split, a name, and their rows by split.

    Pictures are 8x8 and divided by 16. The name is that of the source.

    A fifth of each class, drawn with a fixed seed, is the test split.
    Raises InputError where scikit-learn is missing.
    """
    _need_sklearn("digits")
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = np.asarray(bunch.images) / 16.0, np.asarray(bunch.target)
    rng = np.random.default_rng(0)
    test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        members = rng.permutation(np.flatnonzero(labels == label))
        test[members[: round(len(members) / 5)]] = True
    rows = {"train": np.flatnonzero(~test), "test": np.flatnonzero(test)}
    parts: dict[str, Pair] = {split: (images[index][:, None], labels[index]) for split, index in rows.items()}
    return parts, "digits (scikit-learn, 8x8)", rows


def _need_sklearn(purpose: str) -> None:
    if importlib.util.find_spec("sklearn") is None:
        raise InputError(f"data: {purpose} needs scikit-learn, which is not installed (pip install scikit-learn)")
