"""The rows and terms of the objective (mathematics:objective-1).

It is weight * loss + sparsity.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from numpy.typing import NDArray
from pyomo.core.expr.numeric_expr import LinearExpression

from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.rows import MatrixRows
from oamip_model.formulation.sparsities import sparsity_named
from oamip_model.network.maps import Array


def tangents(model: Any, points: Array, images: NDArray[np.int64], first: int = 0) -> MatrixRows:
    """Tangents of some images' losses at given logits: rows t >= g @ o + c.

    The logits ``points`` have the shape (k, classes).

    images: (k,) the image of each point; first: number of the first of these rows, for their names.
    """
    labels = np.asarray(model.label_array.value)[images]
    classes = points.shape[1]
    gradient, level = loss_named(model.loss_kind).tangents(points, labels, float(model.margin.value))
    columns = images[:, None] * classes + np.arange(classes)
    block = sp.csr_array(
        (-gradient.ravel(), columns.ravel(), np.arange(0, gradient.size + 1, classes)),
        shape=(len(points), len(model.o)),
    )
    block.eliminate_zeros()
    names = [(image, first + k) for k, image in enumerate(images.tolist())]
    return MatrixRows.of(names, lower=level).plus(model.t, images).plus_matrix(model.o, block)


def first_tangents(model: Any) -> MatrixRows:
    """Tangents at the trained network's logits (mathematics:gap-1).

    They are the start of the outer approximation.
    """
    points = np.asarray(model.trained_logits.value)
    return tangents(model, points, np.arange(len(points)))


def image_cuts(model: Any, images: NDArray[np.int64], multipliers: Array, bounds: Array) -> MatrixRows:
    """Rows weight * w_n t_n + P_n s >= b_n of some images n (mathematics:tree-3).

    The b_n are lower bounds of the left side over the program of image n alone, so that the rows
    hold for any P. With P from the duals of the linear relaxation, the rows prove the bound of a
    Lagrangian relaxation by images.

    Parameters
    ----------
    model : pyomo.environ.ConcreteModel
        The instance.
    images : array of int
        The numbers n of the images, (k,).
    multipliers : array
        P, (k, units).
    bounds : array
        b, (k,).

    Returns
    -------
    MatrixRows
        One row for each of these images.
    """
    names = [(image, k) for k, image in enumerate(images.tolist())]
    rows = MatrixRows.of(names, lower=bounds).plus_matrix(model.s, sp.csr_array(multipliers))
    return rows.plus(model.t, images, pyo.value(model.weight) * model.image_weights.value[images])


def no_image_cuts(model: Any) -> MatrixRows:
    """None of the rows of :func:`image_cuts`."""
    none = np.zeros(0, dtype=np.int64)
    return image_cuts(model, none, np.zeros((0, len(model.s))), np.zeros(0))


def sparsity(model: Any) -> Any:
    """The sparsity term as a linear expression."""
    return sparsity_named(model.sparsity_kind).expression(model)


def loss(model: Any) -> Any:
    """The weighted mean of the images' losses (mathematics:weights-1).

    It is a linear expression.
    """
    shares = (model.image_weights.value / len(model.t)).tolist()
    return LinearExpression(linear_coefs=shares, linear_vars=list(model.t.values()))


def total(model: Any) -> Any:
    """The objective: weight * loss + sparsity."""
    return pyo.value(model.weight) * loss(model) + sparsity(model)
