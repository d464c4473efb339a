"""Training a classifier: seeded, and quick for small networks on few cores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from numpy.typing import ArrayLike
from torch import nn

from oamip_model.data import check_labels, check_pixels
from oamip_model.errors import InputError, OamipError
from oamip_model.training.evaluate import accuracy, evaluating, forward

Optimizer: TypeAlias = Literal["rmsprop", "adam", "sgd"]
OPTIMIZERS = ("rmsprop", "adam", "sgd")
MOMENTUM = 0.9
"""Of "sgd"."""


@dataclass(frozen=True)
class TrainingResult:
    """How a training went.

    losses: mean cross-entropy of each epoch, over its batches as they were met; accuracy: on the training images, at
    the end; seconds: wall clock; device: where it ran.
    """

    losses: tuple[float, ...]
    accuracy: float
    seconds: float
    device: str


def train(
    module: nn.Module,
    images: ArrayLike,
    labels: ArrayLike,
    *,
    epochs: int = 15,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    optimizer: Optimizer = "rmsprop",
    weight_decay: float = 0.0,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> TrainingResult:
    """The losses, accuracy and time of a training that minimises the cross-entropy; ``module`` is trained in place.

    images: (n, ...) as the module takes them; labels: (n,) from 0 to classes - 1
    optimizer: "rmsprop" or "adam" with torch's settings, "sgd" with momentum 0.9; weight_decay: its L2 penalty
    seed: of the order of the images, and of dropout; the same seed on the same device, with the same number of threads,
        gives the same weights. The global random state is left as it is
    device: "cpu", "cuda" (or "cuda:1" and so on), or "auto" (cuda where there is one); the module goes back to where
        it was
    threads: of torch, for this training; None leaves torch's setting. Small networks train as fast on 1, and far
        faster where other programs keep the cores busy
    progress: called after each epoch with the number of epochs done and the epoch's loss

    Afterwards the module is in eval mode. Raises InputError for anything out of range, and OamipError where the loss is
    no longer a number; the module then has the weights from before.

    Example:
        >>> import oamip_model as om
        >>> data = om.load_dataset()
        >>> module = om.make_network("dense-32")
        >>> result = om.train(module, data.images, data.labels, epochs=2, threads=1)
        >>> len(result.losses), result.accuracy > 0.5, module.training
        (2, True, False)
    """
    target = torch_device(device)
    _check(epochs, batch_size, learning_rate, optimizer, weight_decay, seed, threads)
    pixels = check_pixels(images)
    with evaluating(module), torch.no_grad():
        classes = forward(module, pixels[:1]).shape[1]
    marks = check_labels(labels, classes)
    if len(marks) != len(pixels):
        raise InputError(f"labels: {len(marks)} labels for {len(pixels)} images, one label an image is needed")
    parameters = [p for p in module.parameters() if p.requires_grad]
    if not parameters:
        raise InputError("module: it has no parameters to train")

    started = time.perf_counter()
    home = parameters[0].device
    before = {name: value.detach().clone() for name, value in module.state_dict().items()}
    losses: list[float] = []
    try:
        module.to(target).train()
        x = torch.as_tensor(pixels, dtype=parameters[0].dtype, device=target)
        y = torch.as_tensor(marks, device=target)
        step = _optimizer(optimizer, module, learning_rate, weight_decay)
        with _seeded(seed, target), _threads(threads):
            order = torch.Generator().manual_seed(seed)
            for epoch in range(epochs):
                losses.append(_epoch(module, x, y, step, batch_size, order))
                if not (math.isfinite(losses[-1]) and all(bool(p.isfinite().all()) for p in parameters)):
                    module.load_state_dict(before)
                    what = f"the loss ({losses[-1]}) or a weight is NaN or infinite in epoch {epoch + 1}"
                    raise OamipError(f"training: {what}; try a learning_rate below {learning_rate}")
                if progress is not None:
                    progress(epoch + 1, losses[-1])
    finally:
        module.to(home).eval()
    seconds = time.perf_counter() - started
    return TrainingResult(tuple(losses), accuracy(module, pixels, marks), seconds, str(target))


def _epoch(
    module: nn.Module,
    x: torch.Tensor,
    y: torch.Tensor,
    step: torch.optim.Optimizer,
    batch_size: int,
    order: torch.Generator,
) -> float:
    """One pass over all images in a new order; the mean loss over them."""
    batches = list(torch.split(torch.randperm(len(x), generator=order), batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        # Batch norm has no variance of a single image.
        batches[-2:] = [torch.cat(batches[-2:])]
    total = torch.zeros((), device=x.device)
    for batch in batches:
        rows = batch.to(x.device)
        loss = nn.functional.cross_entropy(module(x[rows]), y[rows])
        step.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        step.step()
        total += loss.detach() * len(rows)
    return float(total) / len(x)


def _optimizer(name: Optimizer, module: nn.Module, rate: float, decay: float) -> torch.optim.Optimizer:
    parameters = [p for p in module.parameters() if p.requires_grad]
    if name == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=rate, weight_decay=decay)
    if name == "adam":
        return torch.optim.Adam(parameters, lr=rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(parameters, lr=rate, weight_decay=decay, momentum=MOMENTUM)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """torch's global generators seeded for the block (dropout uses them), and as they were after it."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(before if count is None else count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def torch_device(name: str) -> torch.device:
    """The device of that name, which is here. Raises InputError for any other than cpu, cuda, cuda:N and auto."""
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda", 0) if count else torch.device("cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        raise InputError(f"device: got {name!r}, accepted are cpu, cuda and auto") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device: got {name!r}, accepted are cpu, cuda and auto")
    if device.type == "cpu":
        return torch.device("cpu")
    if (device.index or 0) >= count:
        raise InputError(f"device: torch sees no {name} here, accepted are cpu and auto")
    return torch.device("cuda", device.index or 0)


def _check(
    epochs: int,
    batch_size: int,
    learning_rate: float,
    optimizer: str,
    weight_decay: float,
    seed: int,
    threads: int | None,
) -> None:
    checks = (
        ("epochs", epochs, isinstance(epochs, int) and epochs >= 1, "an integer of at least 1"),
        ("batch_size", batch_size, isinstance(batch_size, int) and batch_size >= 1, "an integer of at least 1"),
        ("learning_rate", learning_rate, 0 < learning_rate < math.inf, "a number above 0"),
        ("optimizer", optimizer, optimizer in OPTIMIZERS, ", ".join(OPTIMIZERS)),
        ("weight_decay", weight_decay, 0 <= weight_decay < math.inf, "a number of at least 0"),
        (
            "threads",
            threads,
            threads is None or (isinstance(threads, int) and threads >= 1),
            "an integer of at least 1",
        ),
        ("seed", seed, isinstance(seed, int) and 0 <= seed < 2**63, "an integer from 0 to 2**63 - 1"),
    )
    for name, given, valid, accepted in checks:
        if not valid:
            raise InputError(f"{name}: got {given!r}, accepted is {accepted}")
