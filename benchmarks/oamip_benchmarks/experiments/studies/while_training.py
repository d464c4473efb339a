"""The study ``while-training``: pruning during a training, and after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import Cell, Plain, score_rule
from oamip_benchmarks.experiments.studies.pruning import prune_cell, reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line

HOW = {False: "while training", True: "while training, full network beside"}


def plan(asked: Asked) -> list[Cell]:
    """The reference, and each method after training, and while training.

    While training, the full network may be trained beside the pruned one.

    Raises
    ------
    InputError
        Where ``every`` is not below the number of epochs, or the recipe is of greedy training.
    """
    cells = []
    for network in asked.networks:
        known = [setting.plain() for setting in settings(asked, network)]
        epochs = known[0]["recipe"]["epochs"]
        if asked.every >= epochs:
            raise InputError(f"every: got {asked.every}, accepted are numbers below the {epochs} epochs of {network}")
        if known[0]["recipe"].get("greedy"):
            raise InputError(
                f"network: {network} is trained layer by layer on {asked.data}, which cannot be pruned along"
            )
        cells += [_when(reference_cell(setting), None) for setting in known]
        for share in asked.shares:
            for method in asked.methods:
                rule, tags = score_rule(method, share, asked.images), {"method": method, "share": share}
                choice = {"amount": share}
                cells += [_when(prune_cell(setting, rule, choice, tags), "after training") for setting in known]
                for beside, how in HOW.items():
                    for setting in known:
                        how_often: Plain = {"every": asked.every, "beside": beside}
                        options = {"setting": setting, "rule": rule, "choice": choice} | how_often
                        named = {"network": network, "seed": setting["seed"]} | tags
                        cells.append(_when(Cell("gradual", options, named), how))
    return cells


def _when(cell: Cell, when: str | None) -> Cell:
    return Cell(cell.work, cell.options, cell.tags | {"pruned": when})


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracies, one panel for each network."""
    from oamip_benchmarks.experiments.reporting.drawing import ranked

    return ranked(lines, "accuracy", ("method", "pruned", "share"))


STUDY = Study(
    "while-training",
    "Pruning every few epochs while a network is trained, with and without the full network beside it.",
    plan,
    rows=("network", "method", "pruned", "share"),
    values=("accuracy", "units", "parameters", "seconds", "seconds_training"),
    draw=draw,
    options={"methods": ("decoupled", "weight-norm", "random"), "shares": (0.5,), "images": None, "every": 10},
)
