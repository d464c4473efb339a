"""Bounds by the name of a method."""

from __future__ import annotations

from numpy.typing import ArrayLike

from oamip_model.bounds.crown import crown_bounds
from oamip_model.bounds.interval import interval_bounds
from oamip_model.bounds.types import Bounds, Validity
from oamip_model.clock import Deadline, within
from oamip_model.errors import InputError
from oamip_model.network.types import Network

BOUND_METHODS = ("interval", "crown")


def compute_bounds(
    network: Network,
    images: ArrayLike,
    method: str = "interval",
    *,
    validity: Validity = "every score",
    epsilon: float = 0.0,
    time_limit: float | None = None,
) -> Bounds:
    """Bounds of every pre-activation for the images, by "interval" or "crown".

    The images have the shape (n, *input_shape).

    Arguments are those of :func:`oamip_model.bounds.crown_bounds`. Raises InputError for an unknown method, and
    TimeIsUp where the time does not suffice for intervals.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module)
    >>> compute_bounds(network, np.zeros((4, 2))).upper[1].shape
    (4, 2)
    """
    if method not in BOUND_METHODS:
        raise InputError(
            f"bounds: got {method!r}, accepted are {', '.join(BOUND_METHODS)}, or what om.compute_bounds made"
        )
    if method == "crown":
        return crown_bounds(network, images, validity=validity, epsilon=epsilon, time_limit=time_limit)
    with within(Deadline(time_limit)):
        return interval_bounds(network, images, validity=validity, epsilon=epsilon)
