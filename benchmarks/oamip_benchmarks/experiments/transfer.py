"""The study ``transfer``: sub-networks found on one data set, trained from the initial weights on another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import Cell, score_rule
from oamip_benchmarks.experiments.initialisation import retrain_cell
from oamip_benchmarks.experiments.pruning import reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.table import Line


def plan(asked: Asked) -> list[Cell]:
    """For both directions the whole network trained on the one data set, and each method's sub-network found on the
    other. Raises InputError where the two data sets are the same images."""
    cells = []
    for network in asked.networks:
        first, second = settings(asked, network), settings(asked, network, asked.target)
        if first[0].pixels == second[0].pixels:
            raise InputError(f"target: {asked.target} holds the same images as {asked.data}")
        for source, target in ((first, second), (second, first)):
            pairs = [(one.plain(), other.plain()) for one, other in zip(source, target, strict=True)]
            names = {"scored_on": source[0].data, "trained_on": target[0].data}
            for _, goal in pairs:
                cell = reference_cell(goal)
                cells.append(Cell(cell.work, cell.options, cell.tags | names | {"scored_on": None}))
            for share in asked.shares:
                for method in asked.methods:
                    rule = score_rule(method, share, asked.images)
                    for known, goal in pairs:
                        cell = retrain_cell(known, rule, "trained", {"amount": share}, method, goal)
                        cells.append(Cell(cell.work, cell.options, cell.tags | names))
    return cells


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracies, one panel for each data set that was trained on."""
    from oamip_benchmarks.experiments.drawing import ranked

    return ranked(lines, "accuracy", ("method", "network", "share"), "trained_on")


STUDY = Study(
    "transfer",
    "Masks found on one data set, trained from the initial weights on another, and the other way round.",
    plan,
    rows=("network", "scored_on", "trained_on", "method", "share"),
    values=("accuracy", "units", "parameters", "seconds", "seconds_training"),
    draw=draw,
    options={
        "target": "mnist", "shares": (0.5,), "images": None,
        "methods": ("decoupled", "weight-norm", "weight-l1", "weight-l2", "geometric-median", "mean-activation", "apoz",
                    "taylor", "snip", "random"),
    },
)  # fmt: skip
