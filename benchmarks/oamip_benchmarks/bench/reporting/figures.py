"""The figures of a benchmark's report: profiles, cactus plot, pairs and gaps."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from oamip_benchmarks.bench.reporting.rows import Solves, gaps_of, number_of, solve_seconds, times_of
from oamip_benchmarks.bench.reporting.statistics import Array, performance_ratios, steps
from oamip_model.page import COLOURS, log_ticks, plain

QUICKEST = 0.01
"""Seconds below which times are not told apart in ratios and on logarithmic axes."""
PAIRS = 12
"""At most this many pairs are drawn; of more variants, each is drawn against the one that solved most."""
_DASHES = ("-", "--", ":")


def _style(number: int) -> dict[str, Any]:
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": _DASHES[number // len(COLOURS) % len(_DASHES)]}


def _axes(width: float = 5.6, height: float = 3.8) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, plain(figure.subplots())


def _legend(axes: Axes, variants: Sequence[str]) -> None:
    columns = 1 if len(variants) <= 8 else 2
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.17), ncols=columns, frameon=False, fontsize=8)


def performance_profile(solves: Solves) -> Figure:
    """The share of problems within a factor of the quickest time, for each variant."""
    times = [times_of(solves.of(variant)) for variant in solves.variants]
    seconds = np.maximum(np.array([t[0] for t in times]).T, QUICKEST)
    ratios = performance_ratios(seconds, np.array([t[1] for t in times]).T)
    figure, axes = _axes(height=4.0 + 0.1 * len(times))
    finite = ratios[np.isfinite(ratios)]
    right = max(2.0, 1.15 * float(finite.max(initial=1.0)))
    for k, variant in enumerate(solves.variants):
        at, share = steps(ratios[:, k], len(ratios))
        heights = np.concatenate([[0.0], share, share[-1:]]) if len(at) else np.zeros(2)
        places = np.concatenate([[1.0], at, [right]]) if len(at) else np.array([1.0, right])
        axes.step(places, 100 * heights, where="post", linewidth=1.8, label=variant, **_style(k))
    axes.set(xlim=(0.98, right), ylim=(-2, 102), xlabel="time, as a multiple of the quickest", ylabel="problems (%)")
    log_ticks(axes)
    axes.set_title("Performance profile", loc="left")
    _legend(axes, solves.variants)
    return figure


def cactus(solves: Solves) -> Figure:
    """For each variant the number of problems that it solves within a time each."""
    figure, axes = _axes(height=4.0 + 0.1 * len(solves.variants))
    limit, quickest = QUICKEST, []
    for k, variant in enumerate(solves.variants):
        seconds, solved, limits = times_of(solves.of(variant))
        limit = max(limit, float(limits.max()))
        ordered = np.sort(np.maximum(seconds[solved], QUICKEST))
        quickest += ordered[:1].tolist()
        number = np.arange(1, len(ordered) + 1)
        axes.plot(number, ordered, marker=".", linewidth=1.5, label=variant, **_style(k))
    axes.axhline(limit, color="black", linewidth=1, linestyle=":")
    axes.set(xlabel="problems solved", ylabel="seconds for each", xlim=(0, len(solves.problems) + 1))
    axes.set_ylim(min(quickest, default=QUICKEST) / 1.3, 1.6 * limit)
    log_ticks(axes, upright=True)
    axes.set_title("Cactus plot", loc="left")
    _legend(axes, solves.variants)
    return figure


def gap_profile(solves: Solves) -> Figure:
    """The share of problems that ended within a relative gap, for each variant.

    Unsolved problems are included.
    """
    figure, axes = _axes(height=4.0 + 0.1 * len(solves.variants))
    for k, variant in enumerate(solves.variants):
        gaps = np.maximum(gaps_of(solves.of(variant)), 1e-6)
        at, share = steps(gaps, len(gaps))
        places = np.concatenate([[1e-6], at, [10.0]])
        heights = np.concatenate([[0.0], share, share[-1:] if len(share) else [0.0]])
        axes.step(places, 100 * heights, where="post", linewidth=1.8, label=variant, **_style(k))
    axes.set(xlim=(1e-6, 10), ylim=(-2, 102), xlabel="relative gap at the end", ylabel="problems (%)")
    log_ticks(axes)
    axes.set_title("Gap at the end", loc="left")
    _legend(axes, solves.variants)
    return figure


def pairs_of(solves: Solves) -> list[tuple[str, str]]:
    """The pairs of variants that are drawn against each other."""
    pairs = list(itertools.combinations(solves.variants, 2))
    if len(pairs) <= PAIRS:
        return pairs
    best = max(solves.variants, key=lambda v: (int(times_of(solves.of(v))[1].sum()), -solves.variants.index(v)))
    return [(best, other) for other in solves.variants if other != best]


def pair_scatter(solves: Solves, first: str, second: str) -> Figure:
    """The seconds of two variants on each problem.

    A problem that is not solved lies on the line of its limit.
    """
    figure, axes = _axes(3.4, 3.4)
    x, x_solved, x_limit = times_of(solves.of(first))
    y, y_solved, y_limit = times_of(solves.of(second))
    low, high = QUICKEST, float(max(x_limit.max(), y_limit.max()))
    x = np.where(x_solved, np.maximum(x, QUICKEST), x_limit)
    y = np.where(y_solved, np.maximum(y, QUICKEST), y_limit)
    sizes = np.array([row["size"] for row in solves.of(first)])
    both = x_solved & y_solved
    for k, size in enumerate(solves.sizes):
        at = sizes == size
        axes.scatter(x[at & both], y[at & both], s=18, color=COLOURS[k], label=size, alpha=0.8, linewidths=0)
        axes.scatter(x[at & ~both], y[at & ~both], s=22, facecolors="none", edgecolors=COLOURS[k], linewidths=1.1)
    axes.plot([low, 2 * high], [low, 2 * high], color="#999999", linewidth=0.8)
    for line in (axes.axvline, axes.axhline):
        line(high, color="black", linewidth=0.8, linestyle=":")
    axes.set(xlim=(low / 1.5, 2 * high), ylim=(low / 1.5, 2 * high))
    log_ticks(axes)
    log_ticks(axes, upright=True)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{first} (s)", fontsize=8)
    axes.set_ylabel(f"{second} (s)", fontsize=8)
    axes.tick_params(labelsize=8)
    axes.legend(loc="upper left", frameon=False, fontsize=7, handletextpad=0.1, borderaxespad=0.1)
    return figure


def bounds_over_time(solves: Solves, instance: str, seed: int) -> Figure | None:
    """The primal and dual bound of each variant over time on one problem.

    Returns
    -------
    Figure or None
        None where no solver reported bounds on the way.
    """
    figure, axes = _axes(5.6, 3.6)
    drawn = False
    for k, variant in enumerate(solves.variants):
        row = solves.cells.get((variant, instance, seed))
        points: list[list[float | None]] = (row or {}).get("trace") or []
        if row is None or len(points) < 2:
            continue
        drawn = True
        end = max(solve_seconds(row) - (number_of(row, "bounds_seconds") or 0.0), float(points[-1][0] or 0.0))
        for side in (1, 2):
            values = _column([*points, [end, points[-1][1], points[-1][2]]], side)
            label = variant if side == 1 else None
            axes.step(*values, where="post", linewidth=1.6, color=COLOURS[k % len(COLOURS)], label=label,
                      linestyle="-" if side == 1 else "--")  # fmt: skip
    if not drawn:
        return None
    axes.set(xlim=(0, None), xlabel="seconds of the solve", ylabel="objective (line), bound (dashes)")
    axes.set_title(f"{instance}, seed {seed}", loc="left", fontsize=10)
    axes.legend(frameon=False, fontsize=8)
    return figure


def _column(points: Sequence[Sequence[float | None]], side: int) -> tuple[Array, Array]:
    """Times and values of one side of a trace; NaN where there is none yet."""
    times = np.array([point[0] for point in points], dtype=np.float64)
    values = np.array([math.nan if point[side] is None else point[side] for point in points], dtype=np.float64)
    return times, values
