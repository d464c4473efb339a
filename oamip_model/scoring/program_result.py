"""What is known of one program that was solved.

It is how the program ended, and the checks of its solution.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

STATUSES = ("optimal", "feasible", "no solution", "unbounded", "infeasible", "error")
"""How a program can have ended, the best first."""


@dataclass(frozen=True)
class ReplayCheck:
    """A solution against the network itself.

    It has the largest absolute difference of a logit, and of the loss.

    ``passed`` is None where the program is a relaxation, whose logits need not be the network's.
    """

    logits: float
    loss: float
    tolerance: float
    passed: bool | None


@dataclass(frozen=True)
class TrainedHead:
    """A head that was trained for a layer's program, the network frozen.

    accuracy: share of the images that it classifies correctly; epochs, seed: of its training; features: how many
    numbers it sees of one image.
    """

    accuracy: float
    epochs: int
    seed: int
    features: int


@dataclass(frozen=True)
class ProgramResult:
    """One program that was solved: its images, and how it ended.

    It also says what its scores do in the network.

    objective and bound: of weight * loss + sparsity, None where unknown; loss, sparsity: at the solution, in the
    program;
    replayed_loss: of the network with these scores; cuts: tangents of the loss that were added; seconds: by stage;
    weight: of the loss, where the program had one of its own; images: their positions in the source (layer by layer:
    among the images given, and left out where all are taken). Of a layer's program also: layer: the score group;
    variables, rows: of the last master; trained: the head, where one was trained. heuristic: objective of the scores
    that the primal heuristic found, where it was asked for and found any. certified: the dual bound follows from duals
    of linear programs, rounding included; otherwise it is a claim of the solver's, tested against known points.
    """

    images: tuple[int, ...]
    status: str
    objective: float | None
    bound: float | None
    gap: float | None
    loss: float | None
    sparsity: float | None
    replayed_loss: float | None
    replay: ReplayCheck | None
    nodes: int | None
    rounds: int
    cuts: int
    seconds: dict[str, float]
    message: str = ""
    weight: float | None = None
    layer: str = ""
    variables: int | None = None
    rows: int | None = None
    trained: TrainedHead | None = None
    heuristic: float | None = None
    certified: bool = False

    @property
    def proof(self) -> str:
        """How the dual bound is known: "certified", "claimed" or "none".

        A certified bound follows from duals, a claimed one is the solver's.
        """
        return "none" if self.bound is None else "certified" if self.certified else "claimed"


def total_seconds(programs: Iterable[ProgramResult]) -> dict[str, float]:
    """Seconds by stage, added up over the programs."""
    total: dict[str, float] = {}
    for program in programs:
        for stage, value in program.seconds.items():
            total[stage] = total.get(stage, 0.0) + value
    return total
