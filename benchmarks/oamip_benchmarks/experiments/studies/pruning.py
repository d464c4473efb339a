"""The study ``pruning``: every method at one size, before and after fine-tuning.

It is the paper's main table.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import (
    METHODS,
    Cell,
    Plain,
    published_rule,
    published_threshold,
    score_rule,
    share_choice,
)
from oamip_benchmarks.experiments.study import Asked, Study, settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line


_NO_TAGS: Plain = dict.fromkeys(("network", "method", "share", "scope", "threshold", "tuned"))


def plan(asked: Asked) -> list[Cell]:
    """The reference, every method at every share and threshold, and fine-tuning.

    Shares are of each layer, or of all together. Thresholds are the published ones.
    """
    return [cell for network in asked.networks for cell in _of_network(asked, network)]


def _of_network(asked: Asked, network: str) -> list[Cell]:
    known = [setting.plain() for setting in settings(asked, network)]
    tunes = (0, asked.tune) if asked.tune else (0,)
    # Seeds innermost, so that workers meet different networks.
    cells = [reference_cell(setting, tune) for tune in tunes for setting in known]
    for scope, share, method in product(asked.scopes, asked.shares, asked.methods):
        rule, choice = score_rule(method, share, asked.images, scope), share_choice(share, scope)
        for tune in tunes if method in asked.tuned else (0,):
            tags = {"method": method, "share": share, "scope": scope}
            cells += [prune_cell(setting, rule, choice, tags, tune) for setting in known]
    if "published" in asked.methods:
        threshold = published_threshold(network, asked.data)
        for tune in tunes if "published" in asked.tuned else (0,):
            tags = {"method": "published", "threshold": threshold}
            cells += [prune_cell(setting, published_rule(), {"threshold": threshold}, tags, tune) for setting in known]
    return cells


def reference_cell(setting: Plain, tune: int = 0) -> Cell:
    """The cell of the network as trained, or trained on as the pruned ones are."""
    tags = _NO_TAGS | {"network": setting["network"], "method": "reference", "tuned": tune or None}
    return Cell("reference", {"setting": setting, "tune": tune}, tags | {"seed": setting["seed"]})


def prune_cell(setting: Plain, rule: Plain, choice: Plain, tags: Plain, tune: int = 0) -> Cell:
    """The cell of a network that is pruned, and fine-tuned for ``tune`` epochs."""
    options = {"setting": setting, "rule": rule, "choice": choice, "tune": tune}
    named = _NO_TAGS | {"network": setting["network"], "tuned": tune or None}
    return Cell("prune", options, named | tags | {"seed": setting["seed"]})


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracies of all methods, one panel for each network."""
    from oamip_benchmarks.experiments.reporting.drawing import ranked

    return ranked(lines, "accuracy", ("method", "share", "scope", "threshold", "tuned"))


STUDY = Study(
    "pruning",
    "Every way of scoring at the same size: accuracy, units, parameters and seconds, with and without fine-tuning.",
    plan,
    rows=("network", "method", "share", "scope", "threshold", "tuned"),
    values=("accuracy", "units", "parameters", "seconds", "seconds_tuning"),
    draw=draw,
    options={
        "methods": METHODS, "shares": (0.5,), "scopes": ("layer",), "images": None, "tune": 1,
        "tuned": ("decoupled", "forward"),
    },
)  # fmt: skip
