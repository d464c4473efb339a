"""CROWN: back-substitution to the box of the scores and the image.

The bounds hold for every score (mathematics:bounds-3).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from oamip_model.bounds.interval import OUTWARD, affine_interval, interval_bounds
from oamip_model.bounds.linear import Linear, affine_of, box_range, output_of
from oamip_model.bounds.relax import Functions, affine_functions, max_functions, relu_functions
from oamip_model.bounds.report import layer_report
from oamip_model.bounds.substitution import collect, selection
from oamip_model.bounds.types import Bounds, Validity
from oamip_model.clock import Deadline, TimeIsUp, within
from oamip_model.network.maps import Array, Ids
from oamip_model.network.types import IMAGE, Layer, Network, Term

_ENTRIES = 4_000_000
"""Coefficients held at once."""


def crown_bounds(
    network: Network,
    images: ArrayLike,
    *,
    validity: Validity = "every score",
    epsilon: float = 0.0,
    time_limit: float | None = None,
    base: Bounds | None = None,
) -> Bounds:
    """Bounds by linear functions of each ReLU (CROWN), substituted back to the box.

    The box is that of the scores and of the images.

    Never looser than :func:`interval_bounds`, whose arguments these are; where a score gates several positions or
    several layers, or two layers lie between, usually tighter. After ``time_limit`` seconds the rest keeps its
    interval, and so it does where a layer's coefficients alone would take longer. Only pre-activations that are not
    decided are bounded again. The functions are those of :func:`oamip_model.bounds.relax.relu_functions`; the method is
    that of Zhang, Weng, Chen, Hsieh and Daniel 2018 (arXiv 1811.00866), with the scores as inputs. ``base`` holds the
    intervals, where they are known already. Raises InputError as
    :func:`interval_bounds` does, and TimeIsUp where the time does not suffice for intervals.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> _ = torch.manual_seed(0)
    >>> layers = [torch.nn.Conv2d(1, 1, 2), torch.nn.ReLU(), torch.nn.Conv2d(1, 2, 2), torch.nn.ReLU()]
    >>> module = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(8, 2)).eval()
    >>> network = om.read_network(module, (1, 4, 4))
    >>> images = np.random.default_rng(0).normal(size=(3, 1, 4, 4))
    >>> crown, interval = crown_bounds(network, images), om.compute_bounds(network, images, "interval")
    >>> bool((crown.upper[1] - crown.lower[1]).sum() < (interval.upper[1] - interval.lower[1]).sum())
    True
    """
    deadline = Deadline(time_limit)
    if base is None:
        with within(deadline):
            base = interval_bounds(network, images, validity=validity, epsilon=epsilon)
    return _Crown(network, network.check_images(images), base, deadline).run()


class _Crown:
    """Bounds of the layers so far, and the functions around their outputs."""

    def __init__(self, network: Network, images: Array, base: Bounds, deadline: Deadline) -> None:
        self.network, self.images, self.base, self.deadline = network, images, base, deadline
        self.scored = base.validity == "every score"
        self.first_unit = np.cumsum([0, *(group.size for group in network.groups)])
        # With scores that several layers share, bounding an activation by its score alone may be tighter.
        shared = self.scored and any(len(group.layers) > 1 for group in network.groups)
        self.variants = (False, True) if shared else (False,)
        self.functions: list[list[Functions]] = [[] for _ in self.variants]
        # r where an output is r s exactly, NaN elsewhere, and the column of that score, -1 where there is none.
        self.exact: list[Array] = []
        self.unit: list[NDArray[np.int64]] = []
        self.fixed: list[Array] = []
        self.magnitude: list[Array] = []
        # Pre-activations, and outputs, of the layers that are linear in the scores.
        self.pre_linear: list[Linear | None] = []
        self.linear: list[Linear | None] = []
        self.lower: list[Array] = []
        self.upper: list[Array] = []
        self.out_lower: list[Array] = []
        self.out_upper: list[Array] = []
        # The matrices of the current layer, by term, which every part of its pre-activations uses.
        self.rows: list[Callable[[Ids], Array]] = []
        self.back = [[t.map.transposed(t.input_shape) for t in layer.terms] for layer in network.layers]

    def run(self) -> Bounds:
        reports = list(self.base.reports)
        for k, layer in enumerate(self.network.layers):
            began = time.perf_counter()
            if k == len(self.lower) and not self.reached(k, layer):
                self.keep_the_rest()
            if layer.activation == "relu":
                before = self.base.lower[k], self.base.upper[k]
                after = self.lower[k], self.upper[k]
                reports.append(layer_report("crown", layer.name, before, after, time.perf_counter() - began))
        return replace(
            self.base,
            lower=tuple(self.lower),
            upper=tuple(self.upper),
            output_lower=tuple(self.out_lower),
            output_upper=tuple(self.out_upper),
            method="crown",
            reports=tuple(reports),
        )

    def reached(self, k: int, layer: Layer) -> bool:
        """Bound layer k; returns whether there was time for it."""
        try:
            with within(self.deadline):
                self.bound(k, layer)
        except TimeIsUp:
            if self.deadline.seconds is None:
                raise
            return False
        return True

    def keep_the_rest(self) -> None:
        """Give every layer that was not reached its interval."""
        of_base = (self.base.lower, self.base.upper, self.base.output_lower, self.base.output_upper)
        reached = len(self.out_upper)
        for mine, side in zip((self.lower, self.upper, self.out_lower, self.out_upper), of_base, strict=True):
            mine.extend(side[reached:])

    def bound(self, k: int, layer: Layer) -> None:
        """Bounds of layer k, and the functions around its outputs."""
        n = len(self.images)
        self.rows = [term.map.matrix_rows(term.input_shape) for term in layer.terms]
        base_low, base_high = self.base.lower[k], self.base.upper[k]
        ins = [self.inputs(term) for term in layer.terms]
        low, high = (side.reshape(n, -1) for side in affine_interval(layer, ins))
        known = base_low == base_high
        low = np.where(known, base_low, np.maximum(low, base_low))
        high = np.where(known, base_high, np.minimum(high, base_high))
        self.prepare(layer, ins)
        scored = self.scored and layer.group is not None
        if gains(self.network, k):
            todo = ~known & (low < high)
            if layer.activation == "relu":
                todo &= (high > 0) & (scored | (low < 0))
            for i in range(n):
                at = np.flatnonzero(todo[i])
                step = max(_ENTRIES // (2 * max(x.size for x in self.network.layers)), 1)
                for part in np.split(at, range(step, len(at), step)):
                    if len(part) and not self.deadline.over():
                        least, most = self.substituted(k, i, part)
                        low[i, part] = np.maximum(low[i, part], least)
                        high[i, part] = np.minimum(high[i, part], most)
        self.add(k, layer, low, high, known, scored)

    def inputs(self, term: Term) -> tuple[Array, Array]:
        """Interval of what a term reads."""
        if term.source == IMAGE:
            return self.images - self.base.epsilon, self.images + self.base.epsilon
        return self.out_lower[term.source], self.out_upper[term.source]

    def prepare(self, layer: Layer, ins: list[tuple[Array, Array]]) -> None:
        """What of the layer's affine map is given by the images, and the sum of magnitudes of all of it."""
        n = len(self.images)
        zeros = [
            self.images if t.source == IMAGE else np.zeros_like(x[0]) for t, x in zip(layer.terms, ins, strict=True)
        ]
        fixed = layer.pre_activation(zeros).reshape(n, -1)
        size = np.repeat(np.abs(layer.bias), int(np.prod(layer.pre_shape)) // len(layer.bias)) + np.zeros((n, 1))
        for term, (low, high) in zip(layer.terms, ins, strict=True):
            most = np.maximum(np.abs(low), np.abs(high)).reshape(n, *term.input_shape)
            size = size + term.map.magnitude().apply(most).reshape(n, -1)
        self.fixed.append(np.broadcast_to(fixed, size.shape))
        self.magnitude.append(size)
        linear = None
        if self.scored and self.base.epsilon == 0:
            sources = [None if term.source == IMAGE else self.linear[term.source] for term in layer.terms]
            linear = affine_of(layer, sources, fixed, int(self.first_unit[-1]))
        self.pre_linear.append(linear)

    def add(self, k: int, layer: Layer, low: Array, high: Array, known: NDArray[np.bool_], scored: bool) -> None:
        """Keep the bounds of layer k, and make the functions around its outputs."""
        n = len(low)
        out_low, out_high = (layer.activate(side.reshape(n, *layer.pre_shape)).reshape(n, -1) for side in (low, high))
        exact, unit = np.full_like(out_low, np.nan), np.full(layer.size, -1)
        if layer.activation == "max":
            assert layer.pool is not None
            source = layer.terms[0].source
            scale = np.full_like(low, np.nan) if source == IMAGE else self.exact[source]
            unit_before = np.full(low.shape[1], -1) if source == IMAGE else self.unit[source]
            functions, unit = max_functions(layer.pool.windows(layer.pre_shape), low, high, scale, unit_before)
            made = [functions] * len(self.variants)
        elif layer.activation == "relu":
            made = [relu_functions(low, high, known, scored, by_score) for by_score in self.variants]
            if scored and layer.units is not None:
                exact, unit = np.where(known, out_high, np.nan), layer.units + self.first_unit[layer.group]
                out_low = np.zeros_like(out_low)
        else:
            made = [affine_functions(low, high)] * len(self.variants)
        for functions_so_far, one in zip(self.functions, made, strict=True):
            functions_so_far.append(one)
        self.exact.append(exact)
        self.unit.append(unit)
        none = layer.activation == "none"
        exactly_linear = self.pre_linear[k] is not None
        self.linear.append(self.pre_linear[k] if none or not exactly_linear else output_of(made[0], self.units(k)))
        sides = (self.lower, self.upper, self.out_lower, self.out_upper)
        for mine, new in zip(sides, (low, high, out_low, out_high), strict=True):
            mine.append(new)

    def substituted(self, k: int, image: int, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """The least and the most that pre-activations ``rows`` of layer k can be for one image, (rows,) each."""
        linear = self.pre_linear[k]
        if linear is not None:
            least, most = (side[rows] for side in box_range(linear, image))
            slack = OUTWARD * self.magnitude[k][image, rows]
            return least - slack, most + slack
        found = [self.least(k, image, rows, functions) for functions in self.functions]
        least = np.max(found, axis=0)
        return least[: len(rows)], -least[len(rows) :]

    def least(self, k: int, image: int, rows: NDArray[np.int64], functions: list[Functions]) -> Array:
        """Lower bounds of a, and of -a, for pre-activations ``rows`` of layer k: (2 x rows,)."""
        both = np.concatenate([rows, rows])
        sign = np.repeat([1.0, -1.0], len(rows))[:, None]
        value = sign[:, 0] * self.fixed[k][image, both]
        error = self.magnitude[k][image, both]
        gains = np.zeros((len(both), int(self.first_unit[-1])))
        waiting: dict[int, Array] = {}
        for number, term in enumerate(self.network.layers[k].terms):
            if term.source != IMAGE or self.base.epsilon > 0:
                collect(waiting, term.source, sign * self.rows[number](both))
        for j in range(k - 1, -1, -1):
            if j not in waiting:
                continue
            c, f, layer = waiting.pop(j), functions[j], self.network.layers[j]
            linear = self.linear[j]
            if linear is not None:
                value = value + c @ linear.constant[image]
                gains += c @ linear.matrices[image]
                error = error + np.abs(c) @ self.size(j, image)
                continue
            plus, minus = np.maximum(c, 0.0), np.minimum(c, 0.0)
            value = value + plus @ f.constant[0][image] + minus @ f.constant[1][image]
            error = error + np.abs(c) @ self.size(j, image)
            if f.gain[1][image].any():
                gains += (plus * f.gain[0][image] + minus * f.gain[1][image]) @ self.units(j)
            if not (f.slope[0][image].any() or f.slope[1][image].any()):
                continue
            pre = plus * f.slope[0][image] + minus * f.slope[1][image]
            if f.entry is not None:
                pre = pre @ selection(f.entry[image], int(np.prod(layer.pre_shape)))
            value = value + pre @ self.fixed[j][image]
            for term, back in zip(layer.terms, self.back[j], strict=True):
                if term.source != IMAGE or self.base.epsilon > 0:
                    collect(waiting, term.source, back(pre))
        value = value + np.minimum(gains, 0.0).sum(axis=1)
        if IMAGE in waiting:
            value = value - self.base.epsilon * np.abs(waiting[IMAGE]).sum(axis=1)
        return np.asarray(value - OUTWARD * (error + np.abs(value)), dtype=np.float64)

    def size(self, j: int, image: int) -> Array:
        """The sum of the magnitudes in each output of layer j, (outputs,), which bounds the rounding there."""
        pool = self.network.layers[j].pool
        size = np.asarray(self.magnitude[j][image])
        if pool is None:
            return size
        windows = pool.windows(self.network.layers[j].pre_shape)
        return np.asarray(np.where(windows >= 0, size[windows], 0.0).max(axis=1))

    def units(self, j: int) -> sp.csr_array:
        """Which score moves each output of layer j, (outputs, scores)."""
        at = np.flatnonzero(self.unit[j] >= 0)
        shape = (len(self.unit[j]), int(self.first_unit[-1]))
        return sp.csr_array((np.ones(len(at)), (at, self.unit[j][at])), shape=shape)


def gains(network: Network, k: int) -> bool:
    """Whether tighter bounds of layer k give later layers what they lack otherwise."""
    layer = network.layers[k]
    if _copies(layer):
        return False
    copied = any(_copies(later) and later.terms[0].source == k for later in network.layers)
    return layer.activation != "none" or copied or k == len(network.layers) - 1


def _copies(layer: Layer) -> bool:
    return len(layer.terms) == 1 and layer.terms[0].map.passes_on and not layer.bias.any()
