"""The study ``weight``: size and accuracy by the weight of the loss.

Units are removed by the published thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import SCORED, Cell, Plain, published_threshold, weight_rule
from oamip_benchmarks.experiments.studies.pruning import prune_cell, reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line


def plan(asked: Asked) -> list[Cell]:
    """The reference, and pruning by threshold for each weight.

    Raises
    ------
    InputError
        For a method without a weight.
    """
    cells = []
    for network in asked.networks:
        known = [setting.plain() for setting in settings(asked, network)]
        threshold = published_threshold(network, asked.data)
        cells += [_weighed(reference_cell(setting), None) for setting in known]
        for method in asked.methods:
            for weight in sorted(asked.weights):
                rule, tags = _rule(method, weight, asked.images), {"method": method, "threshold": threshold}
                choice = {"threshold": threshold}
                cells += [_weighed(prune_cell(setting, rule, choice, tags), weight) for setting in known]
    return cells


def _rule(method: str, weight: float, images: int | None) -> Plain:
    if method not in SCORED:
        raise InputError(f"methods: {method} has no weight of the loss, accepted are {', '.join(SCORED)}")
    return weight_rule(method, weight, images)


def _weighed(cell: Cell, weight: float | None) -> Cell:
    return Cell(cell.work, cell.options, cell.tags | {"weight": weight})


def draw(lines: Sequence[Line]) -> Figure:
    """For each network accuracy, and below the share of units removed, by weight."""
    from oamip_benchmarks.experiments.reporting.drawing import stacked

    return stacked(lines, "weight", ("accuracy", "units"), "method")


STUDY = Study(
    "weight",
    "What the weight of the loss does: accuracy and units removed at the published thresholds.",
    plan,
    rows=("network", "method", "threshold", "weight"),
    values=("accuracy", "units", "parameters", "seconds"),
    draw=draw,
    options={
        "methods": ("decoupled", "published"), "images": None,
        "weights": (1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 12.0, 16.0, 20.0, 24.0),
    },
)  # fmt: skip
