"""The study ``images``: scores and accuracy by the number and choice of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import Cell, published_rule, score_rule
from oamip_benchmarks.experiments.studies.pruning import prune_cell, reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, data_of, settings
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line

BATCHES = 3
"""Batches of the published program for each trained network."""


def plan(asked: Asked) -> list[Cell]:
    """Pruning by scores from each number of images, and their distance to the most.

    The published program takes 10 images. It is solved for ``BATCHES`` choices of them instead, and its scores are
    compared with those of the first.

    Raises
    ------
    InputError
        For a method that looks at no images.
    """
    for method in asked.methods:
        if "images" not in score_rule(method, 0.5, None):
            raise InputError(f"methods: {method} looks at no images, or at those of another method")
    return [cell for network in asked.networks for cell in _of_network(asked, network)]


def _of_network(asked: Asked, network: str) -> list[Cell]:
    found = settings(asked, network)
    most, known = found[0].images, [setting.plain() for setting in found]
    if most is None:
        most = data_of(asked, asked.data)[0].count
    counts = sorted({most if count is None else count for count in asked.counts})
    cells = [_counted(reference_cell(setting), None) for setting in known]
    for share in asked.shares:
        for method in asked.methods:
            if method == "published":
                rules = [published_rule() | {"draw": draw} for draw in range(BATCHES)]
                against = rules[0]
            else:
                rules = [score_rule(method, share, count) for count in counts]
                against = rules[-1]
            for rule in rules:
                tags, choice = {"method": method, "share": share}, {"amount": share}
                cells += [_counted(prune_cell(setting, rule, choice, tags), rule["images"]) for setting in known]
                for setting in known if rule != against else ():
                    options = {"setting": setting, "rule": rule, "against": against, "choice": choice}
                    named = {"network": network, "seed": setting["seed"]} | tags
                    cells.append(_counted(Cell("change", options, named), rule["images"]))
    return cells


def _counted(cell: Cell, count: int | None) -> Cell:
    return Cell(cell.work, cell.options, cell.tags | {"images": count})


def draw(lines: Sequence[Line]) -> Figure:
    """For each network accuracy, and below agreement with the choice by most images.

    Agreement is the share of units on which both choices agree.
    """
    from oamip_benchmarks.experiments.reporting.drawing import stacked

    return stacked(lines, "images", ("accuracy", "agreement"), "method", logarithmic=True)


STUDY = Study(
    "images",
    "How accuracy and scores change with the number of images that score the units, and with the published batch.",
    plan,
    rows=("network", "method", "share", "images"),
    values=("accuracy", "agreement", "difference", "seconds"),
    draw=draw,
    options={
        "methods": ("forward", "published", "mean-activation", "taylor"), "shares": (0.5,),
        "counts": (10, 100, 1000, 10_000, None),
    },
)  # fmt: skip
