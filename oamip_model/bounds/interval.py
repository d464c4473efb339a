"""Interval arithmetic through a network (mathematics:bounds-2).

The bounds are valid for every score, or for the trained network only.
"""

from __future__ import annotations

import math
import time
from numbers import Real
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from oamip_model.bounds.report import layer_report
from oamip_model.bounds.types import Bounds, Validity, fingerprint_images
from oamip_model.clock import TimeIsUp
from oamip_model.errors import InputError
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Layer, Network

OUTWARD = 1e-12
"""Bounds are widened by this share of the magnitudes that were summed, which covers the rounding of the sums."""
_NUMBERS = 2**20
"""Numbers (8 MiB) of one array that intervals take at once, unless one image takes more."""


def check_epsilon(epsilon: Any) -> None:
    """Raise InputError unless ``epsilon`` is a finite number >= 0.

    It is the half width of the box around each pixel.
    """
    if isinstance(epsilon, bool) or not isinstance(epsilon, Real) or not 0 <= float(epsilon) < np.inf:
        raise InputError(f"epsilon: got {epsilon!r}, accepted is a finite number >= 0")


def interval_bounds(
    network: Network, images: ArrayLike, *, validity: Validity = "every score", epsilon: float = 0.0
) -> Bounds:
    """Bounds by interval arithmetic from the box around each image.

    With validity "every score" the activation of a scored unit lies in [0, U+], whatever its lower
    bound (mathematics:bounds-1). With "trained network" all scores are 1, as in the published model
    (mathematics:gate-pub-5). Where epsilon is 0, pre-activations that depend on no score are exact.

    Parameters
    ----------
    network : Network
        The network.
    images : array
        Images (n, *input_shape).
    validity : {"every score", "trained network"}, default "every score"
        The scores that the bounds hold for.
    epsilon : float, default 0.0
        Half width of the box around each pixel.

    Returns
    -------
    Bounds
        Bounds of every layer.

    Raises
    ------
    InputError
        For images, an epsilon or a validity that do not fit.

    Examples
    --------
    >>> import numpy as np, torch, oamip_model as om
    >>> module = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU(), torch.nn.Linear(1, 2)).eval()
    >>> network = om.read_network(module)
    >>> bounds = interval_bounds(network, np.ones((1, 2)))
    >>> bool(bounds.constant(0).all())
    True
    """
    check_epsilon(epsilon)
    if validity not in get_args(Validity):
        raise InputError(f"validity: got {validity!r}, accepted are {', '.join(get_args(Validity))}")
    x = network.check_images(images)
    lower: list[Array] = []
    upper: list[Array] = []
    out_lower: list[Array] = []
    out_upper: list[Array] = []
    reports = []
    for layer in network.layers:
        began = time.perf_counter()
        ins = [
            (x - epsilon, x + epsilon) if term.source == IMAGE else (out_lower[term.source], out_upper[term.source])
            for term in layer.terms
        ]
        try:
            low, high = affine_interval(layer, ins)
        except TimeIsUp as up:
            done = f"{len(lower)} of {len(network.layers)} layers"
            raise TimeIsUp(f"{up}; bounds need an interval of every layer, there was time for {done}") from None
        after_low, after_high = layer.activate(low), layer.activate(high)
        if layer.group is not None and validity == "every score":
            after_low = np.zeros_like(after_low)
        lower.append(low.reshape(len(x), -1))
        upper.append(high.reshape(len(x), -1))
        out_lower.append(after_low.reshape(len(x), -1))
        out_upper.append(after_high.reshape(len(x), -1))
        if layer.activation == "relu":
            seconds = time.perf_counter() - began
            reports.append(layer_report("interval", layer.name, None, (lower[-1], upper[-1]), seconds))
    return Bounds(
        tuple(lower), tuple(upper), tuple(out_lower), tuple(out_upper),
        "interval", validity, float(epsilon), network.fingerprint, fingerprint_images(x), tuple(reports),
    )  # fmt: skip


def affine_interval(layer: Layer, inputs: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """Interval of a layer's affine map: two arrays (n, *pre_shape).

    It takes one interval (n, ...) for each term.

    Where every input is one number the result is one number, exactly what the forward pass gives.
    """
    # Few images at once, whose arrays are small: fresh memory takes longer to get than to fill.
    step = max(1, _NUMBERS // max(layer.size, *(math.prod(term.input_shape) for term in layer.terms)))
    count = len(inputs[0][0])
    if count <= step:
        return _affine_interval(layer, inputs)
    low, high = (np.empty((count, *layer.pre_shape)) for _ in range(2))
    for part in (slice(start, start + step) for start in range(0, count, step)):
        low[part], high[part] = _affine_interval(layer, [(least[part], most[part]) for least, most in inputs])
    return low, high


def _affine_interval(layer: Layer, inputs: list[tuple[Array, Array]]) -> tuple[Array, Array]:
    """What :func:`affine_interval` returns, of all images at once."""
    centres = [(low + high) / 2 for low, high in inputs]
    centre = layer.pre_activation(
        [np.where(low == high, low, c) for (low, high), c in zip(inputs, centres, strict=True)]
    )
    if all((low == high).all() for low, high in inputs):
        return centre, centre.copy()
    radius = np.zeros_like(centre)
    size = np.zeros_like(centre)
    for term, (low, high), c in zip(layer.terms, inputs, centres, strict=True):
        magnitude = term.map.magnitude()
        shape = (len(low), *term.input_shape)
        radius += magnitude.apply(((high - low) / 2).reshape(shape)).reshape(centre.shape)
        size += magnitude.apply(np.abs(c).reshape(shape)).reshape(centre.shape)
    radius = np.where(radius > 0, radius + OUTWARD * (size + radius + np.abs(centre)), 0.0)
    return centre - radius, centre + radius
