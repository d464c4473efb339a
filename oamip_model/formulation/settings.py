"""What a user may choose about a program, named and checked in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from oamip_model.errors import InputError

if TYPE_CHECKING:
    from oamip_model.bounds.types import Validity

GATES = ("published", "subtractive", "switch")
RELAXATIONS = ("big-m", "partition-1", "partition-2", "partition-4", "partition-8", "hull")
SCORES = ("continuous", "binary")
SPARSITIES = ("published", "mean", "parameters")
LOSSES = ("cross-entropy", "hinge", "margin")
PUBLISHED_EPSILON = 1e-5


def check_choice(option: str, given: Any, accepted: Sequence[str]) -> None:
    """Raise InputError unless ``given`` is one of ``accepted``."""
    if given not in accepted:
        raise InputError(f"{option}: got {given!r}, accepted are {', '.join(accepted)}")


def groups_of(relaxation: str) -> int:
    """Number of groups of a relaxation ``partition-P``, 1 for ``hull``, which starts from it, and 0 for ``big-m``.

    Example:
        >>> groups_of("partition-4"), groups_of("hull"), groups_of("big-m")
        (4, 1, 0)
    """
    if relaxation.startswith("partition-"):
        return int(relaxation.removeprefix("partition-"))
    return 1 if relaxation == "hull" else 0


def validity_of(gate: str) -> Validity:
    """What the bounds of a gate's program must hold for (mathematics:bounds-1, mathematics:gate-pub-6).

    Example:
        >>> validity_of("published"), validity_of("switch")
        ('trained network', 'every score')
    """
    return "trained network" if gate == "published" else "every score"


@dataclass(frozen=True)
class Settings:
    """The choices that fix a program, apart from the network and the images (mathematics:objective-1).

    gate: "published" | "subtractive" | "switch"; relaxation: "big-m" | "partition-1" | "partition-2" |
    "partition-4" | "partition-8" | "hull"; scores: "continuous" | "binary"; relaxed: ReLU
    states in [0, 1] instead of {0, 1}; loss: "cross-entropy" | "hinge" | "margin"; sparsity: "published" | "mean" |
    "parameters"; weight: of the loss; margin: m of the losses "hinge" and "margin", in logits; epsilon: half width of
    the box of the published bounds (1e-5 unless given), 0 in the other gates.

    Example:
        >>> Settings(gate="switch", scores="binary").epsilon
        0.0
    """

    gate: str = "subtractive"
    relaxation: str = "big-m"
    scores: str = "continuous"
    relaxed: bool = False
    loss: str = "cross-entropy"
    sparsity: str = "published"
    weight: float = 5.0
    margin: float = 1.0
    epsilon: float | None = None

    def __post_init__(self) -> None:
        # Here, so that the command line, which needs the names above for its help, need not load numpy.
        from oamip_model.bounds.interval import check_epsilon

        check_choice("gate", self.gate, GATES)
        check_choice("relaxation", self.relaxation, RELAXATIONS)
        if self.gate == "published" and self.relaxation != "big-m":
            raise InputError(
                f"relaxation: got {self.relaxation!r}, but the gate published is defined by its rows: accepted is big-m"
            )
        check_choice("scores", self.scores, SCORES)
        check_choice("loss", self.loss, LOSSES)
        check_choice("sparsity", self.sparsity, SPARSITIES)
        if not isinstance(self.relaxed, bool):
            raise InputError(f"relaxed: got {self.relaxed!r}, accepted are True and False")
        for name in ("weight", "margin"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
                raise InputError(f"{name}: got {value!r}, accepted is a finite number >= 0")
            object.__setattr__(self, name, float(value))
        if self.epsilon is None:
            object.__setattr__(self, "epsilon", PUBLISHED_EPSILON if self.gate == "published" else 0.0)
        check_epsilon(self.epsilon)
        if self.gate != "published" and self.epsilon != 0:
            raise InputError(f"epsilon: only the gate published has a box around the images, gate {self.gate} has none")
        if self.gate == "switch" and self.scores == "continuous" and not self.relaxed:
            raise InputError(
                "scores: gate switch takes binary scores; continuous ones are a relaxation, asked for by relaxed=True"
            )

    @property
    def is_relaxation(self) -> bool:
        """Whether the program bounds the network's best scores from below only, and its logits need not be real
        ones."""
        return self.relaxed
