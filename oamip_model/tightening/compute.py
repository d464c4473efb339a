"""Bounds by the name of a method, along the ladder interval, crown, lp, mip."""

from __future__ import annotations

from numpy.typing import ArrayLike

from oamip_model import bounds as propagation
from oamip_model.bounds import Bounds, Cutoff, Validity
from oamip_model.clock import Deadline, within
from oamip_model.data import check_labels
from oamip_model.data.given import AnyImages, pixels_of
from oamip_model.errors import InputError
from oamip_model.formulation import Formulation
from oamip_model.network.types import Network
from oamip_model.tightening.lp import lp_bounds
from oamip_model.tightening.methods import BOUND_METHODS, Tightening, as_tightening
from oamip_model.tightening.mip import mip_bounds


def compute_bounds(
    network: Network,
    images: AnyImages,
    method: str | Tightening = "interval",
    *,
    validity: Validity = "every score",
    epsilon: float = 0.0,
    cutoff: Cutoff | None = None,
) -> Bounds:
    """Bounds of every pre-activation for the images, by one of BOUND_METHODS.

    Each method starts from the one before it and is nowhere looser.

    Parameters
    ----------
    network : Network
        The network.
    images : array, Dataset, torch Dataset or DataLoader
        Images of shape ``(n, *input_shape)``. Labels are not used.
    method : str or Tightening, default "interval"
        "interval", "crown", "lp" or "mip", or an object with limits and a solver.
    validity : {"every score", "trained network"}, default "every score"
        The first is for the sound gates, the second for the authors' gate.
    epsilon : float, default 0.0
        Half width of the box around each pixel.
    cutoff : Cutoff, optional
        With "lp" and "mip", the objective of scores that are known. The bounds then hold only for
        scores whose objective is no larger. They may be far tighter, and fit that objective's program
        alone.

    Returns
    -------
    Bounds
        Bounds of every layer, whose ``reports`` say what each method decided.

    Raises
    ------
    InputError
        For whatever does not fit, and where no scores have an objective as low as the cutoff.

    See Also
    --------
    oamip_model.bounds.interval_bounds : Interval arithmetic.
    oamip_model.bounds.crown_bounds : Linear bounds that are propagated backwards.
    oamip_model.tightening.lp_bounds : A linear program for each side of each pre-activation.
    oamip_model.tightening.mip_bounds : A mixed-integer program for each of them.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
    >>> network = om.read_network(module)
    >>> compute_bounds(network, np.zeros((4, 2)), "lp").upper[1].shape
    (4, 2)
    >>> found = compute_bounds(network, np.zeros((4, 2)), "lp", cutoff=om.Cutoff(5.0, [0, 1, 0, 1]))
    >>> found.cutoff.objective
    5.0
    """
    asked = as_tightening(method)
    name, limit = asked.method, asked.time_limit
    pixels = pixels_of(images)
    if cutoff is not None:
        _check_cutoff(network, pixels, name, cutoff)
    with within(Deadline(limit)) as deadline:
        if name in propagation.BOUND_METHODS:
            return propagation.compute_bounds(
                network, pixels, name, validity=validity, epsilon=epsilon, time_limit=limit
            )
        # Intervals may take all of the time, as nothing begins without them. The methods after them share what is left.
        found = propagation.interval_bounds(network, pixels, validity=validity, epsilon=epsilon)
        share = _share(deadline, 3 if name == "mip" else 2)
        found = propagation.crown_bounds(
            network, pixels, validity=validity, epsilon=epsilon, time_limit=share, base=found
        )
        x, solver, jobs = network.check_images(pixels), asked.solver, asked.jobs
        share = _share(deadline, 2 if name == "mip" else 1)
        found = lp_bounds(network, x, found, solver=solver, jobs=jobs, time_limit=share, cutoff=cutoff)
        if name == "lp":
            return found
        return mip_bounds(
            network, x, found, solver=solver, jobs=jobs, time_limit=deadline.left(), solve_limit=asked.solve_limit,
            cutoff=cutoff,
        )  # fmt: skip


def _share(deadline: Deadline, methods: int) -> float | None:
    """The seconds that one of so many methods gets, None where there is no limit."""
    left = deadline.left()
    return None if left is None else left / methods


def _check_cutoff(network: Network, images: ArrayLike, method: str, cutoff: object) -> None:
    if not isinstance(cutoff, Cutoff):
        raise InputError(f"cutoff: got {cutoff!r}, accepted is an om.Cutoff")
    if method in propagation.BOUND_METHODS:
        raise InputError(f"cutoff: got {cutoff.objective:g}, but the method {method} has no use for it: accepted with"
                         f" {', '.join(m for m in BOUND_METHODS if m not in propagation.BOUND_METHODS)}")  # fmt: skip
    Formulation(loss=cutoff.loss, sparsity=cutoff.sparsity, weight=cutoff.weight, margin=cutoff.margin)
    labels = check_labels(cutoff.labels, network.classes)
    count = len(network.check_images(images))
    if len(labels) != count:
        raise InputError(f"cutoff: got {len(labels)} labels for {count} images")
