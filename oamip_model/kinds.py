"""Kinds of values that options take, each with its range.

A wrong value is refused before any work.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Protocol

from oamip_model.errors import InputError

_MOST = 2**31 - 1
"""The largest whole number that an option takes, which every solver and library can hold."""


class Kind(Protocol):
    """What a field takes."""

    @property
    def accepted(self) -> str:
        """The accepted values in words, after "accepted" and a verb."""

    def take(self, value: Any) -> Any:
        """The value as it is kept. Raises ValueError where it is none of this kind."""


@dataclass(frozen=True)
class Number:
    """A finite number from ``least`` to ``most``.

    Both belong to the range unless they are open.
    """

    least: float = -math.inf
    most: float = math.inf
    least_open: bool = False
    most_open: bool = False
    words: str = ""

    @property
    def accepted(self) -> str:
        """The range in words."""
        if self.words:
            return f"is {self.words}"
        low = f" {'>' if self.least_open else '>='} {self.least:g}" if self.least > -math.inf else ""
        high = f" {'<' if self.most_open else '<='} {self.most:g}" if self.most < math.inf else ""
        return f"is a finite number{low}{' and' if low and high else ''}{high}"

    def take(self, value: Any) -> float:
        """The number as a float."""
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError
        found = float(value)
        low = found > self.least if self.least_open else found >= self.least
        high = found < self.most if self.most_open else found <= self.most
        if not (low and high):
            raise ValueError
        return found


@dataclass(frozen=True)
class Whole:
    """A whole number from ``least`` to ``most``."""

    least: int = 0
    most: int = _MOST
    words: str = ""

    @property
    def accepted(self) -> str:
        """The range in words."""
        what = self.words or "a whole number"
        return f"is {what} >= {self.least}" if self.most == _MOST else f"is {what} from {self.least} to {self.most}"

    def take(self, value: Any) -> int:
        """The number as an int."""
        if isinstance(value, bool) or not isinstance(value, Integral) or not self.least <= int(value) <= self.most:
            raise ValueError
        return int(value)


@dataclass(frozen=True)
class Choice:
    """One of some names."""

    names: tuple[str, ...]

    @property
    def accepted(self) -> str:
        """The names."""
        return f"are {', '.join(self.names)}"

    def take(self, value: Any) -> str:
        """The name."""
        if not isinstance(value, str) or value not in self.names:
            raise ValueError
        return value


class Names(Protocol):
    """Names that may grow, such as those of a registry."""

    def names(self) -> tuple[str, ...]:
        """The names as they are now."""

    def check(self, name: Any) -> None:
        """Raise an error for a value that is no name, without listing all names."""


@dataclass(frozen=True)
class Named:
    """One of the names of a registry, which is read only when a value is checked."""

    registry: Names

    @property
    def names(self) -> tuple[str, ...]:
        """The names as they are now."""
        return self.registry.names()

    @property
    def accepted(self) -> str:
        """The names."""
        return f"are {', '.join(self.names)}"

    def take(self, value: Any) -> str:
        """The name."""
        try:
            self.registry.check(value)
        except InputError:
            raise ValueError from None
        return str(value)


@dataclass(frozen=True)
class Switch:
    """True or False; with ``undecided`` also None."""

    undecided: bool = False

    @property
    def accepted(self) -> str:
        """The values."""
        return "are True, False and None" if self.undecided else "are True and False"

    def take(self, value: Any) -> bool:
        """The value."""
        if not isinstance(value, bool):
            raise ValueError
        return value


@dataclass(frozen=True)
class File:
    """A path of a file, kept as a string."""

    accepted: str = "is the path of a file"

    def take(self, value: Any) -> str:
        """The path."""
        if not isinstance(value, str | Path):
            raise ValueError
        return str(value)


@dataclass(frozen=True)
class Numbers:
    """Some numbers of a kind, kept as a tuple."""

    each: Number

    @property
    def accepted(self) -> str:
        """The kind of each."""
        return f"are some numbers, each of which {self.each.accepted}"

    def take(self, value: Any) -> tuple[float, ...]:
        """The numbers."""
        if isinstance(value, str) or not isinstance(value, Sequence) or not value:
            raise ValueError
        return tuple(self.each.take(one) for one in value)


@dataclass(frozen=True)
class Several:
    """One or more different ones of some names, kept as a tuple."""

    each: Choice | Named

    @property
    def names(self) -> tuple[str, ...]:
        """The names."""
        return self.each.names

    @property
    def accepted(self) -> str:
        """The names."""
        return f"are different ones of {', '.join(self.names)}"

    def take(self, value: Any) -> tuple[str, ...]:
        """The names that were given."""
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ValueError
        found = tuple(value)
        if not found or len(set(found)) < len(found):
            raise ValueError
        return tuple(self.each.take(name) for name in found)


@dataclass(frozen=True)
class Made:
    """Whatever ``make`` returns a value for.

    It raises ValueError for the rest. accepted: what it takes, in words.
    """

    accepted: str
    make: Callable[[Any], Any]

    def take(self, value: Any) -> Any:
        """The value that was made."""
        return self.make(value)


@dataclass(frozen=True)
class Text:
    """A string that is not empty. words: what it is, after an article."""

    words: str

    @property
    def accepted(self) -> str:
        """What it is."""
        return f"is {self.words}"

    def take(self, value: Any) -> str:
        """The string."""
        if not isinstance(value, str) or not value:
            raise ValueError
        return value
