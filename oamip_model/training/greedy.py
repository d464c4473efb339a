"""Decoupled greedy training, in which no gradient passes a layer.

Each hidden layer learns from a small classifier of its own.

Source: Belilovsky, Eickenberg, Oyallon, *Decoupled Greedy Learning of CNNs*, arXiv 1901.08164 (2019).
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Unpack

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from oamip_model.clock import tick
from oamip_model.data.given import AnyImages, as_arrays, weights_of
from oamip_model.errors import InputError, OamipError
from oamip_model.training.evaluate import accuracy, evaluating
from oamip_model.training.loop import Progress
from oamip_model.training.objective import mean_loss
from oamip_model.training.recipe import Options, Recipe
from oamip_model.training.trainer import Trainer

CHANNELS = 16
"""Filters of the 1x1 convolution of an auxiliary classifier."""
HIDDEN = 32
"""Hidden neurons of an auxiliary classifier."""
_EVALUATED = 2000
"""Images at a time, where no gradient is needed."""


@dataclass(frozen=True, eq=False)
class GreedyResult:
    """The result of a decoupled greedy training, with its classifiers.

    Parameters
    ----------
    heads : dict of str to torch.nn.Sequential
        The classifier of each hidden layer, in eval mode. It takes the output of the ReLU after the
        layer.
    losses : tuple of float
        Mean cross-entropy of each epoch, summed over all classifiers and the network.
    accuracy : float
        Accuracy of the network on the training images.
    head_accuracy : dict of str to float
        Accuracy of each classifier on the training images.
    recipe : Recipe
        Settings, seed and epochs.
    seconds : float
        Wall clock.
    device : str
        The device that it ran on.
    """

    heads: dict[str, nn.Sequential]
    losses: tuple[float, ...]
    accuracy: float
    head_accuracy: dict[str, float]
    recipe: Recipe
    seconds: float
    device: str


def auxiliary_classifier(shape: Sequence[int], classes: int, seed: int = 0) -> nn.Sequential:
    """An untrained classifier of representations of one ``shape``.

    It is in eval mode. For (channels, height, width) it pools averages to a quarter of each side,
    rounded up. A 1x1 convolution, batch norm and ReLU follow. Then averages are pooled to 2x2 at
    most, before a dense layer, batch norm, ReLU and a dense layer. For (features,) it is a dense
    layer, ReLU and a dense layer. Its sizes, 16 filters and 32 hidden neurons, are small, because
    every ReLU in it is a binary variable of a program for each image.

    Parameters
    ----------
    shape : tuple of int
        (channels, height, width) or (features,).
    classes : int
        Number of logits.
    seed : int, default 0
        Seed of the initial weights.

    Returns
    -------
    torch.nn.Sequential
        A module that gives logits (n, classes).

    Examples
    --------
    >>> [type(part).__name__ for part in auxiliary_classifier((100,), 10)]
    ['Linear', 'ReLU', 'Linear']
    >>> auxiliary_classifier((6, 24, 24), 10)(torch.zeros(2, 6, 24, 24)).shape
    torch.Size([2, 10])
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        if len(shape) != 3:
            layers: list[tuple[str, nn.Module]] = [] if len(shape) == 1 else [("flatten", nn.Flatten())]
            layers += [("fc1", nn.Linear(math.prod(shape), HIDDEN)), ("relu1", nn.ReLU())]
            return nn.Sequential(OrderedDict([*layers, ("fc2", nn.Linear(HIDDEN, classes))])).eval()
        channels, *sides = shape
        quarter = [-(-side // 4) for side in sides]
        last = [min(2, side) for side in quarter]
        return nn.Sequential(
            OrderedDict(
                pool1=nn.AdaptiveAvgPool2d((quarter[0], quarter[1])),
                conv1=nn.Conv2d(channels, CHANNELS, 1),
                norm1=nn.BatchNorm2d(CHANNELS),
                relu1=nn.ReLU(),
                pool2=nn.AdaptiveAvgPool2d((last[0], last[1])),
                flatten=nn.Flatten(),
                fc1=nn.Linear(CHANNELS * math.prod(last), HIDDEN),
                norm2=nn.BatchNorm1d(HIDDEN),
                relu2=nn.ReLU(),
                fc2=nn.Linear(HIDDEN, classes),
            )
        ).eval()


def train_greedy(
    module: nn.Module,
    images: AnyImages,
    labels: ArrayLike | None = None,
    *,
    progress: Progress | None = None,
    **options: Unpack[Options],
) -> GreedyResult:
    """Train ``module`` in place, each layer with a classifier of its own.

    The module is cut after each ReLU. Each part but the last has an :func:`auxiliary_classifier` on
    its
    output. Part and classifier learn from that classifier's cross-entropy, and the next part takes the
    output as given. All layers are trained at the same time. So a layer's representation is made for
    its classifier, and ``om.score(..., om.Forward(head="auxiliary", heads=result.heads))`` can score the
    layer by it.

    Parameters
    ----------
    module : torch.nn.Module
        An nn.Sequential, or one of others.
    images : array_like, Dataset, torch Dataset or DataLoader
        Images (n, ...) as the module takes them; all but an array carry their labels.
    labels : array_like of int, optional
        Labels (n,) from 0 to classes - 1, of images that are given as an array.
    progress : callable, optional
        Called after each epoch with the epochs done and the sum of all losses.
    **options
        Settings of :func:`oamip_model.train`, without early stopping.

    Returns
    -------
    GreedyResult
        The classifiers, losses and accuracies.

    Raises
    ------
    InputError
        For anything out of range, or a module that is no chain.
    OamipError
        Where a loss is no longer a number; the module then has the weights from before.

    Examples
    --------
    >>> import oamip_model as om
    >>> data = om.load_dataset()
    >>> module = om.make_network("dense-32-16")
    >>> result = om.train_greedy(module, data.images, data.labels, epochs=5, threads=1)
    >>> list(result.heads), result.accuracy > 0.5
    (['fc1', 'fc2'], True)
    """
    recipe = Recipe(**options)
    if recipe.early_stop is not None:
        raise InputError("early_stop: the parts of a greedy training have no loss in common, leave it out")
    if recipe.loss != "cross-entropy":
        raise InputError(f"loss: got {recipe.loss!r}, the classifiers of a greedy training take cross-entropy")
    names, parts = _parts(module)
    trainer = _Greedy(module, parts, *as_arrays(images, labels), recipe, weights_of(images))
    started = time.perf_counter()
    before = {name: value.detach().clone() for name, value in module.state_dict().items()}
    losses: list[float] = []
    try:
        with trainer:
            for epoch in range(1, recipe.epochs + 1):
                tick(f"epoch {epoch} of {recipe.epochs}")
                losses.append(trainer.epoch())
                if progress is not None:
                    progress(epoch, losses[-1])
            right = trainer.head_accuracy()
    except OamipError:
        module.load_state_dict(before)
        raise
    seconds = time.perf_counter() - started
    return GreedyResult(
        dict(zip(names, trainer.heads, strict=True)), tuple(losses), accuracy(module, trainer.images, trainer.labels),
        dict(zip(names, right, strict=True)), recipe, seconds, str(trainer.device),
    )  # fmt: skip


class _Chain(nn.Module):
    """The parts one after the other, which is the network, and their classifiers beside them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.heads = network, nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)  # type: ignore[no-any-return]


class _Greedy(Trainer):
    """A training of network and classifiers in which each part has a loss of its own."""

    def __init__(
        self,
        network: nn.Module,
        parts: list[nn.Sequential],
        images: ArrayLike,
        labels: ArrayLike,
        recipe: Recipe,
        weights: ArrayLike | None = None,
    ) -> None:
        self.parts, chain = parts, _Chain(network)
        super().__init__(chain, images, labels, recipe, weights)
        like = self.parameters[0]
        x = torch.as_tensor(self.images[:1], dtype=like.dtype, device=like.device)
        with evaluating(network), torch.no_grad():
            classes = network(x).shape[1]
            for number, part in enumerate(parts[:-1]):
                x = part(x)
                chain.heads.append(auxiliary_classifier(x.shape[1:], classes, (recipe.seed + 1 + number) % 2**63))
        chain.heads.to(like.device, like.dtype)
        self.heads: list[nn.Sequential] = [head for head in chain.heads if isinstance(head, nn.Sequential)]
        self.parameters = [p for p in chain.parameters() if p.requires_grad]

    def loss(self, images: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        """The cross-entropies of the classifiers and of the network, added up.

        No gradient passes from one part to another. So in each part the gradient of the sum is that
        of its own loss.
        """
        total = torch.zeros((), device=images.device, dtype=images.dtype)
        for part, head in zip(self.parts[:-1], self.heads, strict=True):
            h = part(images)
            total = total + mean_loss("cross-entropy", head(h), labels, weights)
            images = h.detach()
        return total + mean_loss("cross-entropy", self.parts[-1](images), labels, weights)

    def head_accuracy(self) -> list[float]:
        """Share of the images that each classifier is right about."""
        right = [0] * len(self.heads)
        with evaluating(self.module), torch.no_grad():
            for h, labels in zip(torch.split(self.x, _EVALUATED), torch.split(self.y, _EVALUATED), strict=True):
                for number, (part, head) in enumerate(zip(self.parts[:-1], self.heads, strict=True)):
                    h = part(h)
                    right[number] += int((head(h).argmax(dim=1) == labels).sum())
        return [count / len(self.x) for count in right]


def _parts(module: nn.Module) -> tuple[list[str], list[nn.Sequential]]:
    """The module cut after each ReLU, and the name of the last layer with weights in each part but the last."""
    if not isinstance(module, nn.Sequential):
        raise InputError(f"module: got a {type(module).__name__}, accepted is an nn.Sequential: a chain of layers")
    names: list[str] = []
    parts: list[list[nn.Module]] = [[]]
    name = ""
    for path, layer in _leaves(module, ""):
        parts[-1].append(layer)
        if isinstance(layer, nn.Linear | nn.Conv2d):
            name = path
        if isinstance(layer, nn.ReLU):
            if not name:
                raise InputError(f"module: no layer with weights comes before the ReLU {path}")
            names.append(name)
            parts.append([])
            name = ""
    if not names or not any(True for layer in parts[-1] for _ in layer.parameters()):
        raise InputError("module: a hidden layer with a ReLU is needed, and an output layer behind the last ReLU")
    return names, [nn.Sequential(*part) for part in parts]


def _leaves(module: nn.Sequential, prefix: str) -> list[tuple[str, nn.Module]]:
    found: list[tuple[str, nn.Module]] = []
    for name, part in module.named_children():
        nested = isinstance(part, nn.Sequential)
        found += _leaves(part, f"{prefix}{name}.") if nested else [(f"{prefix}{name}", part)]  # type: ignore[arg-type]
    return found
