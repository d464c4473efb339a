"""A training epoch by epoch, so that something may be done in between."""

from __future__ import annotations

import math
from types import TracebackType

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from oamip_model.data import check_labels, check_pixels
from oamip_model.errors import InputError, OamipError
from oamip_model.training.augment import crop_and_flip
from oamip_model.training.device import seeded, threads, torch_device
from oamip_model.training.evaluate import evaluating, forward
from oamip_model.training.objective import check_loss, image_weights, losses, mean_loss
from oamip_model.training.recipe import MOMENTUM, Recipe

_EVALUATED = 2000
"""Images at a time, where no gradient is needed."""


class Trainer:
    """A training of ``module`` in place, one epoch at a time, in a ``with`` block.

    The module is on the recipe's device inside the block. Afterwards it is on its own device again,
    in eval mode. Errors are those of :func:`~.loop.train`.

    Parameters
    ----------
    module : torch.nn.Module
        The module.
    images, labels : array
        As for :func:`~.loop.train`.
    recipe : Recipe
        Settings of the training.

    Attributes
    ----------
    held : int
        Number of images held out for early stopping.
    x, y, held_x, held_y : Tensor
        The images and labels for training, and those held out, on the device.
    """

    def __init__(
        self,
        module: nn.Module,
        images: ArrayLike,
        labels: ArrayLike,
        recipe: Recipe,
        weights: ArrayLike | None = None,
    ) -> None:
        self.module, self.recipe = module, recipe
        self.device = torch_device(recipe.device)
        self.images = check_pixels(images)
        if recipe.augment == "crop-flip" and self.images.ndim != 4:
            raise InputError(f"augment: crop-flip takes images (n, channels, height, width), got {self.images.shape}")
        with evaluating(module), torch.no_grad():
            classes = forward(module, self.images[:1]).shape[1]
        self.labels = check_labels(labels, classes)
        if len(self.labels) != len(self.images):
            raise InputError(
                f"labels: {len(self.labels)} labels for {len(self.images)} images, one label an image is needed"
            )
        check_loss(recipe.loss, classes, self.labels)
        self.weights = image_weights(self.labels, classes, recipe.loss, recipe.class_weights, weights)
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        if not self.parameters:
            raise InputError("module: it has no parameters to train")
        self.home = self.parameters[0].device
        self.held = round(recipe.held_out * len(self.images)) if recipe.early_stop is not None else 0
        if recipe.early_stop is not None and not 0 < self.held < len(self.images):
            raise InputError(
                f"held_out: {recipe.held_out:g} of {len(self.images)} images is {self.held}, accepted are shares that "
                "leave images on both sides"
            )
        self.epochs = 0

    def __enter__(self) -> Trainer:
        self.module.to(self.device).train()
        x = torch.as_tensor(self.images, dtype=self.parameters[0].dtype, device=self.device)
        y = torch.as_tensor(self.labels, device=self.device)
        # Its own stream, so that the order of the images is the same with and without a held-out part of that size.
        apart = np.random.default_rng([self.recipe.seed, 1]).permutation(len(x)) if self.held else np.arange(len(x))
        rows = torch.as_tensor(apart, device=self.device)
        weights = np.ones(len(x)) if self.weights is None else self.weights
        w = torch.as_tensor(weights, dtype=x.dtype, device=self.device)
        self.held_x, self.held_y, self.held_w = (part[rows[: self.held]] for part in (x, y, w))
        self.x, self.y, self.w = (part[rows[self.held :]] for part in (x, y, w)) if self.held else (x, y, w)
        self.optimizer = _optimizer(self.recipe, self.parameters)
        self.order = torch.Generator().manual_seed(self.recipe.seed)
        steps = self.recipe.epochs * len(self._batches(torch.arange(len(self.x))))
        self.schedule = (
            torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=steps)
            if self.recipe.schedule == "cosine"
            else None
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.module.to(self.home).eval()

    def epoch(self) -> float:
        """The mean loss over one more pass over all images, in a new order.

        Each batch is followed by a step.

        Raises OamipError where the loss or a weight is no longer finite.
        """
        self.epochs += 1
        self.module.train()
        total = torch.zeros((), device=self.device)
        # Seeded in each epoch, so that nothing done between epochs changes the training.
        state = np.random.SeedSequence([self.recipe.seed, self.epochs]).generate_state(1, np.uint64)
        with seeded(int(state[0] >> 1), self.device), threads(self.recipe.threads):
            for batch in self._batches(torch.randperm(len(self.x), generator=self.order)):
                rows = batch.to(self.device)
                images = self.x[rows]
                if self.recipe.augment == "crop-flip":
                    images = crop_and_flip(images)
                loss = self.loss(images, self.y[rows], None if self.weights is None else self.w[rows])
                self.optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.step()
                if self.schedule is not None:
                    self.schedule.step()
                total += loss.detach() * len(rows)
        mean = float(total) / len(self.x)
        if not (math.isfinite(mean) and all(bool(p.isfinite().all()) for p in self.parameters)):
            what = f"the loss ({mean}) or a weight is NaN or infinite in epoch {self.epochs}"
            raise OamipError(f"training: {what}; try a learning_rate below {self.recipe.learning_rate}")
        return mean

    def loss(self, images: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """What a step lowers, for one batch: the mean of the weighted losses."""
        return mean_loss(self.recipe.loss, self.module(images), labels, weights)

    def held_out_loss(self) -> float:
        """The mean of the weighted losses on the images held out, in eval mode."""
        parts = zip(*(torch.split(part, _EVALUATED) for part in (self.held_x, self.held_y, self.held_w)), strict=True)
        with evaluating(self.module), torch.no_grad(), threads(self.recipe.threads):
            sums = [(losses(self.recipe.loss, self.module(x), y).double() * w).sum() for x, y, w in parts]
        return float(torch.stack(sums).sum()) / self.held

    def _batches(self, order: torch.Tensor) -> list[torch.Tensor]:
        batches = list(torch.split(order, self.recipe.batch_size))
        if len(batches) > 1 and len(batches[-1]) == 1:
            # Batch norm has no variance of a single image.
            batches[-2:] = [torch.cat(batches[-2:])]
        return batches


def _optimizer(recipe: Recipe, parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, weight_decay=decay)
    if recipe.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    momentum = MOMENTUM if recipe.momentum is None else recipe.momentum
    return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=momentum, nesterov=recipe.nesterov)
