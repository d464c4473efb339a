"""What a module or network says about images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from oamip_model.data import Replays, check_labels, check_pixels
from oamip_model.data.given import AnyImages, as_arrays
from oamip_model.errors import InputError

Array: TypeAlias = NDArray[np.float64]


def logits(network: nn.Module | Replays, images: ArrayLike, batch_size: int = 2000) -> Array:
    """The logits of images, in double precision.

    Parameters
    ----------
    network : Network or torch.nn.Module
        A module runs in eval mode, in its own precision and on its own device. Its mode is restored
        afterwards.
    images : array
        Images (n, ...).
    batch_size : int, default 2000
        Images of one batch.

    Returns
    -------
    array
        Logits (n, classes).

    Raises
    ------
    InputError
        Where the network cannot take images of this shape.

    Examples
    --------
    >>> import numpy as np, oamip_model as om
    >>> logits(om.make_network("fc3"), np.zeros((4, 1, 28, 28))).shape
    (4, 10)
    """
    _whole("batch_size", batch_size)
    pixels = check_pixels(images)
    batches = [pixels[start : start + batch_size] for start in range(0, len(pixels), batch_size)]
    if isinstance(network, nn.Module):
        with evaluating(network), torch.inference_mode():
            return np.concatenate([forward(network, batch).double().cpu().numpy() for batch in batches])
    if not hasattr(network, "replay"):
        raise InputError(f"network: got a {type(network).__name__}, accepted are a torch module and a Network")
    return np.concatenate([network.replay(batch) for batch in batches])


def accuracy(
    network: nn.Module | Replays, images: AnyImages, labels: ArrayLike | None = None, batch_size: int = 2000
) -> float:
    """The share of images whose largest logit is that of their label.

    A single logit is above 0 for label 1.

    Parameters
    ----------
    network : torch.nn.Module or Network
        A module, or an object with a ``replay`` method.
    images : array_like, Dataset, torch Dataset or DataLoader
        Images (n, ...); all but an array carry their labels.
    labels : array_like of int, optional
        Labels (n,) of images that are given as an array.
    batch_size : int, default 2000
        Number of images that are classified at a time.

    Returns
    -------
    float
        A share from 0 to 1.

    Raises
    ------
    InputError
        Where images, labels and network do not fit together, or a logit is NaN or infinite.

    Examples
    --------
    >>> import oamip_model as om
    >>> data = om.load_dataset(split="test")
    >>> 0 <= om.accuracy(om.make_network("fc3"), data) < 0.3
    True
    """
    pixels, given = as_arrays(images, labels)
    outputs = logits(network, pixels, batch_size)
    marks = check_labels(given, outputs.shape[1])
    if len(marks) != len(outputs):
        raise InputError(f"labels: {len(marks)} labels for {len(outputs)} images, one label an image is needed")
    if not np.isfinite(outputs).all():
        raise InputError("network: its logits are not finite, so there is no largest one")
    if outputs.shape[1] == 1:
        if ((marks != 0) & (marks != 1)).any():
            raise InputError("labels: with one logit the share that is right needs labels 0 and 1")
        return float(((outputs[:, 0] > 0) == (marks > 0)).mean())
    return float((outputs.argmax(axis=1) == marks).mean())


def forward(module: nn.Module, batch: Array | torch.Tensor) -> torch.Tensor:
    """The module's output (n, classes) on one batch.

    The batch is taken to the module's precision and device.

    Raises InputError where the module cannot take this shape, or gives anything but (n, classes).
    """
    like = next((p for p in module.parameters() if p.is_floating_point()), torch.zeros(0))
    x = torch.as_tensor(batch, dtype=like.dtype, device=like.device)
    try:
        outputs = module(x)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, torch.OutOfMemoryError):
            raise
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"images: the module cannot take shape (n, {_sizes(x)}): {reason}") from error
    if not isinstance(outputs, torch.Tensor) or outputs.ndim != 2 or len(outputs) != len(x):
        found = f"shape {tuple(outputs.shape)}" if isinstance(outputs, torch.Tensor) else f"a {type(outputs).__name__}"
        raise InputError(f"network: the module gives {found} for {len(x)} images, accepted is (n, classes)")
    return outputs


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Put every part of the module in eval mode for the block.

    After it each part has the mode that it had before.
    """
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _sizes(x: torch.Tensor) -> str:
    return ", ".join(str(size) for size in x.shape[1:])


def _whole(name: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name}: got {value!r}, accepted is an integer of at least 1")
