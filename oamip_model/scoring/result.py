"""The importance scores of a network, and how far they can be trusted."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from oamip_model.files import replacing
from oamip_model.formulation.gates import is_sound
from oamip_model.scoring.asked import read_method, read_solver
from oamip_model.scoring.program_result import STATUSES, ProgramResult, ReplayCheck
from oamip_model.scoring.show import draw_scores, frame_of
from oamip_model.scoring.strategies import AVERAGED, LAYERWISE

if TYPE_CHECKING:
    from oamip_model.scoring.methods import Method
    from oamip_model.solving.options import Solver

Array: TypeAlias = NDArray[np.float64]
FORMAT = "oamip-scores-1"
_INLINE = 20_000
"""More scores than this go to a safetensors file beside the JSON."""
_MUCH_WORSE = 0.10
"""A trained head that is less accurate than the network by more than this is warned of."""


@dataclass(frozen=True, eq=False, repr=False)
class Scores:
    """Importance scores by layer, and what was proved about them.

    by_layer: {score group: (units,) scores in [0, 1]}, first layer first; status: the worst of the programs' statuses;
    relaxed: ReLU states in [0, 1], so that objective and bound are of a relaxation; averaged: the scores are a mean
    over several programs; proved: one program, integer ReLU states, optimal within the gap, and the replay check
    passed;
    options: what was asked for, as :attr:`method` and :attr:`solver_options` read it, and facts of the run; source:
    where the images came from; network: fingerprint of the network; planned:
    programs that were asked for, of which an interrupted run has fewer, 0 for a rule without any; seconds: by stage,
    added up over the programs; network_accuracy: of the network on the same images, where heads were trained;
    out_of_time: a total time limit ended the run before all its programs were solved;
    exchanged: pairs of units that a local search over the whole network exchanged after the layers' programs, so that
    the scores are no longer theirs.
    """

    by_layer: dict[str, Array]
    strategy: str
    gate: str
    solver: str
    version: str
    relaxed: bool
    programs: tuple[ProgramResult, ...]
    options: dict[str, Any]
    source: str
    network: str
    planned: int = 1
    interrupted: bool = False
    seconds: dict[str, float] = field(default_factory=dict)
    images: int = 0
    head: str | None = None
    network_accuracy: float | None = None
    exchanged: int = 0
    out_of_time: bool = False

    def __repr__(self) -> str:
        gap = "" if self.gap is None else f", gap {self.gap:.2g}"
        units = sum(len(values) for values in self.by_layer.values())
        return f"<Scores: {self.strategy}, {self.status}{gap}, {units} units in {len(self.by_layer)} layers>"

    @property
    def method(self) -> Method | None:
        """The method with its options, None for a baseline and for files of version 0.1.

        Raises InputError where it was given an object, such as bounds, that a file does not hold.
        """
        return read_method(self.options)

    @property
    def solver_options(self) -> Solver | None:
        """The solver with its options.

        It is None where :attr:`method` is, and where none was used.
        """
        return read_solver(self.options)

    def to_frame(self) -> Any:
        """A pandas DataFrame with a row for each unit: its layer, its number, its score.

        Raises InputError where pandas is not installed.
        """
        return frame_of(self.by_layer)

    def plot(self, path: str | Path | None = None) -> Any:
        """A matplotlib figure of the scores, each layer's in falling order.

        It is saved where a path is given.

        Raises InputError where matplotlib is not installed, or the file cannot be written.
        """
        return draw_scores(self.by_layer, repr(self)[1:-1], path)

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

        It has status, gap, relaxed or integer, averaged or not, images, and replay.
        """
        stopped = ", interrupted" if self.interrupted else ""
        stopped += ", stopped by the total time limit" if self.out_of_time else ""
        if self.planned == 0:
            seen = f"{self.images} images ({self.source})" if self.images else "no images"
            return f"no program was solved: scores by the rule {self.strategy}{stopped}, {seen}: nothing is proved"
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
        return f"{self.status}{stopped}, {gap}, {kind}, {self.images} images ({self.source}), {check}: {proved}"

    def save(self, path: str | Path) -> Path:
        """Write one JSON file, and return the path.

        Above 20,000 scores there is a .safetensors file beside it.

        Raises InputError where the file cannot be written.
        """
        target = Path(path)
        record = asdict(self) | {"format": FORMAT, "summary": self.summary(), "proved": self.proved, "gap": self.gap}
        record |= {"proof": self.proof}
        record |= {"status": self.status, "objective": self.objective, "bound": self.bound, "averaged": self.averaged}
        if sum(len(s) for s in self.by_layer.values()) > _INLINE:
            from safetensors.numpy import save

            arrays = target.with_suffix(".safetensors")
            with replacing(arrays) as temporary:
                temporary.write_bytes(save({name: np.ascontiguousarray(s) for name, s in self.by_layer.items()}))
            record["by_layer"] = {"file": arrays.name, "layers": list(self.by_layer)}
        else:
            record["by_layer"] = {name: s.tolist() for name, s in self.by_layer.items()}
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(record, indent=1) + "\n")
        return target
