"""The study ``refit``: accuracy of scores after removal and each level of a refit."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import ELIMINATION, Cell, Plain, score_rule, share_choice
from oamip_benchmarks.experiments.studies.pruning import reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line

TAGS = ("network", "method", "share", "level", "tuned")


def plan(asked: Asked) -> list[Cell]:
    """The reference, and every method at every share and level."""
    cells = []
    for network in asked.networks:
        known = [setting.plain() for setting in settings(asked, network)]
        cells += [reference_line(setting) for setting in known]
        for share, method, level in product(asked.shares, asked.methods, asked.levels):
            rule = score_rule(method, share, asked.images)
            cells += [refit_cell(setting, rule, method, share, level, asked.refit_images) for setting in known]
    return cells


def refit_cell(
    setting: Plain, rule: Plain, method: str, share: float, level: str, images: int | None, tune: int = 0
) -> Cell:
    """The cell of a network that loses a share of each layer and is refitted.

    It is fine-tuned for ``tune`` epochs.
    """
    options = {"setting": setting, "rule": rule, "choice": share_choice(share), "level": level, "tune": tune}
    options["refit_images"] = None if level == "removal" else images
    tags = {"network": setting["network"], "method": method, "share": share, "level": level, "tuned": tune or None}
    return Cell("refit", options, tags | {"seed": setting["seed"]})


def reference_line(setting: Plain, tune: int = 0) -> Cell:
    """The cell of the network as trained, or trained on for ``tune`` epochs.

    It has the tags of this study.
    """
    cell = reference_cell(setting, tune)
    return Cell(cell.work, cell.options, {name: cell.tags.get(name) for name in (*TAGS, "seed")})


def draw(lines: Sequence[Line]) -> Figure:
    """For each level and network, accuracies by method over the share removed."""
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.drawing import curves, legend_below, percent_axis
    from oamip_model.page import plain

    networks = list(dict.fromkeys(line.tags["network"] for line in lines))
    levels = list(dict.fromkeys(line.tags["level"] for line in lines if line.tags["level"] is not None))
    figure = Figure(figsize=(4.2 * len(levels), 3.2 * len(networks)), layout="constrained")
    found = figure.subplots(len(networks), len(levels), squeeze=False, sharey="row")
    for row, network in enumerate(networks):
        for axes, level in zip(found[row], levels, strict=True):
            here = [line for line in lines if line.tags["network"] == network and line.tags["level"] in (None, level)]
            curves(plain(axes), here, "share", "accuracy", "method")
            percent_axis(axes)
            axes.set_title(f"{network}, {level}", loc="left")
            axes.set_xlabel("share of each layer removed")
    legend_below(figure, found[0][0])
    return figure


STUDY = Study(
    "refit",
    "Every way of scoring at the same size: accuracy after removal, and after each level of a refit without labels.",
    plan,
    rows=("network", "method", "share", "level"),
    values=("accuracy", "parameters", "seconds", "seconds_refit"),
    draw=draw,
    options={
        "methods": (ELIMINATION, "forward", "weight-l1", "taylor", "random"), "shares": (0.3, 0.5, 0.7), "images": None,
        "levels": ("removal", "least-squares", "outgoing"), "refit_images": None,
    },
)  # fmt: skip
