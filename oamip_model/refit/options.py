"""What a refit is asked to do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from oamip_model.errors import InputError

LEVELS = ("least-squares",)


@dataclass(frozen=True, kw_only=True)
class Refit:
    """How the weights that are left after a cut are fitted to the trained network. No labels are used.

    level: "least-squares" fits, from the first layer to the last, each layer that reads cut units to its
    pre-activations in the trained network.
    ridge: price of a change of weights in the least squares, as a share of the mean square of the inputs.
    rows: images and positions for each column of a layer's inputs; convolutions take that many positions at random.
    seed: of all random numbers. device: of torch, "cpu", "cuda" or "auto".

    Raises InputError for a value that is out of range.
    """

    level: str = "least-squares"
    ridge: float = 1e-4
    rows: int = 20
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise InputError(f"refit: got {self.level!r}, accepted are {', '.join(LEVELS)}")
        if not _is_number(self.ridge) or not 0 < self.ridge <= 1:
            raise InputError(f"ridge: got {self.ridge!r}, accepted is a number above 0 and up to 1")
        for name, least in (("rows", 1), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name}: got {value!r}, accepted is a whole number from {least}")


AnyRefit: TypeAlias = "str | Refit"


def as_refit(given: AnyRefit) -> Refit:
    """The refit that was given, a level standing for its defaults."""
    if isinstance(given, Refit):
        return given
    if isinstance(given, str):
        return Refit(level=given)
    raise InputError(f"refit: got {type(given).__name__}, accepted are {', '.join(LEVELS)} or a Refit")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
