"""The study ``accuracy-curve``: accuracy of all methods against the share removed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import METHODS, Cell, score_rule
from oamip_benchmarks.experiments.studies.pruning import prune_cell, reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line


def plan(asked: Asked) -> list[Cell]:
    """The reference, and every method at every share, without fine-tuning."""
    cells = []
    for network in asked.networks:
        known = [setting.plain() for setting in settings(asked, network)]
        cells += [reference_cell(setting) for setting in known]
        for method in asked.methods:
            for share in sorted(asked.shares):
                rule, tags = score_rule(method, share, asked.images), {"method": method, "share": share}
                cells += [prune_cell(setting, rule, {"amount": share}, tags) for setting in known]
    return cells


def draw(lines: Sequence[Line]) -> Figure:
    """One panel for each network, one curve for each method."""
    from oamip_benchmarks.experiments.reporting.drawing import curves, legend_below, panels, percent_axis

    figure, axes = panels(lines, "network", 5.2, 4.2)
    for name, each in axes.items():
        curves(each, [line for line in lines if line.tags["network"] == name], "share", "accuracy", "method")
        percent_axis(each)
        each.set_xlabel("share of each layer's units that is gone")
    legend_below(figure, each)
    return figure


STUDY = Study(
    "accuracy-curve",
    "Test accuracy against the share of units removed, without fine-tuning, all methods in one plot.",
    plan,
    rows=("network", "method", "share"),
    values=("accuracy", "parameters", "seconds"),
    draw=draw,
    options={
        "methods": METHODS, "shares": (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), "images": None,
    },
)  # fmt: skip
