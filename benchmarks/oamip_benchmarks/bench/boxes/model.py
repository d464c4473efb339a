"""The largest value of a logit over a box of images, as peers can state it, too.

There are no scores in it. OAMIP's programs take images as constants, so the box is written as a layer in front of the
network, with a score for each pixel. The layer's activations are 1, so its scored activations are the scores s in
[0, 1], and the pixel is lower + (upper - lower) s. Bounds that hold for every score then hold for
every image of the box. All functions of a network can be used: bounds, gates, relaxations,
backends.
"""

from __future__ import annotations

import oamip_model.formulation.quick_pyomo  # isort: skip

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyomo.environ as pyo
from numpy.typing import NDArray

import oamip_model as om
from oamip_model.network.maps import ChannelScale, Dense
from oamip_model.network.types import IMAGE, Layer, ScoreGroup, Term

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Box:
    """Images between two limits, and the logit whose largest value is asked for.

    Parameters
    ----------
    lower, upper : Array
        The limits, (*input_shape).
    logit : int
        Index of the logit.
    """

    lower: Array
    upper: Array
    logit: int

    @classmethod
    def around(cls, image: Array, radius: float, logit: int) -> Box:
        """The images within ``radius`` of an image in each pixel, and within [0, 1].

        Examples
        --------
        >>> Box.around(np.array([0.0, 0.5]), 0.1, logit=0).upper.tolist()
        [0.1, 0.6]
        """
        return cls(np.clip(image - radius, 0.0, 1.0), np.clip(image + radius, 0.0, 1.0), logit)


def front(network: om.Network, box: Box) -> om.Network:
    """The network behind a layer that makes the images of the box out of scores.

    That layer carries the only scores. Its own "image" is one number that nothing depends on. Where only dense maps
    read it, the box is put into their weights. Where others do, the images are a layer of their own.
    """
    size = box.lower.size
    pixels = Layer(
        "pixels", (Term(Dense(np.zeros((size, 1))), IMAGE, (1,)),), np.ones(size), (size,), "relu",
        group=0, units=np.arange(size),
    )  # fmt: skip
    low, width = box.lower.ravel(), (box.upper - box.lower).ravel()
    read = [term.map for layer in network.layers for term in layer.terms if term.source == IMAGE]
    made = [pixels]
    if not all(isinstance(map_, Dense) for map_ in read):
        made.append(Layer("images", (Term(ChannelScale(width), 0, (size,)),), low, (size,)))
    images = len(made) - 1
    for layer in network.layers:
        bias, terms = layer.bias, []
        for term in layer.terms:
            if term.source != IMAGE:
                terms.append(replace(term, source=term.source + images + 1))
            elif images == 0 and isinstance(term.map, Dense):
                bias = bias + term.map.apply(low[None])[0]
                terms.append(replace(term, map=Dense(term.map.weight * width), source=0))
            else:
                terms.append(replace(term, source=images))
        made.append(replace(layer, group=None, units=None, bias=bias, terms=tuple(terms)))
    group = ScoreGroup("pixels", size, (0,), ("pixels",), np.ones(size, dtype=np.int64), size)
    return om.Network((1,), tuple(made), (group,), network.source)


IMAGE_OF = np.zeros((1, 1))
"""The one image of :func:`front`'s network."""


def box_instance(network: om.Network, box: Box, bounds: str = "crown") -> Any:
    """A Pyomo model that minimises minus the logit over the box."""
    whole = front(network, box)
    return front_instance(whole, box.logit, om.compute_bounds(whole, IMAGE_OF, bounds))


def formulation(relaxation: str = "big-m") -> om.Formulation:
    """The formulation of boxes, of which any sound one would do.

    The only scores are the pixels', and the objective is replaced.
    """
    return om.Formulation(loss="margin", sparsity="published", relaxation=relaxation)


def front_instance(whole: om.Network, logit: int, bounds: om.Bounds, relaxation: str = "big-m") -> Any:
    """The model of :func:`box_instance` for a network of :func:`front`, and bounds."""
    instance = om.build_instance(whole, IMAGE_OF, [0], formulation(relaxation), bounds=bounds)
    # What is asked for is the logit alone.
    for part in (instance.margin_rows, instance.excess_rows, instance.objective):
        part.deactivate()
    instance.lowest = pyo.Objective(expr=-instance.o[0, logit])
    return instance


def image_of(instance: Any, box: Box) -> Array:
    """The image that a solved instance of :func:`box_instance` found."""
    scores = np.array([pyo.value(data) for data in instance.s.values()]).reshape(box.lower.shape)
    return np.asarray(box.lower + (box.upper - box.lower) * scores)
