"""What a study measures: one cell for each network, gate, relaxation and kind of bounds that go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oamip_model.errors import InputError
from oamip_model.formulation.gates import gate_named, gate_names
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.formulation.settings import Settings, check_choice
from oamip_model.tightening.methods import BOUND_METHODS

CUTOFF = "-cutoff"
"""Ending of the bounds that use the objective of the primal heuristic's scores as a cutoff."""
STUDIED_BOUNDS = (*BOUND_METHODS, f"lp{CUTOFF}", f"mip{CUTOFF}")


@dataclass(frozen=True)
class Cell:
    """One measurement: a network by its name, and the names of gate, relaxation and bounds."""

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


@dataclass(frozen=True)
class Objective:
    """The part of the settings that all cells share; see :class:`oamip_model.formulation.Settings`.

    scores: None gives each gate the scores that it takes first: binary ones to the gate switch.
    """

    scores: str | None = None
    loss: str = "cross-entropy"
    sparsity: str = "mean"
    weight: float = 5.0
    margin: float = 1.0

    def settings(self, cell: Cell) -> Settings:
        """The settings of a cell's integer program."""
        scores = self.scores or gate_named(cell.gate).scores[0]
        return Settings(
            cell.gate, cell.relaxation, scores, loss=self.loss, sparsity=self.sparsity, weight=self.weight,
            margin=self.margin,
        )  # fmt: skip


def cells_of(
    networks: Sequence[str], gates: Sequence[str], relaxations: Sequence[str], bounds: Sequence[str]
) -> list[Cell]:
    """All cells, those with the same bounds of the same network one after the other.

    The gate published is defined by its rows and by interval bounds, so that it has one cell for each network. Raises
    InputError for a name that is none, a name given twice, or where nothing is left to measure.

    Example:
        >>> [cell.bounds for cell in cells_of(["net"], [Settings.gate], ["big-m"], ["interval", "lp-cutoff"])]
        ['interval', 'lp-cutoff']
    """
    given: tuple[tuple[str, Any, Sequence[str]], ...] = (
        ("gates", gates, gate_names()), ("relaxations", relaxations, RELAXATIONS), ("bounds", bounds, STUDIED_BOUNDS),
    )  # fmt: skip
    for option, names, accepted in given:
        if isinstance(names, str) or len(set(names)) < len(names) or not names:
            raise InputError(f"{option}: got {names!r}, accepted are different ones of {', '.join(accepted)}")
        for name in names:
            check_choice(option, name, accepted)
    every = [Cell(n, g, r, b) for n in networks for b in bounds for g in gates for r in relaxations]
    cells = [c for c in every if _goes(c)]
    if not cells:
        told = " and ".join(f"the gate {g} goes with {_accepted(g)}" for g in gates)
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
