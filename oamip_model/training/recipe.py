"""The settings of a training, checked once, and those of the published runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypedDict, get_args

from oamip_model.errors import InputError

Optimizer: TypeAlias = Literal["rmsprop", "adam", "sgd"]
Schedule: TypeAlias = Literal["constant", "cosine"]
Augment: TypeAlias = Literal["none", "crop-flip"]
TrainingLoss: TypeAlias = Literal["cross-entropy", "logistic", "squared"]
ClassWeights: TypeAlias = "tuple[float, ...] | Literal['balanced'] | None"
LOSSES: tuple[str, ...] = get_args(TrainingLoss)
MOMENTUM = 0.9
"""Of "sgd", where nothing else is asked for."""


class Options(TypedDict, total=False):
    """The fields of :class:`Recipe` as keywords, each of which may be left out."""

    epochs: int
    batch_size: int
    learning_rate: float
    optimizer: Optimizer
    momentum: float | None
    nesterov: bool
    weight_decay: float
    schedule: Schedule
    augment: Augment
    early_stop: int | None
    held_out: float
    seed: int
    device: str
    threads: int | None
    loss: TrainingLoss
    class_weights: ClassWeights


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    epochs : int, default 15
        Passes over the images.
    batch_size : int, default 128
        Images of one step.
    learning_rate : float, default 1e-3
        Learning rate at the start.
    optimizer : {"rmsprop", "adam", "sgd"}, default "rmsprop"
        The first two have torch's settings.
    momentum : float, optional
        Momentum of "sgd", which is 0.9 where none is given.
    nesterov : bool, default False
        Whether the momentum of "sgd" is Nesterov's.
    weight_decay : float, default 0.0
        L2 penalty of the weights.
    schedule : {"constant", "cosine"}, default "constant"
        With "cosine" the learning rate falls to 0 along half a cosine over all batches of all epochs.
    augment : {"none", "crop-flip"}, default "none"
        "crop-flip" moves each image by up to 4 pixels each way, with zeros at the border. It also
        mirrors half of them left to right. Each epoch draws other moves.
    early_stop : int, optional
        Stop once the loss on held-out images has not fallen for this many epochs, and keep the weights
        from the epoch where it was lowest. None takes all epochs, on all images.
    held_out : float, default 0.1
        Share of the images that early stopping draws by the seed, and that are not trained on.
    seed : int, default 0
        Seed of the order of the images, of augmentation and of dropout. The same seed on the same
        device, with the same number of threads, gives the same weights. The global random state is left
        as it is.
    device : str, default "cpu"
        "cpu", "cuda" (or "cuda:1" and so on), or "auto", which is cuda where there is one.
    threads : int, optional
        Threads of torch for this training; None leaves torch's setting. Small networks train as fast on
        1, and far faster where other programs keep the cores busy.
    loss : {"cross-entropy", "logistic", "squared"}, default "cross-entropy"
        What is lowered. A module with one logit takes "logistic" (labels 0 and 1) or "squared" (a
        regression, labels any numbers).
    class_weights : tuple of float or "balanced", optional
        Weight of each class in the loss. "balanced" gives every class the same weight in all.

    Raises
    ------
    InputError
        For anything out of range, and for settings of "sgd" with another optimizer.

    Examples
    --------
    >>> Recipe(**PUBLISHED["fashion-mnist"])
    Recipe(epochs=30, batch_size=128, learning_rate=0.001, optimizer='rmsprop', momentum=None, ...)
    """

    epochs: int = 15
    batch_size: int = 128
    learning_rate: float = 1e-3
    optimizer: Optimizer = "rmsprop"
    momentum: float | None = None
    nesterov: bool = False
    weight_decay: float = 0.0
    schedule: Schedule = "constant"
    augment: Augment = "none"
    early_stop: int | None = None
    held_out: float = 0.1
    seed: int = 0
    device: str = "cpu"
    threads: int | None = None
    loss: TrainingLoss = "cross-entropy"
    class_weights: ClassWeights = None

    def __post_init__(self) -> None:
        whole = "an integer of at least 1"
        sgd = self.optimizer == "sgd"
        checks: tuple[tuple[str, bool, str], ...] = (
            ("epochs", _whole(self.epochs), whole),
            ("batch_size", _whole(self.batch_size), whole),
            ("learning_rate", _number(self.learning_rate) and 0 < self.learning_rate < math.inf, "a number above 0"),
            ("optimizer", self.optimizer in get_args(Optimizer), ", ".join(get_args(Optimizer))),
            ("momentum", self.momentum is None or (sgd and _number(self.momentum) and 0 <= self.momentum < 1),
             "a number from 0 to below 1, with the optimizer sgd"),
            ("nesterov", self.nesterov is False or (self.nesterov is True and sgd and self.momentum != 0),
             "True or False, True with the optimizer sgd and a momentum"),
            ("weight_decay", _number(self.weight_decay) and 0 <= self.weight_decay < math.inf,
             "a number of at least 0"),
            ("schedule", self.schedule in get_args(Schedule), ", ".join(get_args(Schedule))),
            ("augment", self.augment in get_args(Augment), ", ".join(get_args(Augment))),
            ("early_stop", self.early_stop is None or _whole(self.early_stop), f"{whole}, or None"),
            ("held_out", _number(self.held_out) and 0 < self.held_out < 1, "a share above 0 and below 1"),
            ("threads", self.threads is None or _whole(self.threads), f"{whole}, or None"),
            ("loss", self.loss in LOSSES, ", ".join(LOSSES)),
            ("class_weights", self.class_weights in (None, "balanced") or _weights(self.class_weights),
             "balanced, or a tuple of finite numbers from 0, one a class"),
            ("seed", isinstance(self.seed, int) and 0 <= self.seed < 2**63, "an integer from 0 to 2**63 - 1"),
        )  # fmt: skip
        for name, valid, accepted in checks:
            if not valid:
                raise InputError(f"{name}: got {getattr(self, name)!r}, accepted is {accepted}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _weights(value: object) -> bool:
    return isinstance(value, tuple) and all(_number(v) and 0 <= v < math.inf for v in value) and any(value)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


PUBLISHED: dict[str, Options] = {
    "mnist": {"optimizer": "rmsprop", "learning_rate": 1e-3, "batch_size": 128, "epochs": 30},
    "fashion-mnist": {"optimizer": "rmsprop", "learning_rate": 1e-3, "batch_size": 128, "epochs": 30},
    "lenet5-cifar-10": {
        "optimizer": "sgd", "learning_rate": 1e-2, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4,
        "epochs": 256, "augment": "crop-flip",
    },
    "vgg16-cifar-10": {"optimizer": "sgd", "learning_rate": 1e-1, "epochs": 30},
}  # fmt: skip
"""Settings of the authors' public scripts by data set; what these do not say (batches on CIFAR-10) is ours."""
