"""One door to all labelled images: by name, by file, or as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.data.dataset import Dataset, check_labels, check_pixels
from oamip_model.data.idx import find_idx, read_split
from oamip_model.data.npz import read_npz
from oamip_model.data.remote import OPENML, Pair, digits, fetch_published
from oamip_model.errors import InputError

Split: TypeAlias = Literal["train", "test", "all"]
EMBEDDED = "fashion-mnist-2000"
IDX_NAMES = ("fashion-mnist", "mnist", "kmnist")
NAMES = (EMBEDDED, *IDX_NAMES, "cifar-10", "digits")
"""Names that :func:`load_dataset` knows."""
_FILE = Path(__file__).with_name("fashion_mnist_2000.npz")


def load_dataset(
    source: str | Path | tuple[ArrayLike, ArrayLike] = EMBEDDED, *, split: Split | None = None, download: bool = False
) -> Dataset:
    """The images and labels of one data set, and a sentence on their source.

    No other source replaces a missing one. The error says where it was looked for.

    Parameters
    ----------
    source : str, Path or pair of arrays, default "fashion-mnist-2000"
        One of these:

        - "fashion-mnist-2000" comes with this package: 1,500 training and 500 test images of
          Fashion-MNIST [1]_.
        - "fashion-mnist", "mnist" and "kmnist" are IDX files, plain or .gz, in $OAMIP_DATA/NAME or
          $OAMIP_DATA. The first is also found where Debian's package dataset-fashion-mnist puts it.
        - "cifar-10", and the three before it where no files are found, come from OpenML, with
          ``download=True`` only.
        - "digits" are scikit-learn's 8x8 digits.
        - An .npz file has images and labels, x and y, or x_train, y_train, x_test, y_test.
        - A pair of arrays is (images, labels).
    split : {"train", "test", "all"}, optional
        The part of the source; "all" has training images first. None takes "train", or all of a source
        without a split.
    download : bool, default False
        Whether a source may be fetched from OpenML.

    Returns
    -------
    Dataset
        Images (n, channels, height, width), or (n, features) where they were given so, in double
        precision. 8-bit pixels are divided by 255, and floats are kept. ``indices`` count within the
        split's file; for "all", the count of the test images continues that of the training file.

    Raises
    ------
    InputError
        For a missing source or a damaged file. Also for images and labels that do not fit together,
        NaN pixels, and labels that are not integers >= 0.

    References
    ----------
    .. [1] H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, 2017, arXiv 1708.07747.

    Examples
    --------
    >>> import oamip_model as om
    >>> images, labels = om.load_dataset()
    >>> images.shape, labels.shape
    ((1500, 1, 28, 28), (1500,))
    >>> om.load_dataset("fashion-mnist-2000", split="test").source
    'fashion-mnist-2000 (embedded), test split, 500 images'
    """
    if split not in (None, "train", "test", "all"):
        raise InputError(f"split: got {split!r}, accepted are train, test and all")
    if isinstance(source, tuple):
        _refuse_download(download, "arrays")
        if len(source) != 2:
            raise InputError(f"data: got {len(source)} arrays, accepted is a pair (images, labels)")
        return _pick({"": source}, "arrays", split)
    if not isinstance(source, str | Path):
        raise InputError(
            f"data: got a {type(source).__name__}, accepted are a name, an .npz file and a pair (images, labels)"
        )
    if source in OPENML:
        return _published(str(source), split, download)
    if source not in NAMES:
        path = _npz_path(source)
        _refuse_download(download, str(path))
        return _pick(read_npz(path), str(path), split)
    _refuse_download(download, str(source))
    if source == "digits":
        parts, title, rows = digits()
        return _pick(parts, title, split, rows, classes=10)
    return _embedded(split)


def _embedded(split: Split | None) -> Dataset:
    with np.load(_FILE, allow_pickle=False) as archive:
        names = ("train", "test")
        parts = {name: (archive[f"{name}_images"], archive[f"{name}_labels"]) for name in names}
        rows = {name: archive[f"{name}_indices"].astype(np.int64) for name in names}
    if split == "all":
        rows["test"] += 60_000
    return _pick(parts, f"{EMBEDDED} (embedded)", split, rows, classes=10)


def _published(name: str, split: Split | None, download: bool) -> Dataset:
    folder, seen = find_idx(name) if name in IDX_NAMES else (None, [])
    if folder is not None:
        wanted = ("train", "test") if split == "all" else (split or "train",)
        files: dict[str, Pair] = {part: read_split(folder, part) for part in wanted}
        return _pick(files, f"{name} (IDX files in {folder})", split, classes=10)
    if download:
        parts, title = fetch_published(name)
        return _pick(parts, title, split, classes=10)
    instead = f"give download=True (OpenML), or use {EMBEDDED!r}"
    if not seen:
        raise InputError(f"data: {name} is not read from local files; {instead}")
    raise InputError(f"data: {name}: no IDX files in {', '.join(seen)}; set OAMIP_DATA to their folder, {instead}")


def _npz_path(source: str | Path) -> Path:
    path = Path(source).expanduser()
    if path.suffix.lower() != ".npz":
        known = f"accepted are {', '.join(NAMES)}, or an .npz file"
        if path.is_dir():
            raise InputError(f"data: {source} is a folder; {known}")
        kind = "is not an .npz file" if path.is_file() else "is not a known name"
        raise InputError(f"data: {source} {kind}; {known}")
    return path


def _refuse_download(download: bool, what: str) -> None:
    if download:
        raise InputError(f"download: {what} is not downloaded, download=True goes with {', '.join(OPENML)}")


def _pick(
    parts: Mapping[str, tuple[Any, Any]],
    title: str,
    split: Split | None,
    rows: Mapping[str, NDArray[np.int64]] | None = None,
    classes: int | None = None,
) -> Dataset:
    """The wanted split of ``parts`` (the part "" has no split), checked.

    rows: indices of each part's images, by default counted from 0 through the wanted parts.
    """
    wanted = _wanted_parts(parts, title, split)
    images, labels, indices, offset = [], [], [], 0
    for part in wanted:
        where = f"{title}, {part} split" if part else title
        pixels, marks = check_pixels(parts[part][0], where), check_labels(parts[part][1], classes, where=where)
        if len(pixels) != len(marks):
            raise InputError(f"{where}: {len(pixels)} images and {len(marks)} labels, one label an image is needed")
        images.append(pixels)
        labels.append(marks)
        indices.append(rows[part] if rows is not None else np.arange(offset, offset + len(marks)))
        offset += len(marks)
    if images[-1].shape[1:] != images[0].shape[1:]:
        shapes = " and ".join(str(part.shape[1:]) for part in images)
        raise InputError(f"{title}: training and test images differ in shape, {shapes}")
    if classes is None:
        # A class that only the other split shows counts too, so that both splits fit the same network.
        every = [check_labels(marks, where=title) for _, marks in parts.values()]
        classes = int(max(marks.max() for marks in every)) + 1
    which = "train and test splits, " if len(wanted) == 2 else f"{wanted[0]} split, " if wanted[0] else ""
    return Dataset(_joined(images), _joined(labels), f"{title}, {which}{offset} images", classes, _joined(indices))


def _wanted_parts(parts: Mapping[str, Any], title: str, split: Split | None) -> list[str]:
    if "" in parts:
        if split in ("train", "test"):
            raise InputError(f"split: {title} has no split, accepted is all")
        return [""]
    wanted: list[str] = ["train", "test"] if split == "all" else [split or "train"]
    for part in wanted:
        if part not in parts:
            raise InputError(f"split: {title} has no {part} split, it has {', '.join(parts)}")
    return wanted


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
