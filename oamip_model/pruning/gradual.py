"""Pruning every few epochs while a network is trained."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TypeAlias, Unpack

import numpy as np
from numpy.typing import ArrayLike
from torch import nn

from oamip_model.data import check_pixels
from oamip_model.data.given import AnyImages, as_arrays, weights_of
from oamip_model.errors import InputError
from oamip_model.network import read_network
from oamip_model.pruning.asked import prune_with_report
from oamip_model.pruning.mask import batch_norms, clean_copy, make_permanent, mask_units, masked_copy
from oamip_model.pruning.masked_training import Keep, check_keep, pruned_to
from oamip_model.scoring.select import Mask
from oamip_model.training import Options, Progress, Recipe, Trainer, TrainingResult, accuracy

Choose: TypeAlias = Callable[[nn.Module, int], Keep]


@dataclass(frozen=True)
class GradualPruning:
    """A network that was pruned while it was trained.

    Parameters
    ----------
    module : torch.nn.Module
        The smaller network.
    training : TrainingResult
        Its training. Before the first pruning it is that of the full network.
    choices : tuple of tuple
        Epochs done and the mask of each group (units,), at each choice. The last one holds.
    full : torch.nn.Module, optional
        The network that was trained beside it without pruning.
    full_training : TrainingResult, optional
        The training of that network.
    """

    module: nn.Module
    training: TrainingResult
    choices: tuple[tuple[int, dict[str, Mask]], ...]
    full: nn.Module | None
    full_training: TrainingResult | None


def prune_while_training(
    module: nn.Module,
    images: AnyImages,
    labels: ArrayLike | None,
    choose: Choose,
    *,
    every: int,
    beside: bool = False,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> GradualPruning:
    """A smaller network from a training with removals every few epochs.

    Parameters
    ----------
    module : torch.nn.Module
        The network, which is not changed.
    images : array_like, Dataset, torch Dataset or DataLoader
        Images (n, ...) as the module takes them; all but an array carry their labels.
    labels : array_like of int or None
        Labels (n,) from 0 to classes - 1, of images that are given as an array.
    choose : callable
        Given a copy of the network in eval mode as it is then, and the epochs done, it says which units
        are kept. It may do so by :func:`choose_units`, or as {group: (units,)}.
    every : int
        Number of epochs between two choices, below the number of epochs. None is made after the last
        epoch.
    beside : bool, default False
        With False, one network is trained, whose units once removed are zero whatever later choices
        say. With True, the full network is trained as if nothing were pruned, and the choices are made
        on it. A choice that differs from the one before makes a new smaller network, for the
        remaining epochs. It then has the full network's weights and an optimizer of its own.
    progress : callable, optional
        Called after each epoch with the epochs done and the smaller network's loss.
    **options
        Settings of :func:`oamip_model.train`, without early_stop.

    Returns
    -------
    GradualPruning
        The smaller network, the choices, and losses and accuracy.

    Raises
    ------
    InputError
        For a bad argument, and where the module's layers cannot be masked in place.

    Examples
    --------
    >>> import oamip_model as om
    >>> data = om.load_dataset()
    >>> first_two = lambda module, epoch: {"fc1": [1, 1, 0, 0]}
    >>> result = prune_while_training(om.make_network("dense-4"), *data, first_two, every=1, epochs=2, threads=1)
    >>> result.module.fc1.out_features, [epoch for epoch, _ in result.choices]
    (2, [1])
    """
    recipe = Recipe(**options)
    if recipe.early_stop is not None:
        raise InputError("early_stop: it does not go with pruning while training, after which losses start higher")
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or not 1 <= every < recipe.epochs:
        raise InputError(f"every: got {every!r}, accepted are integers from 1 to below the {recipe.epochs} epochs")
    (pixels, marks), weights = as_arrays(images, labels), weights_of(images)
    network = read_network(module, check_pixels(pixels).shape[1:])
    # Mask one unit of every layer, to find out before the training whether masking works.
    trial = {group.name: np.arange(group.size) >= min(1, group.size - 1) for group in network.groups}
    _, report = prune_with_report(module, trial, threshold=0.5, mode="mask", network=network)
    if report.rebuilt:
        raise InputError(f"module: its layers cannot be masked in place: {report.reason}")
    producers = {group.name: group.producers for group in network.groups}
    following = batch_norms(clean_copy(module), network.input_shape)

    started = time.perf_counter()
    choices: list[tuple[int, dict[str, Mask]]] = []
    losses: list[float] = []
    full_losses: list[float] = []
    with ExitStack() as open_trainers:
        main = open_trainers.enter_context(Trainer(clean_copy(module), pixels, marks, recipe, weights))
        smaller = main
        for epoch in range(1, recipe.epochs + 1):
            full_losses.append(main.epoch())
            losses.append(full_losses[-1] if smaller is main else smaller.epoch())
            if progress is not None:
                progress(epoch, losses[-1])
            if epoch % every or epoch == recipe.epochs:
                continue
            keep = check_keep(choose(_snapshot(main), epoch), network)
            if not beside:
                keep = _both(choices[-1][1], keep) if choices else keep
                mask_units(main.module, producers, keep, following)
            elif not choices or any((keep[name] != mask).any() for name, mask in choices[-1][1].items()):
                masked = masked_copy(_snapshot(main), producers, keep, network.input_shape)
                left = replace(recipe, epochs=recipe.epochs - epoch)
                smaller = open_trainers.enter_context(Trainer(masked, pixels, marks, left, weights))
            choices.append((epoch, keep))
    seconds = time.perf_counter() - started

    def told(found: list[float], of: nn.Module) -> TrainingResult:
        return TrainingResult(tuple(found), accuracy(of, main.images, main.labels), seconds, str(main.device))

    result = pruned_to(make_permanent(clean_copy(smaller.module)), choices[-1][1], pixels, "remove")
    full = main.module if beside else None
    return GradualPruning(
        result,
        told(losses, result),
        tuple(choices),
        full,
        None if full is None else told(full_losses, full),
    )


def _snapshot(trainer: Trainer) -> nn.Module:
    """The trainer's module as it is now, masks multiplied in, in eval mode and where it was before the training."""
    return make_permanent(clean_copy(trainer.module)).to(trainer.home).eval()


def _both(first: Mapping[str, Mask], second: Mapping[str, Mask]) -> dict[str, Mask]:
    keep = {name: mask & second[name] for name, mask in first.items()}
    for name, mask in keep.items():
        if not mask.any():
            raise InputError(f"choose: none of the units of layer {name} that were left stays")
    return keep
