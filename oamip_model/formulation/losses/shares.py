"""The weights of images in a loss."""

from __future__ import annotations

from numpy.typing import ArrayLike

from oamip_model.data.weights import check_weights, mean_one
from oamip_model.errors import InputError
from oamip_model.formulation.losses import loss_named
from oamip_model.network.maps import Array


def image_shares(weights: ArrayLike | None, count: int, loss: str) -> Array | None:
    """The weights of images with mean 1, None where all count alike.

    Raises InputError where they do not fit, or the loss is no term of the objective.
    """
    shares = None if weights is None else mean_one(check_weights(weights, count))
    if shares is not None and not loss_named(loss).weighted:
        raise InputError(f"weights: the loss {loss} holds every image by rows, and has no use for weights of images")
    return shares
