"""The study ``transfer``: sub-networks of one data set, trained on another.

Training begins from the initial weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

from oamip_benchmarks.experiments.cells import (
    PUBLISHED_WEIGHT,
    SCORED,
    Cell,
    Plain,
    published_rule,
    published_threshold,
    score_rule,
    share_choice,
    weight_rule,
)
from oamip_benchmarks.experiments.studies.initialisation import retrain_cell
from oamip_benchmarks.experiments.studies.pruning import reference_cell
from oamip_benchmarks.experiments.study import Asked, Study, settings
from oamip_model.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from oamip_benchmarks.experiments.reporting.table import Line


def plan(asked: Asked) -> list[Cell]:
    """For both directions the whole network, and each method's sub-network.

    Sub-networks come from the other data set. They are chosen by the published threshold, where "published" is among
    the methods, and at every share. By the threshold, methods that solve programs take the published weight.
    Each of the others removes as many units of each layer as "published".

    Raises
    ------
    InputError
        Where the two data sets are the same images, or nothing says how many units are removed.
    """
    if not asked.shares and "published" not in asked.methods:
        raise InputError("shares: a share is needed, or the method published, which has a threshold")
    cells = []
    for network in asked.networks:
        first, second = settings(asked, network), settings(asked, network, asked.target)
        if first[0].pixels == second[0].pixels:
            raise InputError(f"target: {asked.target} holds the same images as {asked.data}")
        for source, target in ((first, second), (second, first)):
            pairs = [(one.plain(), other.plain()) for one, other in zip(source, target, strict=True)]
            names = {"scored_on": source[0].data, "trained_on": target[0].data}
            for _, goal in pairs:
                cell = reference_cell(goal)
                cells.append(Cell(cell.work, cell.options, cell.tags | names | {"scored_on": None}))
            for rule, choice, tags in _masks(asked, network, source[0].data):
                for known, goal in pairs:
                    cell = retrain_cell(known, rule, "trained", choice, tags["method"], goal)
                    cells.append(Cell(cell.work, cell.options, cell.tags | names | tags))
    return cells


def _masks(asked: Asked, network: str, source: str) -> Iterator[tuple[Plain, Plain, Plain]]:
    """Rule, choice and tags of each kind of mask."""
    threshold = published_threshold(network, source)
    for method in asked.methods if "published" in asked.methods else ():
        if method in SCORED:
            choice = {"threshold": threshold}
            yield weight_rule(method, PUBLISHED_WEIGHT, asked.images), choice, {"method": method} | choice
        else:
            like = {"rule": published_rule(), "threshold": threshold}
            yield score_rule(method, 0.5, asked.images), {"like": like}, {"method": method, "like": "published"}
    for scope, share, method in product(asked.scopes, asked.shares, asked.methods):
        tags = {"method": method, "share": share, "scope": scope}
        yield score_rule(method, share, asked.images, scope), share_choice(share, scope), tags


def draw(lines: Sequence[Line]) -> Figure:
    """Accuracies, one panel for each data set that was trained on."""
    from oamip_benchmarks.experiments.reporting.drawing import ranked

    return ranked(lines, "accuracy", ("method", "network", "threshold", "like", "share", "scope"), "trained_on")


STUDY = Study(
    "transfer",
    "Masks found on one data set, trained from the initial weights on another, and the other way round.",
    plan,
    rows=("network", "scored_on", "trained_on", "method", "threshold", "like", "share", "scope"),
    values=("accuracy", "units", "parameters", "seconds", "seconds_training"),
    draw=draw,
    options={
        "target": "mnist", "shares": (), "scopes": ("layer",), "images": None,
        "methods": ("published", "forward", "weight-norm", "weight-l1", "weight-l2", "geometric-median",
                    "mean-activation", "apoz", "taylor", "snip", "random"),
    },
    # At a constant rate endings scatter by as much as the masks differ.
    schedule="cosine",
)  # fmt: skip
