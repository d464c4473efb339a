"""Kinds of numbers that options take, each with its range.

A wrong one is refused before any work.
"""

from __future__ import annotations

import math
from typing import Any

import click

MOST = 2**31 - 1
"""The largest whole number that an option takes, which every solver and library can hold."""


class Whole(click.IntRange):
    """A whole number from ``least`` up to ``most``."""

    def __init__(self, least: int = 1, most: int = MOST) -> None:
        super().__init__(least, most)

    def _describe_range(self) -> str:
        # The largest number of all says nothing to a user.
        return f"x>={self.min}" if self.max == MOST else super()._describe_range()


class Number(click.FloatRange):
    """A finite number from ``least`` to ``most``.

    A side that is open is left out.
    """

    def __init__(
        self,
        least: float | None = None,
        most: float | None = None,
        *,
        least_open: bool = False,
        most_open: bool = False,
    ) -> None:
        super().__init__(least, most, min_open=least_open, max_open=most_open)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; "nan" and numbers beyond all bounds are none."""
        found = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not a finite number{self._where()}.", param, ctx)
        return float(super().convert(value, param, ctx))

    def _where(self) -> str:
        bounded = self.min is not None or self.max is not None
        return f" in the range {self._describe_range()}" if bounded else ""


SECONDS = Number(0, least_open=True)
SHARE = Number(0, 1, least_open=True, most_open=True)
SHARE_OR_NONE = Number(0, 1, most_open=True)
GAP = SHARE
NOT_NEGATIVE = Number(0)
SEED = Whole(0)


class Threshold(click.ParamType[float | str]):
    """A number from 0 to 1, or the word mean."""

    name = "NUMBER|mean"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        """The number, or "mean"."""
        if value == "mean":
            return "mean"
        try:
            number = float(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number nor mean", param, ctx)
        if not 0 <= number <= 1:
            self.fail(f"{value} is neither a number from 0 to 1 nor mean", param, ctx)
        return number


class Count(click.ParamType[int | str]):
    """A number of images, or the word all."""

    name = "N|all"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """The number, at least 1, or "all".

        Whether there are so many is checked with the images.
        """
        if value == "all":
            return "all"
        try:
            count = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a whole number nor all", param, ctx)
        if not 1 <= count <= MOST:
            self.fail(f"{value} is neither a number of images, 1 or more, nor all", param, ctx)
        return count


class UnitsByLayer(click.ParamType[int | dict[str, int]]):
    """A number of units of all layers, or of some by name, such as conv1=8,fc=16."""

    name = "N|LAYER=N,..."

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | dict[str, int]:
        """The number, or the numbers by layer, each at least 1.

        Whether there are such layers is checked with the network.
        """
        if isinstance(value, int | dict):
            return value
        parts = [part.rpartition("=") for part in str(value).split(",")]
        if len(parts) == 1 and not parts[0][0]:
            return self._number(str(value), param, ctx)
        found: dict[str, int] = {}
        for layer, _, number in parts:
            if not layer or layer in found:
                self.fail(f"{value[:80]!r} is neither a number nor numbers of different layers", param, ctx)
            found[layer] = self._number(number, param, ctx)
        return found

    def _number(self, text: str, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number = int(text) if text.isdecimal() and len(text) < 20 else 0
        if not 1 <= number <= MOST:
            self.fail(f"{text[:80]!r} is no number of units, 1 or more", param, ctx)
        return number
