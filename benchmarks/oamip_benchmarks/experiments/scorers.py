"""Scores of a network's units by the rule of a cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import oamip_model as om
from oamip_benchmarks.experiments.cells import Cell, Plain
from oamip_benchmarks.experiments.sources import training_images
from oamip_model.data.choose import per_class
from oamip_model.errors import InputError
from oamip_model.runs.store import key_of
from oamip_model.scoring.asked import as_objects

if TYPE_CHECKING:
    from oamip_model.data import Dataset
    from oamip_model.network.types import Network
    from oamip_model.scoring import Scores


def make_scores(
    rule: Plain, network: Network, train: Dataset, seed: int, tell: Callable[[str], None] | None = None
) -> Scores:
    """The scores of every unit of a network by a rule.

    Parameters
    ----------
    rule : dict
        "method" is a baseline's name or "oamip". "images" is the number of images that are chosen,
        balanced, None for all. "only" is a class that all of them have. "draw" is a number that
        changes the choice. "score" are keywords of :func:`oamip_model.score`.
    network : Network
        The network.
    train : Dataset
        The images to choose from.
    seed : int
        Seed of the choice.
    tell : callable, optional
        Called with a line of text during scoring.

    Raises
    ------
    KeyboardInterrupt
        Where a solve was stopped by Ctrl-C, because half of the scores are no result.
    """
    method = rule["method"]
    images = _chosen(rule, train, seed) if "images" in rule else None
    if method != "oamip":
        return om.baseline_scores(network, method, seed, images=images)
    assert images is not None

    def told(done: int, total: int, line: str) -> None:
        if tell is not None:
            tell(f"scoring {done}/{total}: {line}")

    scores = om.score(network, images, **as_objects(seed=seed, progress=told, **rule["score"]))
    if scores.interrupted:
        raise KeyboardInterrupt
    return scores


def check_images(cells: Sequence[Cell], download: bool = False) -> None:
    """Make sure that the images of all settings and rules can be chosen.

    It is called before anything is trained.

    Raises
    ------
    InputError
        Where they cannot.
    """
    seen = set()
    for cell in cells:
        setting: Plain = cell.options["setting"]
        target: Plain | None = cell.options.get("target")
        rules: list[Plain] = [cell.options.get(name) or {} for name in ("rule", "against")]
        pairs: list[tuple[Plain, Plain]] = [(setting, rule.get("of", rule)) for rule in rules]
        pairs += [] if target is None else [(target, {})]
        for known, rule in pairs:
            chosen: Plain = {name: rule[name] for name in ("images", "only", "draw") if name in rule}
            key = key_of(setting=known, rule=chosen)
            if key not in seen:
                seen.add(key)
                train = training_images(known, download)
                if "images" in chosen:
                    _chosen(chosen, train, known["seed"])


def _chosen(rule: Plain, train: Dataset, seed: int) -> Dataset:
    count: Any = rule["images"]
    if rule.get("draw"):
        seed += 1000 * rule["draw"]
    if "only" in rule:
        return per_class(train, k=count, seed=seed, classes=[rule["only"]])[rule["only"]]
    if count is None or count == train.count:
        return train
    if count > train.count:
        raise InputError(f"images: got {count}, {train.source} has {train.count}")
    return om.choose_images(train, n=count, seed=seed)
