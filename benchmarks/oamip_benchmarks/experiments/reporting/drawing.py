"""The figures of studies: curves, and points with their deviation over seeds."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from oamip_benchmarks.experiments.reporting.table import HEADINGS, SHARES, Line, tag_text
from oamip_model.page import COLOURS, plain

_DASHES = ("-", "--", ":")
REFERENCE = "reference"


def panels(lines: Sequence[Line], tag: str, width: float, height: float) -> tuple[Figure, dict[object, Axes]]:
    """A figure with one pair of axes for each value of a tag, side by side."""
    names = list(dict.fromkeys(line.tags[tag] for line in lines))
    figure = Figure(figsize=(width * len(names), height), layout="constrained")
    found = figure.subplots(1, len(names), squeeze=False)[0]
    for name, axes in zip(names, found, strict=True):
        plain(axes).set_title(str(name), loc="left")
    return figure, dict(zip(names, found, strict=True))


def curves(axes: Axes, lines: Sequence[Line], x: str, y: str, series: str, *, logarithmic: bool = False) -> None:
    """Draw value ``y`` against the tag ``x``, one curve for each value of ``series``.

    Bands are deviations. Lines without ``x`` are horizontal and grey: what the others are compared with.
    """
    factor = 100.0 if y in SHARES else 1.0
    names = list(dict.fromkeys(line.tags[series] for line in lines if line.tags.get(x) is not None))
    for number, name in enumerate(names):
        found = [line for line in lines if line.tags[series] == name and line.tags.get(x) is not None]
        places = [float(line.tags[x]) for line in found]
        middle = [factor * line.mean(y) for line in found]
        spread = [factor * line.deviation(y) for line in found]
        colour, dash = COLOURS[number % len(COLOURS)], _DASHES[number // len(COLOURS) % len(_DASHES)]
        axes.plot(places, middle, dash, color=colour, marker="o", markersize=3, linewidth=1.5, label=str(name))
        low, high = ([m + sign * s for m, s in zip(middle, spread, strict=True)] for sign in (-1, 1))
        axes.fill_between(places, low, high, color=colour, alpha=0.13, linewidth=0)
    for line in lines:
        if line.tags.get(x) is None and not math.isnan(line.mean(y)):
            axes.axhline(
                factor * line.mean(y), color="#555555", linewidth=1, linestyle=":", label=str(line.tags[series])
            )
    if logarithmic:
        axes.set_xscale("log")
    axes.set_xlabel(x)
    axes.set_ylabel(HEADINGS.get(y, y))


def points(axes: Axes, lines: Sequence[Line], y: str, label: Sequence[str]) -> None:
    """Draw value ``y`` of each line as a point with its deviation, best at the top.

    The reference is a dotted line.
    """
    factor = 100.0 if y in SHARES else 1.0
    shown = sorted((line for line in lines if not math.isnan(line.mean(y))), key=lambda line: line.mean(y))
    for place, line in enumerate(shown):
        alike = line.tags.get("method") == REFERENCE
        colour = "#555555" if alike else COLOURS[0]
        axes.errorbar(
            factor * line.mean(y), place, xerr=factor * line.deviation(y), fmt="o", color=colour, markersize=4,
            capsize=2, linewidth=1.2,
        )  # fmt: skip
        if alike:
            axes.axvline(factor * line.mean(y), color=colour, linewidth=1, linestyle=":")
    names = [", ".join(_words(line, tag) for tag in label if line.tags.get(tag) is not None) for line in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.set_xlabel(HEADINGS.get(y, y))
    axes.grid(axis="y", visible=False)


def _words(line: Line, tag: str) -> str:
    """A tag in words for a point's name."""
    text = tag_text(tag, line.tags[tag])
    worded = {"threshold": "below {}", "like": "as many as {}", "tuned": "{} epochs on", "class": "class {}"}
    return worded.get(tag, "{}").format(text)


def stacked(lines: Sequence[Line], x: str, values: Sequence[str], series: str, *, logarithmic: bool = False) -> Figure:
    """A figure with a column for each network, and a row of curves for each value.

    The curves are over the tag ``x``.
    """
    networks = list(dict.fromkeys(line.tags["network"] for line in lines))
    figure = Figure(figsize=(5.2 * len(networks), 2.8 * len(values)), layout="constrained")
    found = figure.subplots(len(values), len(networks), squeeze=False, sharex="col")
    for column, network in enumerate(networks):
        for row, value in enumerate(values):
            here = [line for line in lines if line.tags["network"] == network and value in line.values]
            curves(plain(found[row][column]), here, x, value, series, logarithmic=logarithmic)
            if row + 1 < len(values):
                found[row][column].set_xlabel("")
        found[0][column].set_title(network, loc="left")
    legend_below(figure, found[0][0])
    return figure


def ranked(lines: Sequence[Line], y: str, label: Sequence[str], panel: str = "network") -> Figure:
    """A figure with a panel for each value of the tag ``panel``, its lines as points.

    The points are values ``y``, named by the tags ``label``.
    """
    count = max(Counter(line.tags[panel] for line in lines).values())
    figure, axes = panels(lines, panel, 4.8, 1.3 + 0.19 * count)
    for name, each in axes.items():
        points(each, [line for line in lines if line.tags[panel] == name], y, label)
    return figure


def percent_axis(axes: Axes) -> None:
    """The horizontal axis, which holds shares, in per cent."""
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))


def legend_below(figure: Figure, axes: Axes) -> None:
    """One legend for all panels, below them."""
    handles, labels = axes.get_legend_handles_labels()
    columns = max(2, int(figure.get_size_inches()[0] / 1.6))  # the longest name takes 1.5 inches
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, fontsize=8)
