"""The study ``snip``: OAMIP against SNIP at SNIP's keep ratio.

SNIP prunes before training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import Cell, score_rule
from oamip_benchmarks.experiments.studies.initialisation import retrain_cell, scored
from oamip_benchmarks.experiments.studies.pruning import reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line

WAYS = (
    ("snip", "initial", "global"), ("snip", "initial", "layer"), ("decoupled", "initial", "layer"),
    ("decoupled", "trained", "layer"), ("random", "initial", "layer"),
)  # fmt: skip
"""Method, whose scores, and whether the share is of all units together or of each layer's."""


def plan(asked: Asked) -> list[Cell]:
    """The whole network, and sub-networks that keep the same share of units.

    Each is trained from the initial weights.
    """
    cells = []
    share = round(1 - asked.keep, 12)
    for network in asked.networks:
        known = [setting.plain() for setting in settings(asked, network)]
        cells += [_named(reference_cell(setting), None, None) for setting in known]
        for method, of, scope in WAYS:
            rule, choice = score_rule(method, share, asked.images), {"amount": share, "scope": scope}
            cells += [
                _named(scored(retrain_cell(setting, rule, of, choice, method), of), scope, asked.keep)
                for setting in known
            ]
    return cells


def _named(cell: Cell, scope: str | None, kept: float | None) -> Cell:
    return Cell(cell.work, cell.options, cell.tags | {"scope": scope, "kept": kept})


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracies, one panel for each network."""
    from oamip_benchmarks.experiments.reporting.drawing import ranked

    return ranked(lines, "accuracy", ("method", "scored", "scope"))


STUDY = Study(
    "snip",
    "OAMIP against SNIP, units kept before training at SNIP's ratio, of all layers together or of each.",
    plan,
    rows=("network", "method", "scored", "scope", "kept"),
    values=("accuracy", "units", "parameters", "seconds", "seconds_training"),
    draw=draw,
    options={"keep": 0.45, "images": None},
)
