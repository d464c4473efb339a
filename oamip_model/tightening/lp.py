"""Bounds by linear programming: each open pre-activation minimised and maximised over the relaxation before it."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import replace

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from oamip_model.bounds import Bounds, interval_bounds
from oamip_model.bounds.crown import gains
from oamip_model.bounds.interval import OUTWARD, affine_interval
from oamip_model.bounds.report import Deadline, layer_report
from oamip_model.errors import InputError, SolverError
from oamip_model.network.ops import Array
from oamip_model.network.types import IMAGE, Layer, Network
from oamip_model.solving.protocol import Arrays, Options, Status
from oamip_model.solving.registry import get_backend, open_cost_session
from oamip_model.tightening.relaxation import relaxation


def lp_bounds(
    network: Network,
    images: Array,
    start: Bounds,
    *,
    solver: str = "highs",
    jobs: int = 1,
    time_limit: float | None = None,
) -> Bounds:
    """Bounds over the linear relaxation of the scored network (FORMULATION.md 4), never looser than ``start``.

    images: (n, *input_shape); start: bounds of the same network and images, for every score and without a box. Layer by
    layer, what is open is minimised and maximised over :func:`oamip_model.tightening.relaxation.relaxation` with the
    bounds found so far, one model for each layer and image of which only the costs change. Each bound is the
    weak-duality bound of the solver's row duals, evaluated here, so it holds however accurate they are.

    jobs: processes, each of which takes whole images; time_limit: seconds, of which each image has its share; what is
    not reached keeps ``start``. Raises InputError for bounds of another kind and for a solver without duals.

    Example:
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
    if start.validity != "every score" or start.epsilon != 0:
        raise InputError(
            "bounds: lp holds for every score of a network without a box around the images; for the trained network,"
            " and with a box, accepted are interval, crown"
        )
    x = network.check_images(images)
    start.check_fit(network, x, "every score", 0.0)
    get_backend(solver)
    sound = interval_bounds(network, x)
    share = None if time_limit is None else time_limit * min(jobs, len(x)) / len(x)
    tasks = [(x[i : i + 1], _of_image(start, i), _of_image(sound, i)) for i in range(len(x))]
    idle = all(crown_suffices(network, k) or not gains(network, k) for k in range(len(network.layers)))
    if idle or jobs == 1 or len(x) == 1:
        done = [tighten_image(network, *task, solver, share) for task in tasks]
    else:
        done = Parallel(n_jobs=min(jobs, len(x)))(delayed(tighten_image)(network, *t, solver, share) for t in tasks)
    sides = [
        [np.concatenate(rows) for rows in zip(*(found[side] for found, _ in done), strict=True)] for side in range(4)
    ]
    lower, upper, out_lower, out_upper = (tuple(side) for side in sides)
    spent = np.sum([seconds for _, seconds in done], axis=0)
    reports = tuple(
        layer_report("lp", layer.name, (start.lower[k], start.upper[k]), (lower[k], upper[k]), float(spent[k]))
        for k, layer in enumerate(network.layers)
        if layer.activation == "relu"
    )
    return replace(
        start, lower=lower, upper=upper, output_lower=out_lower, output_upper=out_upper, method="lp",
        reports=start.reports + reports,
    )  # fmt: skip


def _of_image(bounds: Bounds, i: int) -> Bounds:
    sides = ("lower", "upper", "output_lower", "output_upper")
    cut = {side: tuple(array[i : i + 1] for array in getattr(bounds, side)) for side in sides}
    return replace(bounds, **cut, reports=())  # type: ignore[arg-type]


def tighten_image(
    network: Network, image: Array, start: Bounds, sound: Bounds, solver: str, time_limit: float | None
) -> tuple[tuple[list[Array], ...], list[float]]:
    """Bounds (L, U, and those of the outputs) of every layer for one image (1, *input_shape), and seconds by layer."""
    deadline = Deadline(time_limit)
    sides = (list(start.lower), list(start.upper), list(start.output_lower), list(start.output_upper))
    names = ("lower", "upper", "output_lower", "output_upper")
    seconds: list[float] = []
    for k, layer in enumerate(network.layers):
        began = time.perf_counter()
        low, high = _propagated(layer, k, image, sides)
        worth = gains(network, k) and not crown_suffices(network, k)
        at = np.flatnonzero(_open(layer, sound, k, low[0], high[0])) if worth else np.zeros(0, np.int64)
        if len(at) and not deadline.over():
            now = replace(start, **{name: tuple(side) for name, side in zip(names, sides, strict=True)})  # type: ignore[arg-type]
            least, most = _optimised(network, image, now, sound, k, at, solver, deadline)
            low[0, at], high[0, at] = np.maximum(low[0, at], least), np.minimum(high[0, at], most)
        sides[0][k], sides[1][k] = low, high
        out = [layer.activate(side.reshape(1, *layer.pre_shape)).reshape(1, -1) for side in (low, high)]
        sides[2][k], sides[3][k] = np.maximum(sides[2][k], np.minimum(out[0], sides[3][k])), out[1]
        if layer.group is not None:
            sides[2][k] = np.zeros_like(low)
        seconds.append(time.perf_counter() - began)
    return sides, seconds


def crown_suffices(network: Network, k: int) -> bool:
    """Whether crown bounds of layer k are the optima of the relaxation already, so that no program need be solved.

    So it is where every ReLU before it carries scores of its own, one for each activation, and no layer pools maxima.
    A score that nothing else shares is 1 wherever the target gains from its unit and 0 wherever it loses, so that the
    unit passes on either the most that its envelope allows at s = 1, which is the one function that crown substitutes,
    or nothing, which is the other.
    """
    before = network.layers[:k]
    single = {number for number, group in enumerate(network.groups) if len(group.layers) == 1}
    return all(
        layer.activation == "none"
        or (layer.activation == "relu" and layer.group in single and layer.size == network.groups[layer.group].size)
        for layer in before
    )


def _propagated(layer: Layer, k: int, image: Array, sides: tuple[list[Array], ...]) -> tuple[Array, Array]:
    """Bounds of layer k so far, met with the interval of what the layers before it pass on now."""
    before_low, before_high = sides[0][k], sides[1][k]
    ins = [(image, image) if t.source == IMAGE else (sides[2][t.source], sides[3][t.source]) for t in layer.terms]
    low, high = (side.reshape(1, -1) for side in affine_interval(layer, ins))
    known = before_low == before_high
    low = np.where(known, before_low, np.maximum(low, before_low))
    return low, np.where(known, before_high, np.minimum(high, before_high))


def _open(layer: Layer, sound: Bounds, k: int, low: Array, high: Array) -> NDArray[np.bool_]:
    """Which pre-activations of a layer are worth bounding again; a scored ReLU keeps its rows where it is on."""
    todo = (sound.lower[k][0] < sound.upper[k][0]) & (low < high)
    if layer.activation == "relu":
        todo &= (high > 0) & ((layer.group is not None) | (low < 0))
    return np.asarray(todo)


def _optimised(
    network: Network,
    image: Array,
    bounds: Bounds,
    sound: Bounds,
    k: int,
    at: NDArray[np.int64],
    solver: str,
    deadline: Deadline,
) -> tuple[Array, Array]:
    """The certified least and most of pre-activations ``at`` of layer k, infinite where the time did not suffice."""
    least, most = np.full(len(at), -np.inf), np.full(len(at), np.inf)
    program = relaxation(network, image, bounds, sound, k)
    targets = program.targets.take(at)
    if targets.matrix.nnz == 0 or targets.matrix.indices.max() < program.scores:
        # Linear in the scores alone: their box gives these bounds, and nothing in the rows cuts it.
        return least, most
    backend = get_backend(solver)
    with closing(open_cost_session(backend, program.arrays, Options(threads=1, seed=None))) as session:
        for row in range(len(at)):
            cost = targets.matrix[[row]].toarray()[0]
            for sign, found in ((1.0, least), (-1.0, most)):
                left = deadline.left()
                if left == 0:
                    return least, most
                session.set_cost(sign * cost)
                solution = session.solve(time_limit=left)
                if solution.status is Status.INFEASIBLE or solution.status is Status.ERROR:
                    raise SolverError(f"{solution.solver}: a relaxation ended as {solution.status}: {solution.message}")
                if solution.status is not Status.OPTIMAL:
                    continue
                if solution.row_duals is None:
                    raise InputError(f"solver: {solution.solver} gives no duals of linear programs, which lp needs")
                value = certified(replace(program.arrays, cost=sign * cost), solution.row_duals)
                constant = targets.constant[row]
                value -= OUTWARD * (abs(value) + abs(constant))
                found[row] = sign * (value + sign * constant)
    return least, most


def certified(arrays: Arrays, duals: Array) -> float:
    """A lower bound of the linear program ``arrays`` (a minimisation) that holds for any row duals (rows,).

    Weak duality: cost @ x = (cost - matrix.T @ y) @ x + y @ (matrix @ x), the first part at least its least value over
    the columns' box, the second at least y times the row bound on the side of y's sign; a y that points to a side
    without a bound counts as 0. Rounding is covered by a share of the magnitudes that are summed. Every column must be
    bounded.

    Example:
        >>> from scipy.sparse import csr_array
        >>> row, cost, zero = csr_array([[1.0, 1.0]]), np.array([1.0, 2.0]), np.zeros(2)
        >>> arrays = Arrays(row, cost, zero, np.ones(2), np.array([1.5]), np.array([np.inf]), np.zeros(2, bool))
        >>> [round(certified(arrays, np.array([y])), 6) for y in (2.0, 1.0, 0.5)]
        [2.0, 1.5, 0.75]
    """
    y = np.where(np.isfinite(np.where(duals > 0, arrays.row_lower, arrays.row_upper)), duals, 0.0)
    side = np.where(y > 0, arrays.row_lower, np.where(y < 0, arrays.row_upper, 0.0))
    reduced = arrays.cost - arrays.matrix.T @ y
    value = float(y @ side) + float(np.minimum(reduced * arrays.lower, reduced * arrays.upper).sum())
    most = np.maximum(np.abs(arrays.lower), np.abs(arrays.upper))
    size = np.abs(y) @ np.abs(side) + np.abs(arrays.cost) @ most + np.abs(y) @ (abs(arrays.matrix) @ most)
    return value - OUTWARD * float(size)
