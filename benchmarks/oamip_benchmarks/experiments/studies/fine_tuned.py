"""The study ``fine-tuned``: whether masks still differ after training with labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import ELIMINATION, Cell, Plain, score_rule
from oamip_benchmarks.experiments.studies.refit import TAGS, reference_line, refit_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line


def plan(asked: Asked) -> list[Cell]:
    """The reference, this package's masks, and Torch-Pruning's importances.

    Torch-Pruning's importances are used directly. All are fine-tuned alike.
    """
    cells = []
    for network in asked.networks:
        known = [setting.plain() for setting in settings(asked, network)]
        for tune in asked.tunes:
            cells += [reference_line(setting, tune) for setting in known]
            for share in asked.shares:
                for method, level in product(asked.methods, asked.levels):
                    rule = score_rule(method, share, asked.images)
                    cells += [refit_cell(one, rule, method, share, level, asked.refit_images, tune) for one in known]
                for importance in asked.importances:
                    cells += [_direct(setting, importance, share, tune) for setting in known]
    return cells


def _direct(setting: Plain, importance: str, share: float, tune: int) -> Cell:
    options = {"setting": setting, "importance": importance, "share": share, "tune": tune}
    tags = {"network": setting["network"], "method": importance, "share": share, "level": None, "tuned": tune or None}
    return Cell("torch_pruning", options, tags | {"seed": setting["seed"]})


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracies of all methods, one panel for each network."""
    from oamip_benchmarks.experiments.reporting.drawing import ranked

    return ranked(lines, "accuracy", ("method", "share", "level", "tuned"))


STUDY = Study(
    "fine-tuned",
    "Masks of this package, refitted or not, against importances of Torch-Pruning, after epochs of fine-tuning.",
    plan,
    rows=TAGS,
    values=("accuracy", "parameters", "seconds", "seconds_refit", "seconds_tuning"),
    draw=draw,
    options={
        "methods": (ELIMINATION, "forward"), "shares": (0.5,), "images": None, "levels": ("removal", "least-squares"),
        "refit_images": None, "tunes": (0, 1, 5), "importances": ("tp-magnitude", "tp-taylor"),
    },
)  # fmt: skip
