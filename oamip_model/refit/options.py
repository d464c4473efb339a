"""The options of a refit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

from oamip_model.errors import InputError

LEVELS = ("least-squares", "output", "outgoing")
"""Each level begins with those before it."""
MASK_ROWS = 50
"""Rows for each column from which masks are found. No weights come from them, so a quarter is taken."""


@dataclass(frozen=True, kw_only=True)
class Refit:
    """How the weights that are left after a cut are fitted.

    They are fitted to the trained network. No labels are used.

    Parameters
    ----------
    level : {"least-squares", "output", "outgoing"}, default "least-squares"
        "least-squares" fits, from the first layer to the last, each layer whose inputs the cut changes to
        its pre-activations in the trained network. "output" then fits the last layer to the trained
        network's softmax. "outgoing" then trains the weights of all layers but the first to it.
        Where no dense layer behind a ReLU gives the logits, it does so after "least-squares".
    ridge : float, default 1e-4
        Price of a change of weights in the least squares, as a share of the mean square of the inputs.
    rows : int, default 200
        Images and positions for each column of a layer's inputs. Convolutions take that many positions
        at random.
    relu_passes : int, default 10
        Steps for each layer with a ReLU, in which errors that the ReLU does not pass on no longer
        count. 0 is plain least squares.
    tolerance : float, default 1e-4
        Gap, in nats an image, at which the output layer's convex program is solved.
    passes : int, optional
        Passes over the images, by "outgoing". By default it makes 20 on a network that convolves, and 30
        on others, whose passes are short.
    learning_rate : float, default 0.01
        Highest step of "outgoing" for each hundred images of a batch, as a share of the root mean square of
        each layer's weights. A batch has 100 images where the network convolves, and 200 elsewhere.
    held_out : float, default 0.1
        Share of the images that decide after which pass the weights of "outgoing" are taken.
    varied : bool, default True
        Whether "outgoing" changes the images at random. It mirrors, shifts and mixes those of a network that
        convolves, and only mixes those of others. The trained network's answers are those to the images as changed.
    hidden : float, default 3.0
        Price, in nats, of the hidden layers' mean squared distance from the trained ones, for "outgoing" on
        a network that convolves. The distance is a share of each layer's variance. 0 leaves it out.
    seed : int, default 0
        Seed of all random numbers.
    device : {"cpu", "cuda", "auto"}, default "cpu"
        Device of torch.

    Raises
    ------
    InputError
        For a value that is out of range.

    Examples
    --------
    >>> Refit(level="outgoing", passes=5).level
    'outgoing'
    """

    level: str = "least-squares"
    ridge: float = 1e-4
    rows: int = 200
    relu_passes: int = 10
    tolerance: float = 1e-4
    passes: int | None = None
    learning_rate: float = 0.01
    held_out: float = 0.1
    varied: bool = True
    hidden: float = 3.0
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.level not in LEVELS:
            raise InputError(f"refit: got {self.level!r}, accepted are {', '.join(LEVELS)}")
        for name, most in (("ridge", 1.0), ("tolerance", math.inf), ("learning_rate", 1.0), ("held_out", 0.5)):
            value = getattr(self, name)
            if not _is_number(value) or not 0 < value <= most:
                accepted = "a number above 0" + (f" and up to {most:g}" if math.isfinite(most) else "")
                raise InputError(f"{name}: got {value!r}, accepted is {accepted}")
        if not _is_number(self.hidden) or self.hidden < 0:
            raise InputError(f"hidden: got {self.hidden!r}, accepted is a number from 0")
        if not isinstance(self.varied, bool):
            raise InputError(f"varied: got {self.varied!r}, accepted are True and False")
        for name, least in (("rows", 1), ("relu_passes", 0), ("passes", 1), ("seed", 0)):
            value = getattr(self, name)
            if name == "passes" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InputError(f"{name}: got {value!r}, accepted is a whole number from {least}")

    def reaches(self, level: str) -> bool:
        """Whether the refit includes this level.

        Parameters
        ----------
        level : str
            One of LEVELS.

        Returns
        -------
        bool
            True for the level of this refit, and for those before it.

        Examples
        --------
        >>> Refit(level="output").reaches("least-squares"), Refit(level="output").reaches("outgoing")
        (True, False)
        """
        return LEVELS.index(level) <= LEVELS.index(self.level)

    def passes_of(self, convolves: bool) -> int:
        """How many passes "outgoing" makes over the images.

        Parameters
        ----------
        convolves : bool
            Whether the network reads images by kernels.

        Returns
        -------
        int
            The passes of this refit, or by default 20 or 30.

        Examples
        --------
        >>> Refit().passes_of(True), Refit().passes_of(False), Refit(passes=5).passes_of(True)
        (20, 30, 5)
        """
        if self.passes is not None:
            return self.passes
        return 20 if convolves else 30


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
