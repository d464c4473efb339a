"""Auxiliary heads: small classifiers on one layer's representation.

They are trained (mathematics:layer-3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from oamip_model.clock import tick
from oamip_model.network import Network, read_network
from oamip_model.network.maps import Array
from oamip_model.torchnet.layers import TorchLayers
from oamip_model.training import auxiliary_classifier, train
from oamip_model.training.evaluate import accuracy

_EPOCHS = 5
_STEPS = 1000
_BATCH = 128


@dataclass(frozen=True, eq=False)
class AuxiliaryHead:
    """A classifier of one layer's representation, as plain data.

    It was replayed against the module that was trained.

    Parameters
    ----------
    network : Network
        The classifier.
    accuracy : float
        Share of the images that it classifies correctly.
    epochs, seed : int
        Those of its training, with 0 epochs where it was given.
    features : int
        Activations of the representation of one image.
    """

    network: Network
    accuracy: float
    epochs: int
    seed: int
    features: int


def train_auxiliary_head(
    layers: TorchLayers,
    images: Array,
    labels: NDArray[np.int64],
    group: int,
    keep: Mapping[int, Tensor],
    *,
    epochs: int | None = None,
    seed: int = 0,
    weights: Array | None = None,
) -> AuxiliaryHead:
    """A small classifier of a score group's last layer, trained by Adam.

    It is an :func:`~oamip_model.training.auxiliary_classifier`. The network itself is not trained.
    The first pooling of the classifier of a convolution is computed once. So the memory for an
    image is a sixteenth of its representation. ``keep`` has the masks of the groups that were cut
    before, by index. By default there are 5 epochs, or as many as 1,000 steps take.
    ``weights`` (n,) are those of the images.
    """
    k = layers.network.groups[group].layers[-1]
    shape = layers.network.layers[k].shape
    module = auxiliary_classifier(shape, layers.network.classes, seed)
    first, rest = (module[:1], module[1:]) if len(shape) == 3 else (nn.Sequential(), module)
    parts = []
    with torch.no_grad():
        for _, x in layers.batches(images, layers.batch_size(k)):
            parts.append(first(layers.output(x, keep, k)).double().cpu().numpy())
    seen = np.concatenate(parts)
    rounds = max(_EPOCHS, -(-_STEPS // -(-len(seen) // _BATCH))) if epochs is None else epochs
    result = train(
        rest, seen, labels, weights=weights,
        epochs=rounds, batch_size=_BATCH, optimizer="adam", seed=seed, device=str(layers.device),
        progress=lambda epoch, _: tick(f"training a head, epoch {epoch} of {rounds}"),
    )  # fmt: skip
    return AuxiliaryHead(read_network(module, shape), result.accuracy, rounds, seed, int(np.prod(shape)))


def given_head(
    head: Network,
    layers: TorchLayers,
    images: Array,
    labels: NDArray[np.int64],
    group: int,
    keep: Mapping[int, Tensor],
    seed: int,
) -> AuxiliaryHead:
    """A head that was trained before, with its accuracy on these images."""
    k = layers.network.groups[group].layers[-1]
    right = 0.0
    with torch.no_grad():
        for part, x in layers.batches(images, layers.batch_size(k)):
            r = layers.output(x, keep, k).double().cpu().numpy()
            right += accuracy(head, r, labels[part]) * len(r)
    return AuxiliaryHead(head, right / len(images), 0, seed, int(np.prod(layers.network.layers[k].shape)))
