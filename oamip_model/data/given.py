"""Images as callers give them.

They give a data set, arrays with labels, or a torch Dataset or DataLoader.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.data.dataset import Dataset, check_labels, check_pixels, classes_of
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from torch.utils.data import DataLoader
    from torch.utils.data import Dataset as TorchDataset

AnyImages: TypeAlias = "Dataset | ArrayLike | DataLoader[Any] | TorchDataset[Any]"
_MOST_NUMBERS = 2**30
"""Numbers in double precision (8 GiB) that the images of a loader may take in memory."""
_BATCH = 500
"""Images of a torch Dataset that are put together at a time."""


def is_array(given: Any) -> bool:
    """Whether images were given as an array, or as nested lists of one."""
    return isinstance(given, list | tuple) or hasattr(given, "__array__")


def image_shape(images: AnyImages) -> tuple[int, ...] | None:
    """Shape of one image, None where it is not known.

    It is not where nothing was given that could be read again, or that has a shape.
    """
    if isinstance(images, Dataset):
        return images.images.shape[1:]
    if is_array(images):
        return check_pixels(cast("ArrayLike", images)).shape[1:]
    first = next(batches(images), None)
    return None if first is None else first[0].shape[1:]


def as_dataset(images: AnyImages, labels: ArrayLike | None = None) -> Dataset:
    """The data set that a caller gave, in any of the accepted forms.

    They are a Dataset, images with labels, or a torch Dataset or DataLoader.

    Raises InputError where labels are missing or given twice, or the images of a loader do not fit in memory.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> loader = DataLoader(TensorDataset(torch.ones(5, 4), torch.tensor([0, 1, 0, 1, 1])), batch_size=2)
    >>> data = as_dataset(loader)
    >>> data.images.shape, data.labels.tolist(), data.source
    ((5, 4), [0, 1, 0, 1, 1], 'images of a DataLoader')
    """
    if isinstance(images, Dataset):
        if labels is not None:
            raise InputError("labels: a Dataset carries its labels, none can be given beside it")
        return images
    if not is_array(images):
        return _materialised(images, labels)
    if labels is None:
        raise InputError("labels: got none, one integer per image is needed")
    classes = classes_of(labels)
    return Dataset(cast("Any", images), cast("Any", labels), "arrays given by the caller", classes)


def as_arrays(images: AnyImages, labels: ArrayLike | None = None) -> tuple[ArrayLike, ArrayLike]:
    """Images and labels as two arrays, from any of the accepted forms.

    Arrays are not checked. Raises InputError as :func:`as_dataset` does.
    """
    if is_array(images) and labels is not None:
        return cast("ArrayLike", images), labels
    data = as_dataset(images, labels)
    return data.images, data.labels


def weights_of(images: AnyImages, weights: ArrayLike | None = None) -> ArrayLike | None:
    """The weights of images, in any of the accepted forms, times others.

    Only a Dataset has some. None where there are none at all.
    """
    if not isinstance(images, Dataset) or images.weights is None:
        return weights
    return images.weights if weights is None else images.weighted(images=weights).weights


def pixels_of(images: AnyImages) -> ArrayLike:
    """The images that a caller gave in any of the accepted forms, without labels.

    Arrays are not checked. Raises InputError for a loader that has no images, or more than fit in memory.
    """
    if isinstance(images, Dataset):
        return images.images
    return cast("ArrayLike", images) if is_array(images) else read_all(images)[0]


def _materialised(loader: Any, labels: ArrayLike | None) -> Dataset:
    pixels, marks = read_all(loader, labels)
    if marks is None:
        raise InputError(f"labels: the {type(loader).__name__} gives images without labels, one each is needed")
    return Dataset(pixels, check_labels(marks), f"images of a {type(loader).__name__}", int(marks.max()) + 1)


def read_all(loader: Any, labels: ArrayLike | None = None) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """All images of a torch Dataset or DataLoader, and their labels if there are any.

    Labels are None unless every batch has some.

    Raises InputError where labels are given beside it, there are no images, or they do not fit in memory.
    """
    rereadable(loader)
    if labels is not None:
        raise InputError(f"labels: a {type(loader).__name__} carries its labels, none can be given beside it")
    parts: list[NDArray[np.float64]] = []
    marks: list[NDArray[np.int64] | None] = []
    held = 0
    for pixels, given in batches(loader):
        parts.append(pixels)
        marks.append(given)
        held += pixels.size
        if held > _MOST_NUMBERS:
            raise InputError(
                f"images: those of the {type(loader).__name__} take more than {_MOST_NUMBERS * 8 // 2**30} GiB in "
                "memory; give a torch.utils.data.Subset of them"
            )
    if not parts:
        raise InputError("images: the loader gives none, at least one is needed")
    known = [given for given in marks if given is not None]
    return np.concatenate(parts), np.concatenate(known) if len(known) == len(parts) else None


def rereadable(loader: Any) -> Iterable[Any]:
    """The loader of a torch Dataset, or the loader itself.

    Raises InputError where it can be read only once.
    """
    if isinstance(loader, Iterator | str | bytes) or not (
        isinstance(loader, Iterable) or hasattr(loader, "__getitem__")
    ):
        raise InputError(
            f"images: got {type(loader).__name__}, accepted are an array, a Dataset, or a torch Dataset or DataLoader, "
            "which can be read several times"
        )
    from torch.utils.data import DataLoader
    from torch.utils.data import Dataset as TorchDataset

    if isinstance(loader, TorchDataset) or (hasattr(loader, "__getitem__") and hasattr(loader, "__len__")):
        return DataLoader(loader, batch_size=_BATCH)
    return cast("Iterable[Any]", loader)


def batches(loader: Any) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64] | None]]:
    """The batches of a torch Dataset or DataLoader: images, and labels if any.

    Raises InputError where an item is no tensor of images, and no tuple that begins with one.
    """
    for item in rereadable(loader):
        yield read_batch(item)


def read_batch(item: Any) -> tuple[NDArray[np.float64], NDArray[np.int64] | None]:
    """The images of one batch of a loader, and their labels where there are any.

    Labels are a second entry that holds whole numbers.
    """
    parts = list(item) if isinstance(item, list | tuple) else [item]
    if not parts or not hasattr(parts[0], "__array__"):
        raise InputError(
            f"images: the loader gives a {type(item).__name__}, accepted are tensors of images, or tuples that begin "
            "with one"
        )
    images = check_pixels(parts[0])
    if len(parts) < 2 or not hasattr(parts[1], "__array__"):
        return images, None
    given = np.asarray(parts[1])
    if given.ndim != 1 or given.dtype.kind not in "iu":
        return images, None
    if len(given) != len(images):
        raise InputError(f"images: the loader gives {len(images)} images with {len(given)} labels")
    return images, given.astype(np.int64)
