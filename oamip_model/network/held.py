"""Weights in the precision in which they were given, until doubles are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
LARGE: Final = 2**20
"""Numbers from which on weights in single precision are kept as they are."""
_PART: Final = 2**18
"""Numbers that are in double precision at once, where the others need not be."""


def kept(numbers: NDArray[Any]) -> NDArray[Any]:
    """Many numbers in single precision as they are, others in double precision.

    Examples
    --------
    >>> kept(np.ones(3, np.float32)).dtype, kept(np.ones(2**20, np.float32)).dtype
    (dtype('float64'), dtype('float32'))
    """
    return numbers if numbers.size >= LARGE and numbers.dtype in (np.float32, np.float64) else doubles(numbers)


def narrowed(numbers: NDArray[Any]) -> NDArray[Any]:
    """Many numbers in single precision where it holds all of them, else as they are."""
    if numbers.size < LARGE or numbers.dtype != np.float64:
        return numbers
    with np.errstate(over="ignore", under="ignore"):
        found = numbers.astype(np.float32)
    return found if all(np.array_equal(part, numbers[rows]) for rows, part in row_parts(found)) else numbers


def doubles(numbers: NDArray[Any]) -> Array:
    """Numbers in double precision; those of other precisions become contiguous, too."""
    if numbers.dtype == np.float64:
        return numbers
    if numbers.ndim < 2 or numbers.size < LARGE:
        return np.array(numbers, dtype=np.float64, order="C")
    # In parts, as the numbers of a transposed matrix are far from each other.
    found = np.empty(numbers.shape)
    for rows, part in row_parts(numbers):
        found[rows] = part
    return found


def row_parts(numbers: NDArray[Any]) -> Iterator[tuple[slice, Array]]:
    """Yields some rows at a time in double precision, each with its place."""
    step = max(1, _PART * len(numbers) // max(numbers.size, 1))
    for start in range(0, len(numbers), step):
        rows = slice(start, min(start + step, len(numbers)))
        yield rows, numbers[rows].astype(np.float64, copy=False)


def held_fields(map: Any) -> list[Any]:
    """The values of a map's fields, with weights as they are kept."""
    return [vars(map)[entry.name] if entry.name in vars(map) else getattr(map, entry.name) for entry in fields(map)]


def field_bytes(map: Any) -> Iterator[bytes]:
    """Yields the contents of a map's fields, with weights in double precision."""
    for value in held_fields(map):
        if isinstance(value, np.ndarray) and value.dtype == np.float32:
            yield from (part.tobytes() for _, part in row_parts(value))
        else:
            yield value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()


class Doubles:
    """The field of weights, which become doubles when they are first asked for."""

    def __get__(self, map: Any, owner: Any = None) -> Array:
        """The weights in double precision."""
        if map is None:
            # A field of a dataclass without a default.
            raise AttributeError("weight")
        found = vars(map)["weight"] = doubles(vars(map)["weight"])
        return found

    def __set__(self, map: Any, weight: NDArray[Any]) -> None:
        """Keep the weights as they are given."""
        vars(map)["weight"] = weight
