"""A known objective, below which alone bounds need hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import NDArray

from oamip_model.errors import InputError


@dataclass(frozen=True)
class Cutoff:
    """The objective of scores that are known, and the program whose objective it is.

    Bounds with a cutoff hold for every score whose objective is no larger, in both sound gates. They
    fit no other program.

    Parameters
    ----------
    objective : float
        The objective, which is weight * loss + sparsity, of some scores.
    labels : sequence of int
        Labels of all images, in order.
    weight : float, default 5.0
        Weight of the loss, as in :class:`oamip_model.Formulation`.
    loss : str, default "cross-entropy"
        Name of the loss, as there.
    sparsity : str, default "published"
        Name of the sparsity, as there.
    margin : float, default 1.0
        Margin of the losses that have one, in logits.

    Raises
    ------
    InputError
        For a value that is no number.

    Examples
    --------
    >>> Cutoff(0.25, [3, 1], weight=5).labels
    (3, 1)
    """

    objective: float
    labels: Sequence[int] | NDArray[np.int64]
    weight: float = 5.0
    loss: str = "cross-entropy"
    sparsity: str = "published"
    margin: float = 1.0

    def __post_init__(self) -> None:
        value = self.objective
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise InputError(f"cutoff: got {value!r}, accepted is a finite number, the objective of known scores")
        labels = np.asarray(self.labels)
        if labels.ndim != 1 or labels.dtype.kind not in "iu":
            raise InputError("cutoff: its labels are needed, one integer for each image")
        object.__setattr__(self, "labels", tuple(labels.tolist()))
        for name in ("objective", "weight", "margin"):
            object.__setattr__(self, name, float(getattr(self, name)))

    def check_fit(self, labels: NDArray[np.int64], weight: float, loss: str, sparsity: str, margin: float) -> None:
        """Raise InputError unless the cutoff is one of the program with these choices.

        Parameters
        ----------
        labels : array of int
            Labels of the program's images, of shape (n,).
        weight : float
            Weight of the loss.
        loss : str
            Name of the loss.
        sparsity : str
            Name of the sparsity.
        margin : float
            Margin of the losses that have one, in logits.

        Raises
        ------
        InputError
            For the first choice that differs.
        """
        pairs: list[tuple[str, object, object]] = [("loss", self.loss, loss), ("sparsity", self.sparsity, sparsity)]
        if loss != "margin":
            pairs.append(("weight", self.weight, float(weight)))
        if loss != "cross-entropy":
            pairs.append(("margin", self.margin, float(margin)))
        for what, mine, wanted in pairs:
            if mine != wanted:
                raise InputError(f"bounds: computed with a cutoff for {what} {mine}, the program has {what} {wanted}")
        if self.labels != tuple(labels.tolist()):
            raise InputError("bounds: computed with a cutoff for other labels than the program's")
