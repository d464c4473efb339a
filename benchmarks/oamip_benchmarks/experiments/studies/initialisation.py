"""The study ``initialisation``: pruning before training against pruning after it.

Sub-networks by either are trained from the same initial weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import Cell, Plain, score_rule
from oamip_benchmarks.experiments.studies.pruning import reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line


def plan(asked: Asked) -> list[Cell]:
    """The whole network, and each method's sub-networks by initial and trained scores.

    Each is trained from the initial weights.
    """
    cells = []
    for network in asked.networks:
        known = [setting.plain() for setting in settings(asked, network)]
        cells += [scored(reference_cell(setting), None) for setting in known]
        for share in asked.shares:
            for method in asked.methods:
                for of in ("initial", "trained"):
                    rule = score_rule(method, share, asked.images)
                    cells += [retrain_cell(setting, rule, of, {"amount": share}, method) for setting in known]
    return cells


def retrain_cell(setting: Plain, rule: Plain, of: str, choice: Plain, method: str, target: Plain | None = None) -> Cell:
    """The cell of a sub-network that is trained from its initial weights.

    The sub-network is one of ``target``, or of the setting itself where that is None.
    """
    options = {"setting": setting, "rule": rule, "of": of, "choice": choice, "target": target or setting}
    tags = {"network": setting["network"], "method": method, "scored": of, "share": choice.get("amount")}
    return Cell("retrain", options, tags | {"seed": setting["seed"]})


def scored(cell: Cell, of: str | None) -> Cell:
    """The cell, with the tag of the network whose scores it is pruned by."""
    return Cell(cell.work, cell.options, cell.tags | {"scored": of})


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracies, one panel for each network."""
    from oamip_benchmarks.experiments.reporting.drawing import ranked

    return ranked(lines, "accuracy", ("method", "scored", "share"))


STUDY = Study(
    "initialisation",
    "Sub-networks chosen before any training, and by the trained network, each trained from the initial weights.",
    plan,
    rows=("network", "method", "scored", "share"),
    values=("accuracy", "units", "parameters", "seconds", "seconds_training"),
    draw=draw,
    options={"methods": ("decoupled", "snip", "weight-norm", "random"), "shares": (0.5,), "images": None},
)
