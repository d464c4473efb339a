"""The picture of a study: the gap at the root against seconds.

They are the seconds that it takes to get there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from oamip_benchmarks.tightness.cells import STUDIED_BOUNDS
from oamip_benchmarks.tightness.measure import Row
from oamip_model.files import replacing
from oamip_model.formulation.relaxations import RELAXATIONS
from oamip_model.page import COLOURS, log_ticks, plain

_MARKERS = dict(zip(RELAXATIONS, "osD^vP", strict=True))
# Marks of several relaxations at one place lie within each other.
_SIZES = {name: 10.0 - 6.0 * k / max(len(RELAXATIONS) - 1, 1) for k, name in enumerate(RELAXATIONS)}
_SHADES = dict(zip(STUDIED_BOUNDS, COLOURS, strict=False))
_WIDTH = 3
"""Panels beside each other."""


def draw(rows: Sequence[Row], gap_of: Callable[[Row, float | None], float | None], path: Path) -> Path:
    """Draw one panel for each network and gate into a .png, .pdf or .svg file.

    Filled marks are the gap of the bound after the rounds of tangents and cuts at the root. It is
    drawn against the seconds of bounds, build and these rounds. Hollow ones are the gap of the
    integer program at the end, against all seconds.
    Colours are bounds, shapes relaxations. Cells whose gap is not known are left out.

    Parameters
    ----------
    rows : sequence of Row
        The cells.
    gap_of : callable
        The gap of a bound of a row's program, None where it is not known.
    path : Path
        The file.
    """
    panels = list(dict.fromkeys((row.network, row.gate) for row in rows))
    wide, high = min(len(panels), _WIDTH), -(-len(panels) // _WIDTH)
    figure = Figure(figsize=(4.6 * wide + 1.9, 3.7 * high), dpi=150, layout="constrained")
    axes = np.ravel(figure.subplots(high, wide, squeeze=False))
    for at, (network, gate) in zip(axes, panels, strict=False):
        plain(at)
        here = [row for row in rows if (row.network, row.gate) == (network, gate)]
        for row in sorted(here, key=lambda row: -_SIZES[row.relaxation]):
            points = [(row.preprocessing, gap_of(row, row.cut_bound))]
            if row.solve_seconds is not None:
                points.append((row.bounds_seconds + row.build_seconds + row.solve_seconds, row.gap))
            shown = [(seconds, 100 * gap) for seconds, gap in points if gap is not None]
            colour, marker = _SHADES[row.bounds], _MARKERS[row.relaxation]
            at.plot(*zip(*shown, strict=True), color=colour, linewidth=0.8, alpha=0.4) if len(shown) > 1 else None
            for (seconds, gap), fill in zip(shown, (colour, "white"), strict=False):
                at.plot(seconds, gap, marker, color=colour, markerfacecolor=fill, markersize=_SIZES[row.relaxation],
                        linestyle="none")  # fmt: skip
        at.set(xlabel="seconds", ylabel="gap (%)", title=f"{network}, {gate}")
        if at.has_data():
            log_ticks(at)
        at.set_ylim(bottom=min(0.0, at.get_ylim()[0]))
    for at in axes[len(panels) :]:
        at.set_visible(False)
    bounds = [name for name in STUDIED_BOUNDS if any(row.bounds == name for row in rows)]
    relaxations = [name for name in RELAXATIONS if any(row.relaxation == name for row in rows)]
    marks = [_mark(_SHADES[name], "o", _SHADES[name], f"bounds {name}") for name in bounds]
    marks += [_mark("#777777", _MARKERS[name], "#777777", name) for name in relaxations]
    marks.append(_mark("#777777", "o", "#777777", "filled: at the root"))
    if any(row.solve_seconds is not None for row in rows):
        marks.append(_mark("#777777", "o", "white", "hollow: at the end"))
    figure.legend(handles=marks, loc="outside right center", frameon=False)
    with replacing(path) as temporary:
        figure.savefig(temporary)
    return path


def _mark(colour: str, marker: str, fill: str, label: str) -> Line2D:
    return Line2D([], [], color=colour, marker=marker, markerfacecolor=fill, linestyle="none", label=label)
