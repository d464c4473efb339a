"""Bounds by integer programming, over the ReLU states before a layer.

Each unstable pre-activation is minimised and maximised.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.bounds import Bounds, Cutoff
from oamip_model.bounds.crown import gains
from oamip_model.clock import Deadline
from oamip_model.errors import InputError, SolverError
from oamip_model.formulation.arrange import arrange
from oamip_model.formulation.gates import LOWEST, gate_named
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.solving.protocol import (
    DEFAULT_FEASIBILITY,
    Arrays,
    Backend,
    Capability,
    Options,
    Status,
    append_rows,
)
from oamip_model.solving.registry import get_backend, solve_once
from oamip_model.tightening.climb import Programs, climb
from oamip_model.tightening.limit import Limit, limited, unreachable
from oamip_model.tightening.relaxation import Relaxation, cut_behind, relaxation, widened, with_columns

_GAP = 1e-4
"""Relative gap at which one bound is settled: its dual bound holds anyhow."""


def mip_bounds(
    network: Network,
    images: Array,
    start: Bounds,
    *,
    solver: str = "highs",
    jobs: int = 1,
    time_limit: float | None = None,
    solve_limit: float | None = None,
    cutoff: Cutoff | None = None,
) -> Bounds:
    """Bounds over an integer program of earlier layers, no looser than ``start``.

    The program is that of :func:`integer_program`. Layer by layer and image by image, each open
    ReLU is minimised and maximised until its sign is decided. The side nearer 0 comes first. The
    bound is the solver's dual bound, widened by what its tolerances may hide.

    Parameters
    ----------
    network : Network
        The network.
    images : array
        Images (n, *input_shape).
    start : Bounds
        Bounds of the same network and images, for every score and without a box.
    solver : str, default "highs"
        A solver that gives dual bounds.
    jobs : int, default 1
        Processes, each of which takes whole images.
    time_limit : float, optional
        Seconds, of which each image has its share, and each solve its share of the rest. Bounds
        that are not reached are those of ``start``.
    solve_limit : float, optional
        Seconds of one solve at most.
    cutoff : Cutoff, optional
        An objective up to which the bounds need to hold. Each program then limits the sparsity by
        the cutoff less the least losses (:func:`oamip_model.tightening.limit.limited`).

    Returns
    -------
    Bounds
        Bounds of every layer.

    Raises
    ------
    InputError
        For bounds of another kind, for a solver without dual bounds, and where no scores have an
        objective as low as the cutoff.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> parts = [torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU()]
    >>> parts += [torch.nn.Linear(8, 8), torch.nn.ReLU(), torch.nn.Linear(8, 2)]
    >>> network = om.read_network(torch.nn.Sequential(*parts).eval())
    >>> images = np.random.default_rng(0).normal(size=(1, 3))
    >>> lp = om.compute_bounds(network, images, "lp")
    >>> bool((mip_bounds(network, images, lp).upper[2] < lp.upper[2]).any())
    True
    """
    if Capability.DUAL_BOUND not in get_backend(solver).capabilities:
        raise InputError(f"solver: {solver} tells no dual bound where it stops early, which mip needs")
    last = len(network.layers) - 1
    worth = [k < last and gains(network, k) for k in range(last + 1)]
    programs = Programs("mip", worth, partial(_optimised, solver=solver, solve_limit=solve_limit), unstable=True)
    return climb(network, images, start, programs, jobs=jobs, time_limit=time_limit, cutoff=cutoff)


def integer_program(network: Network, image: Array, bounds: Bounds, sound: Bounds, layer: int) -> Relaxation:
    """The program before a layer for one image, with a binary state of each open ReLU.

    See mathematics:bounds-5. Its points hold the graphs of both sound gates at every score in [0,
    1], so that its bounds are valid for either. A state z is the sign of the pre-activation a
    itself, which no score moves:

        h >= 0,  h >= a - (1 - s) M,  h <= U s,  h <= U z,  h <= a - L (1 - z)

    Where a <= 0 both gates pass 0, which z = 0 allows. Where a >= 0, ``subtractive`` passes max(0,
    a - (1 - s) M), and ``switch`` passes s a, which is no less since M >= U >= a. Both are allowed
    by z = 1, since s a <= min(a, U s). At scores of 0 and 1 the rows leave exactly the
    activation. The rows of :func:`relaxation`, its triangle too, follow by eliminating z. Pooling
    choices are binary as well. Columns are those of the relaxation, then z.

    Parameters
    ----------
    network : Network
        The network.
    image : array
        One image (1, *input_shape).
    bounds, sound : Bounds
        Bounds so far, and interval bounds, of this image.
    layer : int
        The layer.

    Returns
    -------
    Relaxation
        The program, whose targets are the layer's pre-activations.
    """
    program = relaxation(network, image, bounds, sound, layer)
    layout = arrange(*cut_behind(network, image, bounds, sound, layer), gate_named(LOWEST))
    g, old = layout.gated, program.arrays
    at = np.flatnonzero(g.lower < 0)
    count, width = len(at), len(old.cost)
    a, h = program.scores + g.pre[at], program.scores + len(layout.pre) + g.act[at]
    z, row = width + np.arange(count), np.arange(count)
    one = np.ones(count)
    below = _matrix([(h, one), (z, -g.upper[at])], row, width + count)
    above = _matrix([(h, one), (a, -one), (z, -g.lower[at])], row, width + count)
    integral = np.zeros(width + count, dtype=bool)
    integral[width - len(layout.choice) :] = True
    wide = with_columns(old, np.zeros(count), np.ones(count))
    endless = np.full(count, -np.inf)
    arrays = append_rows(wide, below, endless, np.zeros(count))
    arrays = append_rows(arrays, above, endless, -g.lower[at])
    targets = replace(program.targets, matrix=widened(program.targets.matrix, width + count))
    return Relaxation(replace(arrays, integral=integral), targets, program.scores)


def _optimised(
    network: Network,
    image: Array,
    bounds: Bounds,
    sound: Bounds,
    k: int,
    at: NDArray[np.int64],
    limit: Limit | None,
    deadline: Deadline,
    *,
    solver: str,
    solve_limit: float | None,
) -> tuple[Array, Array]:
    """The least and most of pre-activations ``at`` of layer k, infinite where the time did not suffice."""
    least, most = np.full(len(at), -np.inf), np.full(len(at), np.inf)
    program = limited(integer_program(network, image, bounds, sound, k), network, limit)
    if not program.arrays.is_mip:
        # No state is open before this layer, so the program would be the relaxation.
        return least, most
    backend = get_backend(solver)
    targets = program.targets.take(at)
    relu = network.layers[k].activation == "relu"
    for row, i in enumerate(at.tolist()):
        low, high = float(bounds.lower[k][0, i]), float(bounds.upper[k][0, i])
        aimed = _aimed_at(program.arrays, targets.matrix[[row]], float(targets.constant[row]), low, high)
        for side in (1, -1) if -low < high else (-1, 1):
            left = deadline.left()
            if left == 0:
                return least, most
            solves = 2 * (len(at) - row)
            limits = [t for t in (solve_limit, None if left is None else left / solves) if t is not None]
            found = _extreme(backend, aimed, side, relu, min(limits) if limits else None, limit)
            if side == 1:
                least[row] = found
            else:
                most[row] = -found
            if relu and found >= 0:
                break
    return least, most


def _aimed_at(arrays: Arrays, target: sp.csr_array, constant: float, low: float, high: float) -> Arrays:
    """The program with one more column, the last, that equals ``target`` @ columns + constant, in [low, high]."""
    aimed = with_columns(arrays, np.array([low]), np.array([high]))
    row = sp.csr_array(sp.hstack([-target, sp.csr_array([[1.0]])], format="csr"))
    cost = np.zeros(len(aimed.cost))
    cost[-1] = 1.0
    return append_rows(replace(aimed, cost=cost), row, np.array([constant]), np.array([constant]))


def _extreme(
    backend: Backend, aimed: Arrays, side: int, relu: bool, seconds: float | None, limit: Limit | None
) -> float:
    """A lower bound of ``side`` times the last column, -inf without one.

    It may be 0 as soon as the bound is above 0. Before a ReLU the program excludes points whose
    sign is decided. Where there are no others the solver calls it infeasible, which decides the
    sign without the bound itself.
    """
    slack = DEFAULT_FEASIBILITY * (1.0 + float((aimed.upper - aimed.lower).sum()))
    lower, upper = aimed.lower.copy(), aimed.upper.copy()
    if relu:
        lower[-1], upper[-1] = (lower[-1], min(upper[-1], slack)) if side == 1 else (max(lower[-1], -slack), upper[-1])
    asked = replace(aimed, cost=side * aimed.cost, lower=lower, upper=upper)
    solution = solve_once(backend, asked, Options(time_limit=seconds, gap=_GAP))
    if solution.interrupted:
        raise KeyboardInterrupt
    if solution.status is Status.INFEASIBLE and not relu and limit is not None:
        raise unreachable(limit.cutoff)
    if solution.status is Status.ERROR or (solution.status is Status.INFEASIBLE and not relu):
        raise SolverError(f"{solution.solver}: a program of bounds ended as {solution.status}: {solution.message}")
    if solution.status is Status.INFEASIBLE:
        return 0.0
    return -np.inf if solution.bound is None else solution.bound - slack - DEFAULT_FEASIBILITY * abs(solution.bound)


def _matrix(pieces: list[tuple[NDArray[np.int64], Array]], row: NDArray[np.int64], width: int) -> sp.csr_array:
    columns, values = (np.concatenate(parts) for parts in zip(*pieces, strict=True))
    return sp.csr_array((values, (np.tile(row, len(pieces)), columns)), shape=(len(row), width))
