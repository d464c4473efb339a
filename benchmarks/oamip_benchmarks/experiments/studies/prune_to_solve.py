"""The study ``prune-to-solve``: programs over a network that is pruned first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.boxes.names import BOX, COMPRESS, OURS, check_tool
from oamip_benchmarks.experiments.cells import ELIMINATION, Cell, Plain, score_rule, share_choice
from oamip_benchmarks.experiments.reporting.table import Line
from oamip_benchmarks.experiments.study import Asked, Study, settings
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REFERENCE = "reference"
TAGS = ("network", "tool", "method", "share", "level")


def plan(asked: Asked) -> list[Cell]:
    """The cells of each tool.

    They are the network as trained, its exact compression, and every method at every share and level.
    """
    from oamip_model.solving import get_backend

    get_backend(asked.solver)
    cells = []
    for network, tool in product(asked.networks, asked.tools):
        check_tool(tool, network)
        for setting in settings(asked, network):
            if asked.boxes > (count := setting_tests(asked)):
                raise InputError(f"boxes: got {asked.boxes}, there are {count} test images of {asked.data}")
            cells += _cells(asked, setting.plain(), tool, REFERENCE)
            if COMPRESS in asked.methods:
                cells += _cells(asked, setting.plain(), tool, COMPRESS)
            methods = [method for method in asked.methods if method != COMPRESS]
            for share, method, level in product(asked.shares, methods, asked.levels):
                cells += _cells(asked, setting.plain(), tool, method, share, level)
    return cells


def setting_tests(asked: Asked) -> int:
    """Number of test images."""
    from oamip_benchmarks.experiments.study import data_of

    return data_of(asked, asked.data)[1].count


def _cells(
    asked: Asked, setting: Plain, tool: str, method: str, share: float | None = None, level: str | None = None
) -> list[Cell]:
    """A cell for each box."""
    rule: Plain | None = None if method == REFERENCE else {"method": method}
    if share is not None and method != BOX:
        rule = score_rule(method, share, asked.images)
    refitted = level not in (None, "removal") and method != BOX
    options = {
        "setting": setting, "rule": rule, "choice": None if share is None else share_choice(share), "level": level,
        "refit_images": asked.refit_images if refitted else None, "radius": asked.radius,
        "tool": tool, "solver": asked.solver, "time_limit": asked.time_limit, "distance_limit": asked.distance_limit,
    }  # fmt: skip
    tags = {"network": setting["network"], "tool": tool, "method": method, "share": share, "level": level}
    return [
        Cell("in_box", options | {"box": box}, tags | {"seed": setting["seed"], "box": box})
        for box in range(asked.boxes)
    ]


def _gathered(found: Sequence[tuple[Plain, Plain]]) -> list[tuple[Plain, Plain]]:
    from oamip_benchmarks.experiments.boxes.work import gather

    return gather(found)


def finish(lines: Sequence[Line]) -> list[Line]:
    """The lines with how many times shorter their programs take.

    They are compared with the network as trained, by the same tool.
    """
    known = {(line.tags["network"], line.tags["tool"]): line for line in lines if line.tags["method"] == REFERENCE}
    found = []
    for line in lines:
        whole = known.get((line.tags["network"], line.tags["tool"]))
        mine = line.mean("seconds_mip")
        if whole is None or not mine > 0:
            found.append(line)
            continue
        count = line.values["seconds_mip"][2]
        times = {"times": (whole.mean("seconds_mip") / mine, None, count)}
        found.append(replace(line, values=dict(line.values) | times))
    return found


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracy against seconds, a panel for each tool.

    Each method and level is a curve over the shares.
    """
    from oamip_benchmarks.experiments.reporting.drawing import legend_below, panels
    from oamip_model.page import COLOURS

    figure, axes = panels(lines, "tool", 4.8, 3.6)
    kinds = list(dict.fromkeys((line.tags["method"], line.tags["level"]) for line in lines))
    for tool, each in axes.items():
        for number, (method, level) in enumerate(kinds):
            here = [
                line for line in lines
                if (line.tags["tool"], line.tags["method"], line.tags["level"]) == (tool, method, level)
            ]  # fmt: skip
            name = str(method) if level is None else f"{method}, {level}"
            x, y = (
                [factor * line.mean(v) for line in here] for v, factor in (("seconds_mip", 1.0), ("accuracy", 100.0))
            )
            colour = COLOURS[number % len(COLOURS)] if method != REFERENCE else "#555555"
            each.plot(x, y, "-o", color=colour, markersize=4, linewidth=1.2, label=name)
        each.set_xscale("log")
        each.set_xlabel("seconds of the solver")
        each.set_ylabel("accuracy, %")
    legend_below(figure, next(iter(axes.values())))
    return figure


STUDY = Study(
    "prune-to-solve",
    "Seconds of programs over boxes of images with the network as trained and pruned, against accuracy and distance.",
    plan,
    rows=TAGS,
    values=("accuracy", "units", "seconds_mip", "times", "solved", "distance", "same", "seconds_build", "seconds"),
    draw=draw,
    gather=_gathered,
    finish=finish,
    own_methods=(BOX, COMPRESS),
    options={
        "methods": (ELIMINATION, "weight-l1", BOX, COMPRESS), "shares": (0.5, 0.7, 0.8), "images": None,
        "levels": ("removal", "least-squares"), "refit_images": None, "radius": 0.02, "boxes": 20, "tools": (OURS,),
        "solver": "highs", "time_limit": 60.0, "distance_limit": 5.0,
    },
)  # fmt: skip
