"""What the methods of bounds that optimise have in common.

Images are spread over processes, and each is bounded layer by layer with the bounds so far.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

from oamip_model.bounds import Bounds, Cutoff, interval_bounds
from oamip_model.bounds.interval import affine_interval
from oamip_model.bounds.report import layer_report
from oamip_model.clock import Deadline, TimeIsUp, within
from oamip_model.errors import InputError, OamipError
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Layer, Network
from oamip_model.tightening.limit import Limit, limits_of, unreachable
from oamip_model.tightening.seen import seen

Optimise: TypeAlias = Callable[
    [Network, Array, Bounds, Bounds, int, NDArray[np.int64], Limit | None, Deadline], tuple[Array, Array]
]
"""(network, image, bounds so far, interval bounds, layer, which pre-activations, what a cutoff allows, deadline): the
least and the most of each, infinite where nothing was found."""


_SIDES = ("lower", "upper", "output_lower", "output_upper")


@dataclass(frozen=True)
class Programs:
    """The programs by which a method bounds pre-activations.

    Parameters
    ----------
    method : str
        Name of the method.
    worth : sequence of bool
        The layers whose pre-activations are optimised.
    optimise : callable
        Solves the programs of one layer.
    unstable : bool, default False
        Whether only ReLUs that are still open count, and not those that are on and keep rows.
    """

    method: str
    worth: Sequence[bool]
    optimise: Optimise
    unstable: bool = False


def climb(
    network: Network,
    images: Array,
    start: Bounds,
    programs: Programs,
    *,
    jobs: int,
    time_limit: float | None,
    cutoff: Cutoff | None = None,
) -> Bounds:
    """Bounds never looser than ``start``, by a method's programs.

    Parameters
    ----------
    network : Network
        The network.
    images : Array
        Images, (n, *input_shape).
    start : Bounds
        Bounds for every score, without a box around the images.
    programs : Programs
        The method's programs.
    jobs : int
        Processes, each of which takes whole images.
    time_limit : float or None
        Seconds, of which each image has its share.
    cutoff : Cutoff, optional
        An objective beyond which the bounds need not hold.

    Raises
    ------
    InputError
        Where ``start`` is of another kind or does not fit, and where no scores have an objective as
        low as the cutoff.
    """
    method, worth = programs.method, programs.worth
    if start.validity != "every score" or start.epsilon != 0:
        raise InputError(
            f"bounds: {method} holds for every score of a network without a box around the images; for the trained"
            " network, and with a box, accepted are interval, crown"
        )
    x, deadline = network.check_images(images), Deadline(time_limit)
    start.check_fit(network, x, "every score", 0.0)
    sound = start
    try:
        with within(deadline):
            if any(worth):
                sound = interval_bounds(network, x)
    except TimeIsUp:
        if time_limit is None:
            raise  # else the time is up, and no other bounds will be computed
    limits: Sequence[Limit | None] = [None] * len(x)
    if cutoff is not None:
        start, limits = replace(start, cutoff=cutoff), limits_of(network, x, start, cutoff)
    left = deadline.left()
    share = None if left is None else left * min(jobs, len(x)) / len(x)
    tasks = [(x[i : i + 1], _of_image(start, i), _of_image(sound, i), programs, limits[i], share)
             for i in range(len(x))]  # fmt: skip
    if not any(worth) or jobs == 1 or len(x) == 1:
        done = [tighten_image(network, *task) for task in tasks]
    else:
        found = Parallel(n_jobs=min(jobs, len(x)))(delayed(_attempt)(network, *task) for task in tasks)
        for result in found:
            if isinstance(result, OamipError):
                raise result
        done = found
    lower, upper, out_lower, out_upper = (
        tuple(
            _joined(before, rows)
            for before, *rows in zip(getattr(start, name), *(image[side] for image, _ in done), strict=True)
        )
        for side, name in enumerate(_SIDES)
    )
    spent = np.sum([seconds for _, seconds in done], axis=0)
    reports = tuple(
        layer_report(method, layer.name, (start.lower[k], start.upper[k]), (lower[k], upper[k]), float(spent[k]))
        for k, layer in enumerate(network.layers)
        if layer.activation == "relu"
    )
    return replace(
        start, lower=lower, upper=upper, output_lower=out_lower, output_upper=out_upper, method=method,
        reports=start.reports + reports,
    )  # fmt: skip


def _joined(before: Array, rows: Sequence[Array | None]) -> Array:
    """The bounds of all images, those before where none has others."""
    if all(row is None for row in rows):
        return before
    return np.concatenate([before[i : i + 1] if row is None else row for i, row in enumerate(rows)])


def _of_image(bounds: Bounds, i: int) -> Bounds:
    cut = {side: tuple(array[i : i + 1] for array in getattr(bounds, side)) for side in _SIDES}
    return replace(bounds, **cut, reports=())  # type: ignore[arg-type]


def _attempt(*task: Any) -> Any:
    """:func:`tighten_image`, its error as the result: one that leaves a worker makes joblib warn as well."""
    try:
        return tighten_image(*task)
    except OamipError as error:
        return error


def tighten_image(
    network: Network,
    image: Array,
    start: Bounds,
    sound: Bounds,
    programs: Programs,
    limit: Limit | None,
    time_limit: float | None,
) -> tuple[tuple[list[Array | None], ...], list[float]]:
    """Bounds of every layer for one image, and seconds by layer.

    Bounds are L, U, and those of the outputs, None where they stayed the same. The image has the shape
    (1, *input_shape).
    """
    deadline = Deadline(time_limit)
    sides = (list(start.lower), list(start.upper), list(start.output_lower), list(start.output_upper))
    seconds: list[float] = []
    known: list[tuple[Array, Array]] | None = None
    for k, layer in enumerate(network.layers):
        began = time.perf_counter()
        if deadline.over():  # the bounds so far are kept
            seconds.append(0.0)
            continue
        try:
            with within(deadline):
                low, high = _propagated(layer, k, image, sides)
        except TimeIsUp:
            if time_limit is None:
                raise
            seconds.append(time.perf_counter() - began)
            continue
        todo = _open(layer, sound, k, low[0], high[0])
        if programs.unstable and layer.activation == "relu":
            todo &= low[0] < 0
        at = np.flatnonzero(todo) if programs.worth[k] else np.zeros(0, np.int64)
        if len(at):
            # optimise gets the bounds of this layer that hold so far.
            sides[0][k], sides[1][k] = low, high
            now = replace(start, **{name: tuple(side) for name, side in zip(_SIDES, sides, strict=True)})  # type: ignore[arg-type]
            try:
                with within(deadline):
                    if limit is None and known is None:
                        known = seen(network, image)
                    least, most = programs.optimise(network, image, now, sound, k, at, limit, deadline)
            except TimeIsUp:
                if time_limit is None:
                    raise
            else:
                if known is not None:
                    least, most = _unrefuted(layer.name, least, most, *(side[at] for side in known[k]))
                low, high = low.copy(), high.copy()
                low[0, at], high[0, at] = np.maximum(low[0, at], least), np.minimum(high[0, at], most)
        if limit is not None and (low > high).any():
            raise unreachable(limit.cutoff)
        sides[0][k], sides[1][k] = low, high
        out = [layer.activate(side.reshape(1, *layer.pre_shape)).reshape(1, -1) for side in (low, high)]
        sides[2][k], sides[3][k] = np.maximum(sides[2][k], np.minimum(out[0], sides[3][k])), out[1]
        if layer.group is not None:
            sides[2][k] = np.zeros_like(low)
        seconds.append(time.perf_counter() - began)
    changed = tuple(
        [None if new is old else new for new, old in zip(side, getattr(start, name), strict=True)]
        for name, side in zip(_SIDES, sides, strict=True)
    )
    return changed, seconds


def _unrefuted(name: str, least: Array, most: Array, seen_least: Array, seen_most: Array) -> tuple[Array, Array]:
    """The bounds, where those that known pre-activations refute are replaced by the ones before."""
    low, high = least > seen_least, most < seen_most
    if low.any() or high.any():
        message = (
            f"layer {name}: {int(low.sum() + high.sum())} bounds of the solver are withdrawn, known scores lie beyond"
        )
        warnings.warn(message, RuntimeWarning, stacklevel=2)
    return np.where(low, -np.inf, least), np.where(high, np.inf, most)


def _propagated(layer: Layer, k: int, image: Array, sides: tuple[list[Array], ...]) -> tuple[Array, Array]:
    """Bounds of layer k so far, intersected with the intervals from the current bounds of earlier layers."""
    before_low, before_high = sides[0][k], sides[1][k]
    ins = [(image, image) if t.source == IMAGE else (sides[2][t.source], sides[3][t.source]) for t in layer.terms]
    low, high = (side.reshape(1, -1) for side in affine_interval(layer, ins))
    known = before_low == before_high
    low = np.where(known, before_low, np.maximum(low, before_low))
    return low, np.where(known, before_high, np.minimum(high, before_high))


def _open(layer: Layer, sound: Bounds, k: int, low: Array, high: Array) -> NDArray[np.bool_]:
    """The pre-activations of a layer that tighter bounds help. A scored ReLU keeps its rows where it is on."""
    todo = (sound.lower[k][0] < sound.upper[k][0]) & (low < high)
    if layer.activation == "relu":
        todo &= (high > 0) & ((layer.group is not None) | (low < 0))
    return np.asarray(todo)
