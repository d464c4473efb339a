"""Labelled images as arrays, checked once where they enter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias, cast, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.data.weights import ByClass, by_class, check_weights, mean_one
from oamip_model.errors import InputError

Array: TypeAlias = NDArray[np.float64]
Labels: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, and where they come from.

    It unpacks into ``images, labels``. ``data[k]`` is an image and its label. A slice, a list of
    numbers or a mask gives a Dataset of those images.

    Parameters
    ----------
    images : array
        Images (n, channels, height, width), or (n, features), in double precision; 8-bit pixels were
        divided by 255.
    labels : array of int
        Labels (n,) from 0 to classes - 1; with one class any numbers, the targets of a network with one logit.
    source : str, default "arrays given by the caller"
        What exactly was used, in words.
    classes : int, optional
        Number of classes of the whole source, of which these images may show fewer; 1 for a regression. By
        default one more than the largest label.
    indices : array of int, optional
        Position (n,) of each image in what it was taken from; by default 0 to n - 1.
    weights : array, optional
        Weights (n,) from 0. The loss of an image counts by its share of their sum (mathematics:weights-1).

    Raises
    ------
    InputError
        Where the arrays do not fit together, are empty, or hold a pixel or label that cannot be used.

    Examples
    --------
    >>> import oamip_model as om
    >>> data = om.Dataset([[0.0, 1.0], [0.5, 0.5]], [1, 0], source="two points", classes=2)
    >>> images, labels = data
    >>> images.shape, labels.tolist(), data.indices.tolist()
    ((2, 2), [1, 0], [0, 1])
    >>> len(data), data[1:].labels.tolist(), data[[1, 0]].indices.tolist()
    (2, [0], [1, 0])
    >>> om.Dataset([[0.0], [1.0], [2.0]], [0, 1, 1]).weighted("balanced").weights.tolist()
    [1.5, 0.75, 0.75]
    """

    images: Array = field(repr=False)
    labels: Labels = field(repr=False)
    source: str = "arrays given by the caller"
    classes: int = cast("int", None)
    indices: Labels = field(default=cast("Labels", None), repr=False)
    weights: Array | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        images = check_pixels(self.images, self.source)
        if self.classes is None:
            object.__setattr__(self, "classes", classes_of(self.labels))
        labels = check_labels(self.labels, self.classes, where=self.source)
        if len(images) != len(labels):
            raise InputError(
                f"{self.source}: {len(images)} images and {len(labels)} labels, one label an image is needed"
            )
        indices = np.arange(len(images)) if self.indices is None else np.asarray(self.indices)
        if indices.shape != labels.shape:
            raise InputError(f"{self.source}: indices have shape {indices.shape}, accepted is ({len(images)},)")
        if self.weights is not None:
            weights = check_weights(self.weights, len(images), f"{self.source}: weights")
            object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "images", images)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "indices", indices.astype(np.int64))

    def __iter__(self) -> Iterator[Any]:
        yield self.images
        yield self.labels

    def __len__(self) -> int:
        return len(self.images)

    @overload
    def __getitem__(self, at: int) -> tuple[Array, int]: ...

    @overload
    def __getitem__(self, at: slice | ArrayLike) -> Dataset: ...

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, int | np.integer) and not isinstance(at, bool):
            return self.images[at], self.labels[at].item()
        where = self._places(at)
        source = f"{self.source}, {len(where)} of its {len(self)} images"
        weights = None if self.weights is None else self.weights[where]
        return replace(
            self, images=self.images[where], labels=self.labels[where], indices=self.indices[where], source=source,
            weights=weights,
        )  # fmt: skip

    def _places(self, at: Any) -> Labels:
        """The image numbers that a slice, a list of numbers or a mask names, in its order."""
        every = np.arange(len(self))
        if isinstance(at, slice):
            where = every[at]
        else:
            given = np.asarray(at)
            mask = given.dtype == np.bool_ and given.shape == every.shape
            if not mask and (given.ndim != 1 or (given.dtype.kind not in "iu" and given.size)):
                raise InputError(
                    f"{self.source}: index of type {given.dtype} and shape {given.shape}, accepted are a number, a "
                    f"slice, a list of numbers, and a mask of {len(self)} values"
                )
            wrong = np.zeros(0) if mask else given[(given < -len(self)) | (given >= len(self))]
            if wrong.size:
                raise InputError(f"{self.source}: index {wrong[0]}, accepted are numbers below {len(self)}")
            where = every[given if mask or given.size else slice(0)]
        if not len(where):
            raise InputError(f"{self.source}: the index names no image, at least one is needed")
        return where

    def weighted(self, classes: ByClass | None = None, images: ArrayLike | None = None) -> Dataset:
        """The same images with weights, times those that they have.

        Parameters
        ----------
        classes : {"balanced"} or sequence of float, optional
            One weight a class. "balanced" gives each class that occurs the same weight in all.
        images : array, optional
            One weight an image, (n,).

        Returns
        -------
        Dataset
            The data set with the products as its ``weights``.

        Raises
        ------
        InputError
            For weights that do not fit, are negative or not finite, or are all 0.
        """
        found = np.ones(len(self)) if self.weights is None else self.weights
        if classes is not None:
            # Labels 0 and 1 of a network with one logit are two classes.
            two = self.classes == 1 and bool(np.isin(self.labels, (0, 1)).all())
            found = found * by_class(self.labels, 2 if two else self.classes, classes)
        if images is not None:
            found = found * check_weights(images, len(self))
        return replace(self, weights=found)

    @property
    def shares(self) -> Array | None:
        """The weights with mean 1, None where all images count alike."""
        return mean_one(self.weights)

    @property
    def counted(self) -> Dataset:
        """The images whose weight is above 0."""
        return self if self.weights is None or (self.weights > 0).all() else self[self.weights > 0]

    @property
    def count(self) -> int:
        """Number of images."""
        return len(self)


def check_pixels(images: ArrayLike, where: str = "images") -> Array:
    """The images as (n, channels, height, width) or (n, features) in double precision.

    8-bit pixels are divided by 255, floats are kept, and (n, height, width) gets its one channel. 8-bit pictures stored
    with their 1 or 3 channels last get them moved to the front.
    Raises InputError, its line starting with ``where``, for any other type or shape, no images, or a pixel that is not
    finite.

    Examples
    --------
    >>> import numpy as np
    >>> check_pixels(np.full((2, 8, 8), 255, dtype=np.uint8)).shape
    (2, 1, 8, 8)
    """
    try:
        given = np.asarray(images)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{where}: the images are not one array ({_first_line(error)})") from None
    if given.dtype != np.uint8 and given.dtype.kind != "f":
        raise InputError(f"{where}: pixels of type {given.dtype}, accepted are uint8 (0 to 255) and floats")
    if given.ndim not in (2, 3, 4) or (given.size == 0 and given.shape[0] > 0):
        raise InputError(
            f"{where}: images of shape {given.shape}, accepted are (n, features), (n, height, width) and"
            " (n, channels, height, width)"
        )
    if len(given) == 0:
        raise InputError(f"{where}: no images, at least one is needed")
    if given.ndim == 3:
        given = given[:, None]
    if given.dtype == np.uint8:
        if given.ndim == 4 and given.shape[3] in (1, 3) and given.shape[1] not in (1, 3):
            given = np.moveaxis(given, 3, 1)
        return np.asarray(np.divide(given, 255.0, order="C"), dtype=np.float64)
    pixels = np.ascontiguousarray(given, dtype=np.float64)
    finite = np.isfinite(pixels)
    if not finite.all():
        first = int(np.argwhere(~finite.reshape(len(pixels), -1).all(axis=1))[0, 0])
        raise InputError(f"{where}: image {first} has a pixel that is NaN or infinite")
    return pixels


def check_labels(labels: ArrayLike, classes: int | None = None, *, where: str = "labels") -> Labels:
    """The labels as integers from 0 to ``classes - 1``.

    Parameters
    ----------
    labels : array
        Labels (n,).
    classes : int, optional
        Number of classes. Without it any integers from 0 are accepted. With 1 any numbers are, the
        targets of a network with one logit.
    where : str, default "labels"
        The beginning of an error.

    Returns
    -------
    array of int
        Labels (n,), of float64 with one class.

    Raises
    ------
    InputError
        For another shape, and for the first label that is not an integer in that range.

    Examples
    --------
    >>> check_labels([3, 1.0, 2], classes=4).tolist()
    [3, 1, 2]
    >>> check_labels([0.5, -2], classes=1).tolist()
    [0.5, -2.0]
    >>> check_labels([3, 10], classes=10)
    Traceback (most recent call last):
        ...
    oamip_model.errors.InputError: labels: label 1 is 10, accepted are integers from 0 to 9
    """
    if classes is not None and (isinstance(classes, bool) or int(classes) != classes or classes < 1):
        raise InputError(f"{where}: classes={classes}, accepted is a number of classes of at least 1")
    accepted = "integers from 0 upwards" if classes is None else f"integers from 0 to {classes - 1}"
    if classes == 1:
        accepted = "finite numbers"
    try:
        given = np.asarray(labels)
    except (ValueError, TypeError, RuntimeError) as error:
        raise InputError(f"{where}: the labels are not one array ({_first_line(error)})") from None
    if given.ndim == 2 and given.shape[1] == 1:
        given = given[:, 0]
    if given.ndim != 1:
        raise InputError(f"{where}: labels of shape {given.shape}, accepted is (n,), one class number an image")
    if len(given) == 0:
        raise InputError(f"{where}: no labels, at least one is needed")
    if given.dtype.kind not in "iuf":
        raise InputError(f"{where}: labels of type {given.dtype}, accepted are {accepted}")
    wrong = ~np.isfinite(given)
    if classes != 1:
        wrong |= (given < 0) | (given >= (2**31 if classes is None else classes)) | (given != np.floor(given))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(f"{where}: label {first} is {given[first].item()}, accepted are {accepted}")
    if classes == 1:
        return cast("Labels", given.astype(np.float64))
    return given.astype(np.int64)


def classes_of(labels: ArrayLike) -> int:
    """Number of classes of labels that came alone.

    It is one more than the largest, or 1 for numbers that are no classes.

    Examples
    --------
    >>> classes_of([0, 2, 1]), classes_of([0.5, 2.0])
    (3, 1)
    """
    given = np.asarray(labels)
    if given.dtype.kind == "f" and np.isfinite(given).all() and (given != np.floor(given)).any():
        return 1
    return int(check_labels(labels).max()) + 1


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
