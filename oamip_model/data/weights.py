"""Weights of images: how much the loss of each counts (mathematics:weights-1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.errors import InputError
from oamip_model.read import read_bytes

Array: TypeAlias = NDArray[np.float64]
ByClass: TypeAlias = Literal["balanced"] | Sequence[float] | NDArray[np.float64]
"""One weight a class, or "balanced": n / (classes that occur * images of the class), as scikit-learn has it."""
_MOST_BYTES = 2**30
"""Size of a file of weights at most."""


def check_weights(weights: ArrayLike, count: int, where: str = "weights") -> Array:
    """The weights (count,) as numbers.

    Raises InputError, its line starting with ``where``, for another shape, a weight that is negative or not finite, or
    where all are 0.

    Examples
    --------
    >>> check_weights([1, 0, 2.5], 3).tolist()
    [1.0, 0.0, 2.5]
    """
    try:
        given = np.asarray(weights)
    except (ValueError, TypeError, RuntimeError):
        raise InputError(f"{where}: they are not one array of numbers") from None
    if given.dtype.kind not in "iuf":
        raise InputError(f"{where}: got values of type {given.dtype}, accepted are numbers from 0")
    if given.shape != (count,):
        raise InputError(f"{where}: got shape {given.shape}, accepted is ({count},), one an image")
    wrong = ~np.isfinite(given) | (given < 0)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(f"{where}: weight {first} is {given[first].item()}, accepted are finite numbers from 0")
    if not (given > 0).any():
        raise InputError(f"{where}: all are 0, accepted are finite numbers from 0, at least one above")
    return given.astype(np.float64)


def by_class(labels: NDArray[np.int64], classes: int, given: ByClass) -> Array:
    """The weight of each image's class, (n,).

    Raises InputError for a regression, another number of weights than classes, or a weight that is none.

    Examples
    --------
    >>> by_class(np.array([0, 0, 0, 1]), 2, "balanced").round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    if classes < 2:
        raise InputError("class_weights: a regression has no classes; give each image its weight")
    places = labels.astype(np.int64)
    if isinstance(given, str):
        if given != "balanced":
            raise InputError(f"class_weights: got {given!r}, accepted are balanced and one number a class")
        sizes = np.bincount(places, minlength=classes)
        each = np.divide(len(places), (sizes > 0).sum() * sizes, out=np.zeros(classes), where=sizes > 0)
        return np.asarray(each[places])
    if len(given) != classes:
        raise InputError(f"class_weights: got {len(given)} for {classes} classes, one a class is needed")
    return check_weights(check_weights(given, classes, "class_weights")[places], len(places), "class_weights")


def mean_one(weights: Array | None) -> Array | None:
    """The weights divided by their mean, None where all are equal.

    So the mean of weight * loss is scikit-learn's: the sum of weight * loss over the sum of weights.

    Examples
    --------
    >>> mean_one(np.array([1.0, 3.0])).tolist(), mean_one(np.array([7.0, 7.0]))
    ([0.5, 1.5], None)
    """
    if weights is None or (weights == weights[0]).all():
        return None
    scaled = weights / weights.max()
    return np.asarray(scaled * (len(scaled) / scaled.sum()))


def fingerprint(weights: Array) -> str:
    """A text that differs where weights do.

    Examples
    --------
    >>> fingerprint(np.ones(2)) == fingerprint(np.ones(2)), len(fingerprint(np.ones(2)))
    (True, 16)
    """
    return hashlib.sha256(np.ascontiguousarray(weights, dtype="<f8").tobytes()).hexdigest()[:16]


def read_weights(path: str | Path, option: str) -> Array:
    """The numbers of a text file, one a line.

    Raises InputError, its line starting with ``option``, for a file that holds anything else.
    """
    source = Path(path)
    if not source.exists():
        raise InputError(f"{option}: there is no file {source}")
    where = f"{option}: {source}"
    text = read_bytes(source, where, _MOST_BYTES).decode("utf-8", "replace")
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(float(line))
        except ValueError:
            raise InputError(f"{where}: line {number} is {line.strip()[:40]!r}, accepted is a number a line") from None
    if not found:
        raise InputError(f"{where} holds no numbers, accepted is a number a line")
    return np.array(found)
