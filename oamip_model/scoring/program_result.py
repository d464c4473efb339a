"""What is known of programs that were solved, of one and of all of a run.

It is how the programs ended, and the checks of their solutions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from oamip_model.formulation.gates import is_sound
from oamip_model.network.maps import Array
from oamip_model.scoring.strategies import AVERAGED, ELIMINATION, LAYERWISE

STATUSES = ("optimal", "feasible", "no solution", "unbounded", "infeasible", "error")
"""How a program can have ended, the best first."""
_MUCH_WORSE = 0.10
"""A trained head that is less accurate than the network by more than this is warned of."""


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
    """One solved program: its images, its result, and the replay of its scores.

    Parameters
    ----------
    images : tuple of int
        Positions of its images in the source. Layer by layer they are among the images given, and
        left out where all are taken.
    status : str
        How the solve ended.
    objective, bound, gap : float, optional
        Those of weight * loss + sparsity, None where unknown.
    loss, sparsity : float, optional
        Those of the solution, in the program.
    replayed_loss : float, optional
        The loss of the network with these scores.
    replay : ReplayCheck, optional
        The comparison of the two.
    nodes : int, optional
        Branch-and-bound nodes.
    rounds, cuts : int
        Solves, and tangents and cuts that were added.
    seconds : dict of str to float
        Wall clock by stage.
    message : str
        Why the solve ended as it did.
    weight : float, optional
        The weight of the loss, where the program had one of its own.
    layer : str
        The score group of a layer's program.
    variables, rows : int, optional
        Size of the last master of a layer's program.
    trained : TrainedHead, optional
        The head, where one was trained.
    heuristic : float, optional
        Objective of the primal heuristic's scores.
    certified : bool
        Whether the dual bound follows from duals of linear programs, rounding included. Otherwise
        it is a claim of the solver's, tested against known points.
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


class Verdict:
    """What the results of all programs of a run say together."""

    strategy: str
    gate: str
    relaxed: bool
    by_layer: dict[str, Array]
    programs: tuple[ProgramResult, ...]
    source: str
    planned: int
    interrupted: bool
    images: int
    head: str | None
    network_accuracy: float | None
    exchanged: int
    out_of_time: bool
    options: dict[str, Any]

    @property
    def averaged(self) -> bool:
        """Whether the scores are a mean over several programs.

        Then they are the solution of none.
        """
        return self.planned > 1 and self.strategy in AVERAGED

    @property
    def layerwise(self) -> bool:
        """Whether each layer had a convex program of its own.

        Objective and bound are sums of theirs.
        """
        return self.strategy in LAYERWISE

    @property
    def warnings(self) -> tuple[str, ...]:
        """One line for each layer whose trained head is poor.

        It is where it classifies the images by 10 points worse than the network.
        """
        full = self.network_accuracy
        return tuple(
            f"the head of layer {program.layer} classifies {program.trained.accuracy:.1%} of the images, "
            f"the network {full:.1%}: its scores say little about the network"
            for program in self.programs
            if program.trained is not None and full is not None and program.trained.accuracy < full - _MUCH_WORSE
        )

    @property
    def status(self) -> str:
        """The worst status of the programs; "no program" for a simple rule."""
        return max((p.status for p in self.programs), key=STATUSES.index, default="no program")

    def _together(self, name: str) -> float | None:
        values = [getattr(p, name) for p in self.programs]
        if not values or any(v is None for v in values):
            return None
        return float(np.sum(values) if self.layerwise else np.mean(values))

    @property
    def objective(self) -> float | None:
        """Objective of the program.

        It is the mean over programs if averaged, the sum over layers if layerwise.
        """
        return self._together("objective")

    @property
    def bound(self) -> float | None:
        """Dual bound of the program; mean and sum as for the objective."""
        return self._together("bound")

    @property
    def gap(self) -> float | None:
        """Relative gap; the largest over programs if averaged."""
        gaps = [p.gap for p in self.programs]
        return None if not gaps or any(g is None for g in gaps) else max(g for g in gaps if g is not None)

    @property
    def loss(self) -> float | None:
        """Loss in the program, without its weight; mean and sum as for the objective."""
        return self._together("loss")

    @property
    def sparsity(self) -> float | None:
        """Sparsity term of the objective; mean and sum as for the objective."""
        return self._together("sparsity")

    @property
    def heuristic(self) -> float | None:
        """Objective of the primal heuristic's scores, None without one.

        It is the mean over programs if averaged.
        """
        return self._together("heuristic")

    @property
    def replay(self) -> ReplayCheck | None:
        """The worst replay check of the programs."""
        checks = [p.replay for p in self.programs if p.replay is not None]
        complete = checks and (self.layerwise or len(checks) == len(self.programs))
        return max(checks, key=lambda c: c.logits) if complete else None

    @property
    def proved(self) -> bool:
        """Whether the scores are proved (mathematics:replay-2).

        They are where they are optimal within the gap, in a sound gate, integer, not averaged, and replayed without a
        difference.
        """
        return (
            not self.relaxed
            and not self.averaged
            and not self.layerwise
            and is_sound(self.gate)
            and not self.interrupted
            and not self.out_of_time
            and self.status == "optimal"
            and self.replay is not None
            and bool(self.replay.passed)
        )

    @property
    def proof(self) -> str:
        """The weakest proof of the programs' dual bounds.

        It is "certified", "claimed" or "none".
        """
        order = ["certified", "claimed", "none"]
        return max((p.proof for p in self.programs), key=order.index, default="none")

    def summary(self) -> str:
        """One line that states what these scores are.

        Returns
        -------
        str
            Status, gap, relaxed or integer, averaged or not, images, and replay.
        """
        stopped = ", interrupted" if self.interrupted else ""
        counted = "images" if "weights" not in self.options else "weighted images"
        stopped += ", stopped by the total time limit" if self.out_of_time else ""
        if self.planned == 0:
            seen = f"{self.images} {counted} ({self.source})" if self.images else "no images"
            rule = f"{self.strategy}, for a refit" if self.strategy == ELIMINATION else self.strategy
            return f"no program was solved: scores by the rule {rule}{stopped}, {seen}: nothing is proved"
        gap = "gap unknown" if self.gap is None else f"gap {self.gap:.2g} ({self.proof})"
        kind = "relaxed ReLU states" if self.relaxed else "integer ReLU states"
        if self.layerwise:
            kind = f"{len(self.by_layer)} layers scored one by one ({self.strategy}, head {self.head})"
            most = max((len(p.images) for p in self.programs), default=0)
            kind += f", {most} of the images in each mixed-integer program" if most else ""
            kind += f", then {self.exchanged} pairs of units exchanged by local search" if self.exchanged else ""
        if self.averaged:
            solved = sum(p.objective is not None for p in self.programs)
            kind += f", averaged over {solved} of {self.planned} programs"
        check = "no replay check"
        if self.replay is not None:
            verdict = {True: "passed", False: "FAILED", None: "does not apply to a relaxation"}[self.replay.passed]
            check = f"replay check {verdict} (logits differ by {self.replay.logits:.2g})"
        proved = f"proved optimal ({self.proof})" if self.proved else "not proved optimal for the network"
        if self.layerwise and self.status == "optimal":
            proved = "each layer's program proved optimal within its gap, the network's not"
            proved += ", nor the exchanges" if self.exchanged else ""
        return f"{self.status}{stopped}, {gap}, {kind}, {self.images} {counted} ({self.source}), {check}: {proved}"
