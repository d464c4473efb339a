"""What a user may choose about a program, named and checked in one place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from oamip_model.checks import Checked, Needs, check_kinds, option, options
from oamip_model.errors import InputError
from oamip_model.formulation.gates import GATES, gate_named, gate_names
from oamip_model.formulation.losses import LOSSES, loss_named, loss_names
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.sparsities import SPARSITIES
from oamip_model.kinds import Choice, Named, Number, Switch

if TYPE_CHECKING:
    from oamip_model.bounds.types import Validity

SCORES = ("continuous", "binary")


def check_choice(option: str, given: Any, accepted: Sequence[str]) -> None:
    """Raise InputError unless ``given`` is one of ``accepted``."""
    if given not in accepted:
        raise InputError(f"{option}: got {given!r}, accepted are {', '.join(accepted)}")


def validity_of(gate: str) -> Validity:
    """What the bounds of a gate's program must hold for.

    Those of the published gate must hold for the trained network only.

    Examples
    --------
    >>> validity_of("published"), validity_of("switch")
    ('trained network', 'every score')
    """
    return gate_named(gate).validity


WEIGHT = "Weight of the loss, against the sparsity."
LOSS = "What a wrong or narrow classification costs; margin asks for one of every image."
SPARSITY = "Price of the scores: as published, their mean, or the parameters that they keep."
MARGIN = "Margin of the losses hinge and margin, in logits."
NOT_NEGATIVE = Number(0)


def margined() -> tuple[str, ...]:
    """The losses that have a margin."""
    return tuple(name for name in loss_names() if loss_named(name).margined)


@options
class Formulation(Checked):
    """The choices that fix a program, apart from the network and the images.

    See mathematics:objective-1.

    Examples
    --------
    >>> Formulation(gate="switch", scores="binary").epsilon
    0.0
    """

    gate: str = option(
        default="subtractive", kind=Named(GATES), flag="--gate",
        help="How a score acts on a unit; the bounds of `published` do not hold for scores below 1.",
    )  # fmt: skip
    relaxation: str | None = option(
        default=None, kind=Choice(RELAXATIONS), flag="--relaxation", help="Rows of each ReLU.",
        shown="big-m; hull with --search tree",
    )  # fmt: skip
    scores: str = option(
        default="continuous", kind=Choice(SCORES), flag="--score-type",
        help="Scores in [0, 1], or in {0, 1}: the units of a smaller network.",
    )  # fmt: skip
    relaxed: bool = option(
        default=False, kind=Switch(), flag="--relaxed",
        help="ReLU states in [0, 1] instead of {0, 1}: a lower bound, and quick.",
    )  # fmt: skip
    loss: str = option(default="cross-entropy", kind=Named(LOSSES), flag="--loss", help=LOSS)
    sparsity: str = option(default="published", kind=Named(SPARSITIES), flag="--sparsity", help=SPARSITY)
    weight: float = option(default=5.0, kind=NOT_NEGATIVE, flag="--weight", help=WEIGHT)
    margin: float = option(
        default=1.0, kind=NOT_NEGATIVE, flag="--margin", help=MARGIN, needs=(Needs("loss", margined),)
    )
    epsilon: float | None = option(
        default=None, kind=NOT_NEGATIVE, flag="--epsilon", shown="1e-5",
        help="Half width of the box around the images, with --gate published.",
    )  # fmt: skip

    def __post_init__(self) -> None:
        # The dependence between fields is checked when a method is made, since a study varies the loss alone.
        check_kinds(self)
        gate = gate_named(self.gate)
        if self.relaxation is not None and self.relaxation not in gate.relaxations:
            raise InputError(
                f"relaxation: got {self.relaxation!r}, but the gate {gate.name} is defined by its rows: accepted is "
                f"{', '.join(gate.relaxations)}"
            )
        if self.epsilon is None:
            object.__setattr__(self, "epsilon", gate.epsilon or 0.0)
        if gate.epsilon is None and self.epsilon != 0:
            boxed = ", ".join(name for name in gate_names() if gate_named(name).epsilon is not None)
            raise InputError(f"epsilon: only the gate {boxed} has a box around the images, gate {gate.name} has none")
        if self.scores not in gate.scores and not (self.scores == "continuous" and self.relaxed):
            relaxation = "; continuous ones are a relaxation, asked for by relaxed=True"
            told = relaxation if self.scores == "continuous" else f", got {self.scores}"
            raise InputError(f"scores: gate {gate.name} takes {' and '.join(gate.scores)} scores{told}")

    def settled(self, relaxation: str = "big-m") -> Formulation:
        """The formulation with this relaxation, where it has none yet.

        Parameters
        ----------
        relaxation : str, default "big-m"
            Rows of each ReLU.

        Returns
        -------
        Formulation
            The same object where it has a relaxation.

        Examples
        --------
        >>> Formulation().settled("hull").relaxation, Formulation(relaxation="big-m").settled("hull").relaxation
        ('hull', 'big-m')
        """
        return self if self.relaxation is not None else replace(self, relaxation=relaxation)

    @property
    def is_relaxation(self) -> bool:
        """Whether the program only bounds the network's best scores from below.

        Then its logits need not be real ones.
        """
        return self.relaxed

    @property
    def has_tangents(self) -> bool:
        """Whether the loss enters the program by tangents, in rounds."""
        return loss_named(self.loss).by_tangents and self.weight > 0

    @property
    def has_states(self) -> bool:
        """Whether anything in the program may be integral: ReLU states or scores."""
        return not self.relaxed or self.scores == "binary"

    @property
    def has_heuristic(self) -> bool:
        """Whether the program's best scores are the network's best.

        Then a heuristic can look for them.
        """
        return gate_named(self.gate).sound and not self.relaxed
