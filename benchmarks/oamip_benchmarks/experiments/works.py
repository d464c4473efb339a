"""The work of cells: functions of the workshop and a cell's options.

Each gives its result as JSON can hold it. All of them take these options. "setting" is a trained
network (:class:`~.cells.Setting`). "rule" says how its units are scored
(:func:`~.scorers.make_scores`). "choice" says which units the scores remove, as keywords of
:func:`oamip_model.prune`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

import oamip_model as om
from oamip_benchmarks.experiments.boxes.work import in_box
from oamip_benchmarks.experiments.cells import Plain
from oamip_benchmarks.experiments.importances import cut_by
from oamip_benchmarks.experiments.measures import known, measured
from oamip_benchmarks.experiments.scorers import make_scores
from oamip_benchmarks.experiments.workshop import Trained, Workshop
from oamip_model.pruning.masked_training import pruned_to

if TYPE_CHECKING:
    from torch import nn

    from oamip_model.data import Dataset
    from oamip_model.scoring.select import Selection

Work: TypeAlias = Callable[[Workshop, Plain], Plain]


def reference(shop: Workshop, options: Plain) -> Plain:
    """The network as trained, or trained on for "tune" epochs.

    The pruned networks that it is compared with are trained on alike.
    """
    setting = options["setting"]
    trained = shop.trained(setting)
    train, test = shop.data(setting)
    module, seconds = trained.module, 0.0
    if options["tune"]:
        module, seconds = _tuned(shop, module, train, setting, options["tune"])
    return measured(module, test, trained.module) | {"seconds_training": trained.seconds, "seconds_tuning": seconds}


def prune(shop: Workshop, options: Plain) -> Plain:
    """The trained network without the units that "choice" removes, fine-tuned.

    "tune": epochs of fine-tuning, 0 for none. For scores from one class alone "class_accuracy" is the share of the test
    images of that class that are classified correctly.
    """
    setting = options["setting"]
    trained, scores, scoring, selection = _chosen(shop, options)
    train, test = shop.data(setting)
    started = time.perf_counter()
    module = pruned_to(trained.module, selection, test.images, "remove", trained.network)
    seconds = {"seconds": scoring, "seconds_pruning": time.perf_counter() - started, "seconds_tuning": 0.0}
    if options["tune"]:
        module, seconds["seconds_tuning"] = _tuned(shop, module, train, setting, options["tune"])
    found = measured(module, test, trained.module, selection.keep)
    if "only" in options["rule"]:
        row = found["confusion"][options["rule"]["only"]]
        found["class_accuracy"] = row[options["rule"]["only"]] / max(1, sum(row))
    return found | seconds | known(scores)


def refit(shop: Workshop, options: Plain) -> Plain:
    """The trained network cut as in :func:`prune`, refitted, then fine-tuned.

    "level": one of :data:`.cells.LEVELS`; "refit_images": how many training images the refit sees, without labels.
    """
    setting = options["setting"]
    trained, scores, scoring, selection = _chosen(shop, options)
    train, test = shop.data(setting)
    started = time.perf_counter()
    if options["level"] == "removal":
        module = pruned_to(trained.module, selection, test.images, "remove", trained.network)
    else:
        count = options["refit_images"]
        images = train if count is None else om.choose_images(train, n=count, seed=setting["seed"])
        shop.tell(f"refitting ({options['level']})")
        how = om.Refit(level=options["level"], seed=setting["seed"])
        module = om.prune(trained.module, selection, network=trained.network, refit=how, images=images.images)
    seconds = {"seconds": scoring, "seconds_refit": time.perf_counter() - started, "seconds_tuning": 0.0}
    if options["tune"]:
        module, seconds["seconds_tuning"] = _tuned(shop, module, train, setting, options["tune"])
    return measured(module, test, trained.module, selection.keep) | seconds | known(scores)


def torch_pruning(shop: Workshop, options: Plain) -> Plain:
    """The trained network cut by one of Torch-Pruning's importances, then fine-tuned.

    "importance": one of :data:`.importances.IMPORTANCES`; "share": of each group that it removes.
    """
    setting = options["setting"]
    trained = shop.trained(setting)
    train, test = shop.data(setting)
    started = time.perf_counter()
    module = cut_by(options["importance"], trained.module, options["share"], train, setting["seed"])
    seconds = {"seconds": time.perf_counter() - started, "seconds_tuning": 0.0}
    left = {group.name: len(module.get_parameter(f"{group.producers[0]}.weight")) for group in trained.network.groups}
    # Which units are left is not known, only how many, and no more is asked of the masks.
    keep = {group.name: np.arange(group.size) < left[group.name] for group in trained.network.groups}
    if options["tune"]:
        module, seconds["seconds_tuning"] = _tuned(shop, module, train, setting, options["tune"])
    return measured(module, test, trained.module, keep) | seconds


def change(shop: Workshop, options: Plain) -> Plain:
    """How far the scores of "rule" are from those of "against", over all units.

    "difference": the mean of their absolute differences; "agreement": the share of units that "choice" treats alike by
    both.
    """
    network = shop.trained(options["setting"]).network
    first, second = (shop.scores(options["setting"], options[name])[0] for name in ("rule", "against"))
    apart = np.concatenate([np.abs(first.by_layer[name] - second.by_layer[name]) for name in first.by_layer])
    one, other = (om.choose_units(scores, network, **options["choice"]).keep for scores in (first, second))
    alike = np.concatenate([mask == other[name] for name, mask in one.items()])
    return {"difference": float(apart.mean()), "agreement": float(alike.mean())} | known(first)


def retrain(shop: Workshop, options: Plain) -> Plain:
    """A sub-network trained from its initial weights.

    "of" is the network that "rule" scores: the "trained" or the "initial" one of "setting".
    "target" is the setting whose initial weights, data and recipe the sub-network is trained with.
    Without "rule" it is the whole network. With the choice "like", each layer loses as many units
    as have scores by its "rule" below its "threshold".
    """
    setting, target = options["setting"], options["target"]
    initial = shop.initial(target)
    train, test = shop.data(target)
    module, result, selection = shop.initial(target), Plain(), None
    if options["rule"] is not None:
        scores, seconds = shop.scores(setting, options["rule"], options["of"])
        selection = _selection(shop, options, scores)
        module = pruned_to(initial, selection, test.images, "remove")
        result = {"seconds": seconds} | known(scores)
    started = time.perf_counter()
    shop.train(module, train, target)
    result["seconds_training"] = time.perf_counter() - started
    return measured(module, test, initial, None if selection is None else selection.keep) | result


def gradual(shop: Workshop, options: Plain) -> Plain:
    """The network pruned every "every" epochs while it is trained.

    "beside": the full network is trained on beside it. It is made by :func:`oamip_model.prune_while_training`.
    """
    setting = options["setting"]
    train, test = shop.data(setting)
    initial = shop.initial(setting)
    taken = []

    def choose(module: nn.Module, epoch: int) -> Selection:
        started = time.perf_counter()
        shop.tell(f"scoring after epoch {epoch}")
        network = om.read_network(module, train.images.shape[1:])
        scores = make_scores(options["rule"], network, train, setting["seed"], shop.tell)
        taken.append(time.perf_counter() - started)
        return om.choose_units(scores, network, **options["choice"])

    found = om.prune_while_training(
        initial,
        train.images,
        train.labels,
        choose,
        every=options["every"],
        beside=options["beside"],
        seed=setting["seed"],
        threads=1,
        progress=lambda epoch, loss: shop.tell(f"pruning while training: epoch {epoch}, loss {loss:.3f}"),
        **setting["recipe"],
    )
    spent = {"seconds": sum(taken), "seconds_training": found.training.seconds - sum(taken)}
    return measured(found.module, test, initial, found.choices[-1][1]) | spent


_WORKS = (reference, prune, refit, torch_pruning, change, retrain, gradual, in_box)
WORKS: dict[str, Work] = {work.__name__: work for work in _WORKS}


def run_cell(shop: Workshop, work: str, options: Plain) -> Plain:
    """The result of a cell."""
    return WORKS[work](shop, options)


def _chosen(shop: Workshop, options: Plain) -> tuple[Trained, om.Scores, float, Selection]:
    """The trained network, its scores with the seconds that they took, and the units that "choice" keeps."""
    trained = shop.trained(options["setting"])
    scores, seconds = shop.scores(options["setting"], options["rule"])
    return trained, scores, seconds, om.choose_units(scores, trained.network, **options["choice"])


def _selection(shop: Workshop, options: Plain, scores: om.Scores) -> Selection:
    """The units chosen on the network whose scores they are."""
    setting, choice = options["setting"], options["choice"]
    if options["of"] == "trained":
        network = shop.trained(setting).network
    else:
        train, _ = shop.data(setting)
        network = om.read_network(shop.initial(setting), train.images.shape[1:])
    if "like" in choice:
        like, _ = shop.scores(setting, choice["like"]["rule"], options["of"])
        keep = om.choose_units(like, network, threshold=choice["like"]["threshold"]).keep
        choice = {"amount": {name: float((~mask).mean()) for name, mask in keep.items()}}
    return om.choose_units(scores, network, **choice)


def _tuned(shop: Workshop, module: nn.Module, train: Dataset, setting: Plain, epochs: int) -> tuple[nn.Module, float]:
    """The module after fine-tuning by the setting's optimizer, whose rate falls to 0 along half a cosine."""
    recipe = {name: value for name, value in setting["recipe"].items() if name != "greedy"}
    recipe |= {"epochs": epochs, "schedule": "cosine", "seed": setting["seed"], "threads": 1}
    shop.tell(f"fine-tuning for {epochs} epochs")
    tuned, result = om.fine_tune(module, *train, **recipe)
    return tuned, result.seconds
