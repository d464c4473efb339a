"""The study ``classes``: the published program by class, and for all at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import PUBLISHED_WEIGHT, Cell, published_rule
from oamip_benchmarks.experiments.studies.pruning import prune_cell, reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, data_of, settings
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line


def plan(asked: Asked) -> list[Cell]:
    """The reference, and pruning by scores from one or more images of each class.

    The scores are from one image of each class (joint), or from ``per_class`` of each. These are in one program a class
    (averaged over classes), or in batches of one of each class (averaged over batches).
    Others are from each class alone.
    """
    return [cell for network in asked.networks for cell in _of_network(asked, network)]


def _of_network(asked: Asked, network: str) -> list[Cell]:
    known = [setting.plain() for setting in settings(asked, network)]
    train = data_of(asked, asked.data)[0]
    classes = train.classes
    import numpy as np  # here, so that the command line's help need not load it

    rarest = int(np.bincount(train.labels, minlength=classes).min())
    if asked.per_class > rarest:
        raise InputError(f"per_class: got {asked.per_class}, a class of {train.source} has {rarest} images")
    every = asked.per_class * classes
    rules = {
        ("joint", None): published_rule(images=classes),
        ("averaged over classes", None): published_rule(images=every, strategy="per-class"),
        ("averaged over batches", None): published_rule(images=every, strategy="batches", batch_size=classes),
    } | {
        ("one class", label): published_rule(images=asked.per_class) | {"only": label} for label in range(classes)
    }  # fmt: skip
    cells = [_classed(reference_cell(setting), None) for setting in known]
    for share in asked.shares:
        for (method, label), rule in rules.items():
            tags = {"method": method, "share": share}
            cells += [_classed(prune_cell(setting, rule, {"amount": share}, tags), label) for setting in known]
    return cells


def _classed(cell: Cell, label: int | None) -> Cell:
    return Cell(cell.work, cell.options, cell.tags | {"class": label})


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracies, one panel for each network."""
    from oamip_benchmarks.experiments.reporting.drawing import ranked

    return ranked(lines, "accuracy", ("method", "class", "share"))


STUDY = Study(
    "classes",
    f"Scores of the published program (weight {PUBLISHED_WEIGHT:g}): per class, averaged, and of all classes jointly.",
    plan,
    rows=("network", "method", "class", "share"),
    values=("accuracy", "class_accuracy", "parameters", "seconds"),
    draw=draw,
    options={"shares": (0.5,), "per_class": 10},
)
