"""Boxes of inputs, for which something is certified."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from oamip_model.arrays import open_arrays
from oamip_model.errors import InputError
from oamip_model.network.maps import Array, Shape
from oamip_model.network.types import Network

ACCEPTED = "two numbers LOWER,UPPER for every input, or an .npz file with the arrays lower and upper"


LARGEST = 1e30
"""The largest input of a box: with larger ones sums and differences of pre-activations may overflow."""


@dataclass(frozen=True, eq=False)
class Box:
    """All inputs x with lower <= x <= upper, entry by entry.

    Parameters
    ----------
    lower, upper : array
        The sides, flat: (inputs,).

    Examples
    --------
    >>> Box.of((0, 1), (2, 2)).upper.tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    lower: Array
    upper: Array

    @classmethod
    def of(cls, given: AnyBox, shape: Shape, where: str = "domain") -> Box:
        """The box of a domain that was given, for images of this shape.

        Raises InputError, which names ``where``, for anything that is no box of this size, or is empty or unbounded.
        """
        if isinstance(given, Box):
            sides: tuple[ArrayLike, ArrayLike] = (given.lower, given.upper)
        elif isinstance(given, str | Path):
            sides = _parsed(str(given), where)
        elif isinstance(given, Sequence) and len(given) == 2:
            sides = (given[0], given[1])
        else:
            raise InputError(f"{where}: got {type(given).__name__}, accepted are {ACCEPTED}")
        return cls(*_checked(*sides, shape, where))

    @classmethod
    def around(cls, image: ArrayLike, radius: float, clip: tuple[float, float] | None = None) -> Box:
        """The box of this radius around an image, within the limits ``clip``."""
        centre = np.asarray(image, dtype=np.float64).reshape(-1)
        lower, upper = centre - radius, centre + radius
        _check_size(lower, upper, "radius")
        return cls(lower, upper) if clip is None else cls(np.clip(lower, *clip), np.clip(upper, *clip))

    @property
    def size(self) -> int:
        """Number of inputs."""
        return len(self.lower)

    def sample(self, count: int, seed: int = 0) -> Array:
        """Random points of the box: half are uniform, half are corners.

        Parameters
        ----------
        count : int
            Number of points.
        seed : int, default 0
            Seed of the points.

        Returns
        -------
        array
            The points, (count, inputs).
        """
        pick = np.random.default_rng(seed)
        share = pick.uniform(size=(count, self.size))
        share[count // 2 :] = np.round(share[count // 2 :])
        return np.clip(self.lower + share * (self.upper - self.lower), self.lower, self.upper)

    def record(self) -> dict[str, list[float]]:
        """The box in plain types: a side of equal numbers is one number.

        Returns
        -------
        dict of str to list of float
            The sides "lower" and "upper".
        """
        return {name: _short(getattr(self, name)) for name in ("lower", "upper")}


AnyBox: TypeAlias = Box | str | Path | Sequence[ArrayLike]


def check_box(given: AnyBox, network: Network, where: str = "domain") -> Box:
    """The box of a domain that was given, for the inputs of a network."""
    return Box.of(given, network.input_shape, where)


def _short(side: Array) -> list[float]:
    return [float(side[0])] if len(side) and (side == side[0]).all() else side.tolist()


def _parsed(text: str, where: str) -> tuple[ArrayLike, ArrayLike]:
    if text.endswith(".npz"):
        with open_arrays(Path(text), f"{where}: {text}") as file:
            return file.read("lower"), file.read("upper")
    parts = text.split(",")
    try:
        low, high = (float(part) for part in parts)
    except ValueError:
        raise InputError(f"{where}: got {text!r}, accepted are {ACCEPTED}") from None
    return low, high


def _checked(lower: ArrayLike, upper: ArrayLike, shape: Shape, where: str) -> tuple[Array, Array]:
    size = math.prod(shape)
    sides = []
    for name, given in (("lower", lower), ("upper", upper)):
        try:
            plain = np.asarray(given)
            if plain.dtype.kind not in "biuf":
                raise TypeError
            side: NDArray[np.float64] = plain.astype(np.float64)
        except (TypeError, ValueError):
            raise InputError(f"{where}: {name} is no array of numbers, accepted are {ACCEPTED}") from None
        if side.size not in (1, size):
            raise InputError(f"{where}: {name} has shape {side.shape}, accepted are one number and shape {shape}")
        if not np.isfinite(side).all():
            raise InputError(f"{where}: {name} has a value that is NaN or infinite")
        sides.append(np.broadcast_to(side.reshape(-1), (size,)).copy())
    if (sides[0] > sides[1]).any():
        at = int(np.argmax(sides[0] > sides[1]))
        raise InputError(f"{where}: input {at} has lower {sides[0][at]:g} above upper {sides[1][at]:g}")
    _check_size(sides[0], sides[1], where)
    return sides[0], sides[1]


def _check_size(lower: Array, upper: Array, where: str) -> None:
    largest = max(float(np.abs(side).max(initial=0.0)) for side in (lower, upper))
    if not largest <= LARGEST:
        raise InputError(f"{where}: its largest input is {largest:.3g}, accepted are inputs up to {LARGEST:g}")
