"""What a study measures, one cell for each combination.

A cell is a network, gate, relaxation and kind of bounds that go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from oamip_model.checks import Checked, option, options
from oamip_model.errors import InputError
from oamip_model.formulation.gates import GATES, gate_for, gate_named
from oamip_model.formulation.losses import LOSSES
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.settings import LOSS, MARGIN, NOT_NEGATIVE, SCORES, SPARSITY, WEIGHT, Formulation
from oamip_model.formulation.sparsities import SPARSITIES
from oamip_model.kinds import Choice, Named, Several
from oamip_model.solving.options import SECONDS
from oamip_model.tightening.methods import BOUND_METHODS

CUTOFF = "-cutoff"
"""Ending of the bounds that use the objective of the primal heuristic's scores as a cutoff."""
STUDIED_BOUNDS = (*BOUND_METHODS, f"lp{CUTOFF}", f"mip{CUTOFF}")


@dataclass(frozen=True)
class Cell:
    """One measurement, by the names of what it combines.

    Parameters
    ----------
    network : str
        Name of the network.
    gate : str
        Name of the gate.
    relaxation : str
        Name of the relaxation.
    bounds : str
        Name of the bounds, with the ending -cutoff or without.
    """

    network: str
    gate: str
    relaxation: str
    bounds: str

    @property
    def method(self) -> str:
        """The method of the bounds, with a cutoff or without."""
        return self.bounds.removesuffix(CUTOFF)

    @property
    def with_cutoff(self) -> bool:
        """Whether the bounds hold only up to the objective of known scores."""
        return self.bounds.endswith(CUTOFF)


@options
class Grid(Checked):
    """Which programs a study measures, and what it may spend on bounds and starts."""

    gates: tuple[str, ...] = option(
        default=(gate_for("continuous"),), kind=Several(Named(GATES)), flag="--gate",
        help="This one, and each that is given by another --gate; so for the next two.",
    )  # fmt: skip
    relaxations: tuple[str, ...] = option(
        default=("big-m", "partition-2", "hull"), kind=Several(Choice(RELAXATIONS)), flag="--relaxation",
        help="Rows of each ReLU.",
    )  # fmt: skip
    bounds: tuple[str, ...] = option(
        default=("interval", "crown", "lp"), kind=Several(Choice(STUDIED_BOUNDS)), flag="--bounds",
        help="With -cutoff they hold for scores as good as those of the primal heuristic.",
    )  # fmt: skip
    bounds_limit: float | None = option(
        default=None, kind=SECONDS, flag="--bounds-limit",
        help="Seconds for each kind of bounds, the quicker ones before it included; the rest keeps looser ones.",
    )  # fmt: skip
    heuristic_limit: float | None = option(
        default=10.0, kind=SECONDS, optional=True, flag="--heuristic-limit",
        help="Seconds of the heuristic, once a network and gate. Programs start from its scores; gaps are to its "
        "objective where none finds better.",
    )  # fmt: skip


@options
class Objective(Checked):
    """The part of the formulation that all cells share.

    See :class:`oamip_model.formulation.Formulation`.
    """

    scores: str | None = option(
        default=None, kind=Choice(SCORES), flag="--score-type", shown="binary with --gate switch, continuous with the "
        "others", help="Scores in [0, 1], or in {0, 1}.",
    )  # fmt: skip
    loss: str = option(default="cross-entropy", kind=Named(LOSSES), flag="--loss", help=LOSS)
    sparsity: str = option(default="mean", kind=Named(SPARSITIES), flag="--sparsity", help=SPARSITY)
    weight: float = option(default=5.0, kind=NOT_NEGATIVE, flag="--weight", help=WEIGHT)
    margin: float = option(default=1.0, kind=NOT_NEGATIVE, flag="--margin", help=MARGIN)

    def settings(self, cell: Cell) -> Formulation:
        """The formulation of a cell's integer program.

        Parameters
        ----------
        cell : Cell
            The cell.

        Returns
        -------
        Formulation
            The cell's gate and relaxation with this objective.
        """
        scores = self.scores or gate_named(cell.gate).scores[0]
        return Formulation(
            gate=cell.gate, relaxation=cell.relaxation, scores=scores, loss=self.loss, sparsity=self.sparsity,
            weight=self.weight, margin=self.margin,
        )  # fmt: skip


def cells_of(networks: Sequence[str], grid: Grid) -> list[Cell]:
    """All cells, those with the same bounds of the same network one after the other.

    A gate that is defined by its rows and by interval bounds has one cell for each network. Raises
    InputError where nothing is left to measure.

    Examples
    --------
    >>> grid = Grid(relaxations=("big-m",), bounds=("interval", "lp-cutoff"))
    >>> [cell.bounds for cell in cells_of(["net"], grid)]
    ['interval', 'lp-cutoff']
    """
    every = [Cell(n, g, r, b) for n in networks for b in grid.bounds for g in grid.gates for r in grid.relaxations]
    cells = [c for c in every if _goes(c)]
    if not cells:
        told = " and ".join(f"the gate {g} goes with {_accepted(g)}" for g in grid.gates)
        raise InputError(f"gates: {told} only")
    return cells


def _goes(cell: Cell) -> bool:
    """Whether the gate has the relaxation, and takes the bounds."""
    gate = gate_named(cell.gate)
    return cell.relaxation in gate.relaxations and (gate.tightens or cell.bounds == "interval")


def _accepted(gate: str) -> str:
    known = gate_named(gate)
    bounds = "all bounds" if known.tightens else "the bounds interval"
    return f"the relaxation {', '.join(known.relaxations)} and {bounds}"
