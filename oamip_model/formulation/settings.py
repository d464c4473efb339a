"""What a user may choose about a program, named and checked in one place."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named, gate_names
from oamip_model.formulation.losses import LOSSES
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.sparsities import SPARSITIES

if TYPE_CHECKING:
    from oamip_model.bounds.types import Validity

SCORES = ("continuous", "binary")


def check_choice(option: str, given: Any, accepted: Sequence[str]) -> None:
    """Raise InputError unless ``given`` is one of ``accepted``."""
    if given not in accepted:
        raise InputError(f"{option}: got {given!r}, accepted are {', '.join(accepted)}")


def validity_of(gate: str) -> Validity:
    """What the bounds of a gate's program must hold for: the published gate's only for the trained network.

    Example:
        >>> validity_of("published"), validity_of("switch")
        ('trained network', 'every score')
    """
    return gate_named(gate).validity


@dataclass(frozen=True)
class Settings:
    """The choices that fix a program, apart from the network and the images (mathematics:objective-1).

    gate: a name of :func:`oamip_model.formulation.gates.gate_names`; relaxation: "big-m" | "partition-1" |
    "partition-2" | "partition-4" | "partition-8" | "hull", if the gate has it; scores: "continuous" | "binary";
    relaxed: ReLU states in [0, 1] instead of {0, 1}; loss: "cross-entropy" | "hinge" | "margin" or another of
    :func:`oamip_model.formulation.losses.loss_names`; sparsity: "published" | "mean" |
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

        gate = gate_named(self.gate)
        check_choice("relaxation", self.relaxation, RELAXATIONS)
        if self.relaxation not in gate.relaxations:
            raise InputError(
                f"relaxation: got {self.relaxation!r}, but the gate {gate.name} is defined by its rows: accepted is "
                f"{', '.join(gate.relaxations)}"
            )
        check_choice("scores", self.scores, SCORES)
        LOSSES.check(self.loss)
        SPARSITIES.check(self.sparsity)
        if not isinstance(self.relaxed, bool):
            raise InputError(f"relaxed: got {self.relaxed!r}, accepted are True and False")
        for name in ("weight", "margin"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) < math.inf:
                raise InputError(f"{name}: got {value!r}, accepted is a finite number >= 0")
            object.__setattr__(self, name, float(value))
        if self.epsilon is None:
            object.__setattr__(self, "epsilon", gate.epsilon or 0.0)
        check_epsilon(self.epsilon)
        if gate.epsilon is None and self.epsilon != 0:
            boxed = ", ".join(name for name in gate_names() if gate_named(name).epsilon is not None)
            raise InputError(f"epsilon: only the gate {boxed} has a box around the images, gate {gate.name} has none")
        if self.scores not in gate.scores and not (self.scores == "continuous" and self.relaxed):
            relaxation = "; continuous ones are a relaxation, asked for by relaxed=True"
            told = relaxation if self.scores == "continuous" else f", got {self.scores}"
            raise InputError(f"scores: gate {gate.name} takes {' and '.join(gate.scores)} scores{told}")

    @property
    def is_relaxation(self) -> bool:
        """Whether the program bounds the network's best scores from below only, and its logits need not be real
        ones."""
        return self.relaxed
