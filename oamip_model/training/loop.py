"""Training a classifier: seeded, and quick for small networks on few cores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias, Unpack

import torch
from numpy.typing import ArrayLike
from torch import nn

from oamip_model.clock import tick
from oamip_model.data.given import AnyImages, as_arrays, weights_of
from oamip_model.errors import OamipError
from oamip_model.training.device import torch_device as torch_device
from oamip_model.training.evaluate import accuracy
from oamip_model.training.recipe import Options, Recipe
from oamip_model.training.trainer import Trainer

Progress: TypeAlias = Callable[[int, float], None]
_State: TypeAlias = dict[str, torch.Tensor]


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training.

    Parameters
    ----------
    losses : tuple of float
        Mean loss of each epoch, over its batches as they came.
    accuracy : float
        Accuracy on all given images, at the end. It is NaN for a regression.
    seconds : float
        Wall clock.
    device : str
        The device that it ran on.
    held_out : tuple of float
        Loss after each epoch on the images held out for early stopping, empty without it.
    best : int, optional
        The epoch, from 1, whose weights early stopping kept.
    """

    losses: tuple[float, ...]
    accuracy: float
    seconds: float
    device: str
    held_out: tuple[float, ...] = ()
    best: int | None = None


def train(
    module: nn.Module,
    images: AnyImages,
    labels: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> TrainingResult:
    """Train ``module`` in place to minimise the loss, by default the cross-entropy.

    Units that torch.nn.utils.prune has masked (``om.prune`` with mode "mask") are exactly zero
    throughout. Afterwards the module is in eval mode, on the device where it was.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    images : array_like, Dataset, torch Dataset or DataLoader
        Images (n, ...) as the module takes them; all but an array carry their labels.
    labels : array_like of int, optional
        Labels (n,) from 0 to classes - 1, of images that are given as an array.
    weights : array_like, optional
        Weight (n,) of each image in the loss, from 0; only their ratios count.
    progress : callable, optional
        Called after each epoch with the number of epochs done and the epoch's loss.
    **options
        The settings epochs, batch_size, learning_rate, optimizer, momentum, nesterov, weight_decay,
        schedule, augment, early_stop, held_out, seed, device, threads, loss and class_weights. The class
        :class:`oamip_model.training.Recipe` has their defaults. ``**PUBLISHED["fashion-mnist"]`` are
        those of the paper.

    Returns
    -------
    TrainingResult
        Losses, accuracy and time of the training.

    Raises
    ------
    InputError
        For anything out of range.
    OamipError
        Where the loss is no longer a number; the module then has the weights from before.

    Examples
    --------
    >>> import oamip_model as om
    >>> data = om.load_dataset()
    >>> module = om.make_network("dense-32")
    >>> result = om.train(module, data.images, data.labels, epochs=2, threads=1)
    >>> len(result.losses), result.accuracy > 0.5, module.training
    (2, True, False)
    """
    recipe = Recipe(**options)
    pixels, marks = as_arrays(images, labels)
    trainer = Trainer(module, pixels, marks, recipe, weights_of(images, weights))
    started = time.perf_counter()
    before = _state(module)
    losses: list[float] = []
    held: list[float] = []
    best, kept = 0, before
    try:
        with trainer:
            for epoch in range(1, recipe.epochs + 1):
                tick(f"epoch {epoch} of {recipe.epochs}")
                losses.append(trainer.epoch())
                if progress is not None:
                    progress(epoch, losses[-1])
                if recipe.early_stop is None:
                    continue
                held.append(trainer.held_out_loss())
                if held[-1] < min(held[:-1], default=float("inf")):
                    best, kept = epoch, _state(module)
                elif epoch - best >= recipe.early_stop:
                    break
    except OamipError:
        module.load_state_dict(before)
        raise
    if best:
        module.load_state_dict(kept)
    seconds = time.perf_counter() - started
    return TrainingResult(
        tuple(losses),
        math.nan if recipe.loss == "squared" else accuracy(module, trainer.images, trainer.labels),
        seconds,
        str(trainer.device),
        tuple(held),
        best or None,
    )


def _state(module: nn.Module) -> _State:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
