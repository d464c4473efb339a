"""Heads of decoupled subproblems: small classifiers on one layer.

They are trained on its representation, with the network frozen.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from oamip_model.clock import tick

_RATE = 1e-3
_BATCH = 128
_EPOCHS = 5
_STEPS = 1000


@dataclass(frozen=True)
class LinearHead:
    """One affine map from a representation to logits.

    Parameters
    ----------
    weight : Tensor
        (classes, units, positions).
    bias : Tensor
        (classes,).
    accuracy : float
        Share of the training images that it classifies correctly. It may be compared with the
        network's own.
    epochs : int
        Times that it saw each of them.
    """

    weight: Tensor
    bias: Tensor
    accuracy: float
    epochs: int


def train_linear_head(
    features: Tensor,
    labels: NDArray[np.int64],
    classes: int,
    *,
    epochs: int | None = None,
    seed: int = 0,
    weights: NDArray[np.float64] | None = None,
) -> LinearHead:
    """A linear head, trained by Adam on cross-entropy.

    Features have the shape (n, units, positions) and labels (n,). By default there are 5 epochs, or
    as many as 1,000 steps take, so that few images are seen more often than many. During training
    the features are divided by their root mean square, so that one step size suits all layers. The
    returned head has the scale in its weights. ``weights`` (n,) are of the images, with mean 1.
    """
    flat = features.flatten(1)
    count, device = len(flat), flat.device
    rounds = max(_EPOCHS, -(-_STEPS // -(-count // _BATCH))) if epochs is None else epochs
    norm = float(torch.linalg.vector_norm(flat, dtype=torch.float64))
    scale = (count * flat.shape[1]) ** 0.5 / norm if norm > 0 else 1.0
    draw = torch.Generator().manual_seed(seed)
    weight = torch.zeros((classes, flat.shape[1]), dtype=flat.dtype, device=device, requires_grad=True)
    bias = torch.zeros(classes, dtype=flat.dtype, device=device, requires_grad=True)
    optimiser = torch.optim.Adam([weight, bias], lr=_RATE)
    targets = torch.as_tensor(labels, device=device)
    shares = None if weights is None else torch.as_tensor(weights, dtype=flat.dtype, device=device)
    for epoch in range(rounds):
        tick(f"training a head, epoch {epoch + 1} of {rounds}")
        for rows in torch.split(torch.randperm(count, generator=draw).to(device), _BATCH):
            optimiser.zero_grad()
            logits = F.linear(flat[rows] * scale, weight, bias)
            if shares is None:
                loss = F.cross_entropy(logits, targets[rows])
            else:
                loss = (F.cross_entropy(logits, targets[rows], reduction="none") * shares[rows]).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    final = weight.detach() * scale
    right = int((F.linear(flat, final, bias.detach()).argmax(dim=1) == targets).sum())
    return LinearHead(final.reshape(classes, *features.shape[1:]), bias.detach(), right / count, rounds)
