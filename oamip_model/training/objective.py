"""What a training lowers: a weighted loss of each image."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from oamip_model.data.weights import by_class as class_weights
from oamip_model.data.weights import check_weights, mean_one
from oamip_model.errors import InputError
from oamip_model.training.recipe import ClassWeights, TrainingLoss


def mean_loss(name: TrainingLoss, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
    """The mean of the losses, each times its image's weight where there are any."""
    if weights is None and name == "cross-entropy":
        return nn.functional.cross_entropy(logits, labels)
    found = losses(name, logits, labels)
    return found.mean() if weights is None else (found * weights).mean()


def losses(name: TrainingLoss, logits: Tensor, labels: Tensor) -> Tensor:
    """The loss of each image, (n,), from logits (n, classes) and labels (n,).

    Examples
    --------
    >>> import torch
    >>> losses("squared", torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 3.0])).tolist()
    [1.0, 0.0]
    """
    if name == "logistic":
        return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.to(logits), reduction="none")
    if name == "squared":
        return (logits[:, 0] - labels.to(logits)).square()
    return nn.functional.cross_entropy(logits, labels, reduction="none")


def check_loss(name: TrainingLoss, classes: int, labels: NDArray[np.int64]) -> None:
    """Raise InputError where the loss does not fit the logits or the labels."""
    if (classes == 1) != (name != "cross-entropy"):
        fits = "logistic (labels 0 and 1) and squared (a regression)" if classes == 1 else "cross-entropy"
        raise InputError(f"loss: got {name!r}, but the module has {classes} logits; accepted are {fits}")
    wrong = (labels != 0) & (labels != 1)
    if name == "logistic" and wrong.any():
        first = int(np.argmax(wrong))
        raise InputError(f"labels: label {first} is {labels[first].item()}, accepted with the loss logistic: 0 and 1")


def image_weights(
    labels: NDArray[np.int64], classes: int, loss: TrainingLoss, by_class: ClassWeights, by_image: ArrayLike | None
) -> NDArray[np.float64] | None:
    """The weight of each image, (n,), with mean 1 (mathematics:weights-1).

    It is None where all count alike. A network with one logit and the loss logistic has two classes.

    Raises InputError for weights that do not fit, are negative or not finite, or are all 0.

    Examples
    --------
    >>> image_weights(np.array([0, 0, 0, 1]), 2, "cross-entropy", "balanced", None).round(3).tolist()
    [0.667, 0.667, 0.667, 2.0]
    """
    found = np.ones(len(labels)) if by_image is None else check_weights(by_image, len(labels))
    if by_class is not None:
        found = found * class_weights(labels, 1 if loss == "squared" else max(classes, 2), by_class)
    return mean_one(check_weights(found, len(labels)))
