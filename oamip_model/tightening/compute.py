"""Bounds by the name of a method, along the ladder interval, crown, lp, mip."""

from __future__ import annotations

import math
from numbers import Integral, Real

from numpy.typing import ArrayLike

from oamip_model import bounds as propagation
from oamip_model.bounds import Bounds, Validity
from oamip_model.errors import InputError
from oamip_model.network.types import Network
from oamip_model.tightening.lp import lp_bounds
from oamip_model.tightening.methods import BOUND_METHODS
from oamip_model.tightening.mip import mip_bounds


def compute_bounds(
    network: Network,
    images: ArrayLike,
    method: str = "interval",
    *,
    validity: Validity = "every score",
    epsilon: float = 0.0,
    time_limit: float | None = None,
    jobs: int = 1,
    solver: str = "highs",
    solve_limit: float | None = None,
) -> Bounds:
    """Bounds of every pre-activation for the images (n, *input_shape), by ``method``: one of BOUND_METHODS.

    Each method starts from the one before it and is nowhere looser; see :func:`oamip_model.bounds.interval_bounds`,
    :func:`oamip_model.bounds.crown_bounds`, :func:`oamip_model.tightening.lp_bounds` and
    :func:`oamip_model.tightening.mip_bounds`. The result's ``reports`` say what each decided.

    validity: "every score" for the gates subtractive and switch, "trained network" for the gate published; epsilon:
    half width of the box around each pixel; time_limit: seconds for each method after the interval, what is not reached
    keeps the bounds before; jobs, solver: processes and solver of "lp" and "mip"; solve_limit: seconds of each solve
    of "mip". Raises InputError for whatever does not fit.

    Example:
        >>> import numpy as np, torch, oamip_model as om
        >>> module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)).eval()
        >>> network = om.read_network(module)
        >>> compute_bounds(network, np.zeros((4, 2)), "lp").upper[1].shape
        (4, 2)
    """
    if method not in BOUND_METHODS:
        raise InputError(f"bounds: got {method!r}, accepted are {', '.join(BOUND_METHODS)}")
    if isinstance(jobs, bool) or not isinstance(jobs, Integral) or jobs < 1:
        raise InputError(f"jobs: got {jobs!r}, accepted is a number of processes >= 1")
    for name, limit in (("time_limit", time_limit), ("solve_limit", solve_limit)):
        if limit is not None and (not isinstance(limit, Real) or not 0 < float(limit) < math.inf):
            raise InputError(f"{name}: got {limit!r}, accepted is a number of seconds > 0")
    if solve_limit is not None and method != "mip":
        raise InputError(f"solve_limit: got {solve_limit!r}, but the method {method} has no use for it")
    before = method if method in propagation.BOUND_METHODS else "crown"
    found = propagation.compute_bounds(
        network, images, before, validity=validity, epsilon=epsilon, time_limit=time_limit
    )
    if method == before:
        return found
    x = network.check_images(images)
    found = lp_bounds(network, x, found, solver=solver, jobs=int(jobs), time_limit=time_limit)
    if method == "lp":
        return found
    return mip_bounds(network, x, found, solver=solver, jobs=int(jobs), time_limit=time_limit, solve_limit=solve_limit)
