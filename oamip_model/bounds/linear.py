"""The first layers of a network, which are linear in the scores.

No relaxation is needed there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from oamip_model.bounds.relax import Functions
from oamip_model.network.maps import Array
from oamip_model.network.types import IMAGE, Layer


@dataclass(frozen=True)
class Linear:
    """Values of each image that are affine in the scores.

    They are matrix[image] @ scores + constant[image]: matrices (values, scores) by image, constant (n, values).
    """

    matrices: list[sp.csr_array]
    constant: Array


def affine_of(layer: Layer, sources: list[Linear | None], fixed: Array, scores: int) -> Linear | None:
    """A layer's pre-activations in the scores, or None where they are not linear.

    They are not where one of the layers that it reads is not linear.

    sources: one for each term, None for the image too; fixed: what images and bias contribute, (n, pre-activations).
    """
    if any(x is None and term.source != IMAGE for term, x in zip(layer.terms, sources, strict=True)):
        return None
    n, size = fixed.shape
    total, constant = [sp.csr_array((size, scores)) for _ in range(n)], fixed
    for term, x in zip(layer.terms, sources, strict=True):
        if x is not None:
            matrix = term.map.matrix(term.input_shape)
            total = [sp.csr_array(sum_ + matrix @ part) for sum_, part in zip(total, x.matrices, strict=True)]
            constant = constant + term.map.apply(x.constant.reshape(n, *term.input_shape)).reshape(n, -1)
    return Linear(total, constant)


def output_of(functions: Functions, units: sp.csr_array) -> Linear | None:
    """A layer's outputs in the scores, or None where they are not linear in them.

    They are where the functions below and above them agree and have no slope.

    units: which score moves each output, (outputs, scores).
    """
    below, above = zip(functions.gain, functions.constant, strict=True)
    if any(slope.any() for slope in functions.slope) or any((x != y).any() for x, y in zip(below, above, strict=True)):
        return None
    gain, constant = below
    return Linear([sp.csr_array(sp.diags_array(row) @ units) for row in gain], np.asarray(constant))


def box_range(linear: Linear, image: int) -> tuple[Array, Array]:
    """The least and the most of each value of one image over scores in [0, 1].

    Both have the shape (values,). Rounding is not taken off.
    """
    matrix = linear.matrices[image]
    least, most = (side.sum(axis=1) for side in (matrix.minimum(0.0), matrix.maximum(0.0)))
    return linear.constant[image] + least, linear.constant[image] + most
