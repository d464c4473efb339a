"""Accuracy against size: parameters and multiply-accumulates of what is left."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from oamip_benchmarks.experiments.reporting.drawing import REFERENCE, legend_below
from oamip_benchmarks.experiments.reporting.table import half_width
from oamip_model.page import COLOURS, log_ticks, plain

SIZES = {"parameters_left": "parameters", "macs_left": "multiply-accumulates"}
_MARKS = "osD^vPX*"
_APART = 1.015
"""Factor between the points of two methods of one size, which would lie on each other."""
Found = tuple[Mapping[str, Any], Mapping[str, Any]]
"""Tags and result of a cell."""


def sized(cells: Sequence[Found], network: str) -> list[Found]:
    """The cells of a network that have an accuracy and a size.

    There are none where all have one size.
    """
    found = [
        (tags, result) for tags, result in cells
        if tags.get("network") == network and "parameters_left" in result and "accuracy" in result
    ]  # fmt: skip
    return found if len({result["parameters_left"] for _, result in found}) > 1 else []


def accuracy_by_size(cells: Sequence[Found]) -> Figure:
    """Test accuracy against each size, a point for each combination of tags.

    A point is the mean of its seeds with its interval. Colours are methods, shapes the other tags. Points of one size
    stand side by side.
    """
    known = [name for name in SIZES if all(name in result for _, result in cells)]
    figure = Figure(figsize=(5.0 * len(known), 4.2), layout="constrained")
    panels = figure.subplots(1, len(known), squeeze=False, sharey=True)[0]
    groups: dict[tuple[tuple[str, Any], ...], list[Mapping[str, Any]]] = {}
    for tags, result in cells:
        named = tuple((name, value) for name, value in tags.items() if name not in ("seed", "network"))
        groups.setdefault(named, []).append(result)
    methods = list(dict.fromkeys(dict(named).get("method") for named in groups))
    beside = [method for method in methods if method != REFERENCE]
    rest = {named: tuple(pair for pair in named if pair[0] != "method") for named in groups}
    shapes = list(dict.fromkeys(rest.values()))
    for axes, size in zip(panels, known, strict=True):
        for named, results in groups.items():
            method = dict(named).get("method")
            accuracies = [100 * result["accuracy"] for result in results]
            colour = "#555555" if method == REFERENCE else COLOURS[methods.index(method) % len(COLOURS)]
            middle, half = statistics.fmean(accuracies), half_width(accuracies) or 0.0
            first = rest[named] == next(rest[n] for n in groups if dict(n).get("method") == method)
            place = beside.index(method) - (len(beside) - 1) / 2 if method in beside else 0.0
            aside = _APART**place
            axes.errorbar(
                statistics.fmean(result[size] for result in results) * aside, middle,
                yerr=[[min(half, middle)], [min(half, 100 - middle)]], color=colour, capsize=2, linewidth=1,
                markersize=5, alpha=0.85, marker=_MARKS[shapes.index(rest[named]) % len(_MARKS)], linestyle="none",
                label=str(method) if first else None,
            )  # fmt: skip
        log_ticks(plain(axes), count_text)
        axes.set_xlabel(SIZES[size])
    panels[0].set_ylabel("accuracy, %")
    legend_below(figure, panels[0])
    return figure


def count_text(value: float) -> str:
    """A count in few characters.

    Examples
    --------
    >>> count_text(200), count_text(20_000), count_text(1_500_000)
    ('200', '20k', '1.5M')
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"
