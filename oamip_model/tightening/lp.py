"""Bounds by linear programming, over the relaxation before a layer.

Each open pre-activation is minimised and maximised.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from oamip_model.bounds import Bounds, Cutoff
from oamip_model.bounds.crown import gains
from oamip_model.bounds.interval import OUTWARD
from oamip_model.clock import Deadline
from oamip_model.errors import InputError, SolverError
from oamip_model.formulation.arrange import arrange
from oamip_model.formulation.gates import LOWEST, gate_named
from oamip_model.formulation.layout import Expressions
from oamip_model.network.maps import Array
from oamip_model.network.types import Network
from oamip_model.solving.protocol import Options, Status
from oamip_model.solving.registry import get_backend, open_cost_session
from oamip_model.tightening.climb import Programs, climb
from oamip_model.tightening.limit import Limit, limited, unreachable
from oamip_model.tightening.relaxation import Relaxation, assembled, cut_behind, relaxation


def lp_bounds(
    network: Network,
    images: Array,
    start: Bounds,
    *,
    solver: str = "highs",
    jobs: int = 1,
    time_limit: float | None = None,
    cutoff: Cutoff | None = None,
) -> Bounds:
    """Bounds over the network's linear relaxation, never looser than ``start``.

    The relaxation is that of the scored network (mathematics:bounds-4). Layer by layer, open
    pre-activations are minimised and maximised over
    :func:`oamip_model.tightening.relaxation.relaxation`, with the bounds so far. There is one model
    for each layer and image, of which only the costs change. Each bound is the weak-duality bound
    of the solver's row duals, so it holds however accurate they are.

    Parameters
    ----------
    network : Network
        The network.
    images : array
        Images (n, *input_shape).
    start : Bounds
        Bounds of the same network and images, for every score and without a box.
    solver : str, default "highs"
        A solver that gives duals.
    jobs : int, default 1
        Processes, each of which takes whole images.
    time_limit : float, optional
        Seconds, of which each image has its share. Bounds that are not reached are those of
        ``start``.
    cutoff : Cutoff, optional
        An objective up to which the bounds need to hold. Then each program has the whole network
        and the rows of :func:`oamip_model.tightening.limit.limited`.

    Returns
    -------
    Bounds
        Bounds of every layer.

    Raises
    ------
    InputError
        For bounds of another kind, for a solver without duals, and where no scores have an
        objective as low as the cutoff.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> parts = [torch.nn.Conv2d(1, 3, 2), torch.nn.ReLU(), torch.nn.Conv2d(3, 3, 2), torch.nn.ReLU()]
    >>> module = torch.nn.Sequential(*parts, torch.nn.Flatten(), torch.nn.Linear(12, 2)).eval()
    >>> network = om.read_network(module, (1, 4, 4))
    >>> images = np.random.default_rng(0).normal(size=(1, 1, 4, 4))
    >>> crown = om.compute_bounds(network, images, "crown")
    >>> lp = lp_bounds(network, images, crown)
    >>> bool((lp.upper[2] < crown.upper[2]).any())
    True
    """
    get_backend(solver)
    free = cutoff is None
    worth = [gains(network, k) and not (free and crown_suffices(network, k)) for k in range(len(network.layers))]
    programs = Programs("lp", worth, partial(_optimised, solver=solver))
    return climb(network, images, start, programs, jobs=jobs, time_limit=time_limit, cutoff=cutoff)


def crown_suffices(network: Network, k: int) -> bool:
    """Whether crown bounds of layer k are the relaxation's optima already.

    Then no program need be solved. This is the case where every ReLU before it carries a score of
    its own, one for each activation, and no layer pools maxima. A score that nothing else shares is
    1 wherever the target gains from its unit, and 0 wherever it loses. With s = 1 the unit passes
    on the most that its envelope allows, which is the one function that crown substitutes. With s =
    0 it passes on nothing, which is the other.

    Parameters
    ----------
    network : Network
        The network.
    k : int
        The layer.

    Returns
    -------
    bool
        Whether programs would find nothing better.
    """
    before = network.layers[:k]
    single = {number for number, group in enumerate(network.groups) if len(group.layers) == 1}
    return all(
        layer.activation == "none"
        or (layer.activation == "relu" and layer.group in single and layer.size == network.groups[layer.group].size)
        for layer in before
    )


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
) -> tuple[Array, Array]:
    """The certified least and most of pre-activations ``at`` of layer k, infinite where the time did not suffice."""
    least, most = np.full(len(at), -np.inf), np.full(len(at), np.inf)
    if limit is None:
        program = relaxation(network, image, bounds, sound, k)
        targets = program.targets.take(at)
        if targets.matrix.nnz == 0 or targets.matrix.indices.max() < program.scores:
            # The targets are linear in the scores alone. Their box gives these bounds, and the rows do not cut it.
            return least, most
    else:
        program = limited_relaxation(network, image, bounds, sound, k, at, limit)
        targets = program.targets
    backend = get_backend(solver)
    with closing(open_cost_session(backend, program.arrays, Options(threads=1, seed=None))) as session:
        for row in np.flatnonzero(targets.counts()).tolist():
            cost = targets.matrix[[row]].toarray()[0]
            for sign, found in ((1.0, least), (-1.0, most)):
                left = deadline.left()
                if left == 0:
                    return least, most
                session.set_cost(sign * cost)
                solution = session.solve(time_limit=left)
                if solution.interrupted:
                    raise KeyboardInterrupt
                if solution.status is Status.INFEASIBLE and limit is not None:
                    raise unreachable(limit.cutoff)
                if solution.status is Status.INFEASIBLE or solution.status is Status.ERROR:
                    raise SolverError(f"{solution.solver}: a relaxation ended as {solution.status}: {solution.message}")
                if solution.status is not Status.OPTIMAL:
                    continue
                if solution.row_duals is None and solution.solver != backend.name:
                    continue  # another solver contradicted a false claim of this one
                if solution.row_duals is None:
                    raise InputError(f"solver: {solution.solver} gives no duals of linear programs, which lp needs")
                if not solution.certified:
                    continue  # these duals prove nothing
                assert solution.bound is not None
                value = solution.bound
                constant = targets.constant[row]
                value -= OUTWARD * (abs(value) + abs(constant))
                found[row] = sign * (value + sign * constant)
    return least, most


def limited_relaxation(
    network: Network, image: Array, bounds: Bounds, sound: Bounds, k: int, at: NDArray[np.int64], limit: Limit
) -> Relaxation:
    """The relaxation with the rows of a limit, for some pre-activations.

    Before a ReLU layer, and before the logits, it has the whole network, so that the loss counts. A
    pre-activation without a variable there is a target without terms, and gets no program. For
    other layers it has the layers before.

    Parameters
    ----------
    network : Network
        The network.
    image : array
        One image (1, *input_shape).
    bounds, sound : Bounds
        Bounds so far, and interval bounds, of this image.
    k : int
        The layer.
    at : array of int
        Its pre-activations that are the targets.
    limit : Limit
        The limit of the image.

    Returns
    -------
    Relaxation
        A program with the targets (at,).
    """
    last = len(network.layers) - 1
    if k < last and network.layers[k].activation != "relu":
        behind = relaxation(network, image, bounds, sound, k)
        return limited(replace(behind, targets=behind.targets.take(at)), network, limit)
    layout = arrange(*cut_behind(network, image, bounds, sound, last), gate_named(LOWEST))
    program = assembled(layout)
    logits = program.targets
    if k == last:
        return limited(replace(program, targets=logits.take(at)), network, limit, logits)
    name = network.layers[k].name
    column = {layout.pre[p][2]: program.scores + p for p in layout.gated.pre.tolist() if layout.pre[p][1] == name}
    found = np.array([column.get(i, -1) for i in at.tolist()])
    rows = np.flatnonzero(found >= 0)
    shape = (len(at), len(program.arrays.cost))
    matrix = sp.csr_array((np.ones(len(rows)), (rows, found[rows])), shape=shape)
    targets = Expressions(matrix, np.zeros(len(at)))
    return limited(replace(program, targets=targets), network, limit, logits)
