"""The rows and terms of the objective: weight * loss + sparsity (mathematics:objective-1)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo
import scipy.sparse as sp
from numpy.typing import NDArray
from pyomo.core.expr.numeric_expr import LinearExpression

from oamip_model.formulation.matrix import MatrixRows
from oamip_model.network.ops import Array


def cross_entropy(logits: Array, labels: NDArray[np.int64]) -> Array:
    """Cross-entropy log sum_c exp(o_c) - o_y of each image, (n,), for logits (n, classes) and labels (n,).

    Example:
        >>> cross_entropy(np.zeros((1, 2)), np.array([0])).round(4).tolist()
        [0.6931]
    """
    largest = logits.max(axis=1)
    total = largest + np.log(np.exp(logits - largest[:, None]).sum(axis=1))
    return np.asarray(total - logits[np.arange(len(logits)), labels])


def hinge(logits: Array, labels: NDArray[np.int64], margin: float) -> Array:
    """Hinge loss max(0, margin + max_{c != y} o_c - o_y) of each image, (n,)."""
    right = logits[np.arange(len(logits)), labels]
    others = logits.copy()
    others[np.arange(len(logits)), labels] = -np.inf
    return np.asarray(np.maximum(0.0, margin + others.max(axis=1) - right))


_LEAST = 1e-9
"""Softmax weights below this are left out of tangents, and the others made to add up to 1."""


def tangent(points: Array, labels: NDArray[np.int64]) -> tuple[Array, Array]:
    """Tangents of the cross-entropy near logits ``points`` (k, classes) with labels (k,): gradients g (k, classes) and
    constants c (k,), such that the loss at logits o is at least g @ o + c.

    See mathematics:loss-ce-2. For any weights p >= 0 that add up to 1, log sum_c exp(o_c) >= p @ o + H(p), H the
    entropy (the conjugate of the convex function on the left), with equality where p is the softmax of o. Here p is
    that of a point without its weights below 1e-9, which makes a tangent that is valid everywhere and falls short at
    the point by less than classes * 1e-9. Solvers cannot do with coefficients that small: HiGHS drops them, so that the
    row is no longer valid, and CBC scales by them and calls points optimal that are not.

    Example:
        >>> gradient, constant = tangent(np.array([[0.0, 0.0], [40.0, 0.0]]), np.array([0, 0]))
        >>> gradient.tolist(), constant.round(4).tolist()
        ([[-0.5, 0.5], [0.0, 0.0]], [0.6931, 0.0])
    """
    weights = np.exp(points - points.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    weights = np.where(weights < _LEAST, 0.0, weights)
    weights /= weights.sum(axis=1, keepdims=True)
    entropy = 0.0 - (weights * np.log(np.where(weights > 0, weights, 1.0))).sum(axis=1)
    # p_y - 1 as the sum of the others: the difference would not be exactly 0 where they are.
    right = np.arange(len(points)), labels
    weights[right] = 0.0
    weights[right] = 0.0 - weights.sum(axis=1)
    return weights, entropy


def tangents(model: Any, points: Array, images: NDArray[np.int64], first: int = 0) -> MatrixRows:
    """Tangents of the cross-entropy of some images at logits ``points`` (k, classes): rows t >= g @ o + c.

    images: (k,) the image of each point; first: number of the first of these rows, for their names.
    """
    labels = np.asarray(model.label_array.value)[images]
    classes = points.shape[1]
    gradient, level = tangent(points, labels)
    columns = images[:, None] * classes + np.arange(classes)
    block = sp.csr_array(
        (-gradient.ravel(), columns.ravel(), np.arange(0, gradient.size + 1, classes)),
        shape=(len(points), len(model.o)),
    )
    block.eliminate_zeros()
    names = [(image, first + k) for k, image in enumerate(images.tolist())]
    return MatrixRows.of(names, lower=level).plus(model.t, images).plus_matrix(model.o, block)


def first_tangents(model: Any) -> MatrixRows:
    """Tangents at the trained network's logits, the start of the outer approximation (mathematics:gap-1)."""
    points = np.asarray(model.trained_logits.value)
    return tangents(model, points, np.arange(len(points)))


def image_cuts(model: Any, images: NDArray[np.int64], multipliers: Array, bounds: Array) -> MatrixRows:
    """Rows weight * t_n + P_n s >= b_n of some images n, (k,) (mathematics:tree-3).

    multipliers: P, (k, units); bounds: b, (k,), lower bounds of the left side over the program of image n alone, so
    that the rows hold whatever P is. With P from the duals of the linear relaxation they are what a Lagrangian
    relaxation by images proves, in the form of rows.
    """
    names = [(image, k) for k, image in enumerate(images.tolist())]
    rows = MatrixRows.of(names, lower=bounds).plus_matrix(model.s, sp.csr_array(multipliers))
    return rows.plus(model.t, images, pyo.value(model.weight))


def no_image_cuts(model: Any) -> MatrixRows:
    """None of the rows of :func:`image_cuts`."""
    none = np.zeros(0, dtype=np.int64)
    return image_cuts(model, none, np.zeros((0, len(model.s))), np.zeros(0))


def _margins(model: Any) -> tuple[list[tuple[int, int]], NDArray[np.int64], NDArray[np.int64]]:
    """Names (image, other class), and the columns of the right class's and the other class's logit."""
    labels = np.asarray(model.label_array.value)
    classes = len(model.CLASS)
    names = [(n, c) for n, y in enumerate(labels.tolist()) for c in range(classes) if c != y]
    image, other = np.array(names, dtype=np.int64).reshape(-1, 2).T
    return names, image * classes + labels[image], image * classes + other


def hinge_rows(model: Any) -> MatrixRows:
    """t >= m + o_c - o_y for every other class c (mathematics:loss-hinge-1)."""
    names, right, other = _margins(model)
    rows = MatrixRows.of(names, lower=pyo.value(model.margin)).plus(
        model.t, np.array([n for n, _ in names], dtype=np.int64)
    )
    return rows.plus_matrix(model.o, _difference(right, other, len(model.o)))


def margin_rows(model: Any) -> MatrixRows:
    """o_y - o_c >= m for every other class c (mathematics:loss-margin-1)."""
    names, right, other = _margins(model)
    return MatrixRows.of(names, lower=pyo.value(model.margin)).plus_matrix(
        model.o, _difference(right, other, len(model.o))
    )


def _difference(plus: NDArray[np.int64], minus: NDArray[np.int64], columns: int) -> sp.csr_array:
    rows = np.arange(len(plus))
    values = np.concatenate([np.ones(len(plus)), -np.ones(len(minus))])
    return sp.csr_array((values, (np.tile(rows, 2), np.concatenate([plus, minus]))), shape=(len(plus), columns))


def published_sparsity(sums: list[float], sizes: list[int], divisors: list[int]) -> float:
    """The published sparsity of scores whose sum is ``sums[l]`` in layer l: the sum of the (n-1) largest I_l.

    I_l = (sum - 2 size) / D_l; with one layer, that layer's.

    Example:
        >>> published_sparsity([1.0, 2.0], [2, 4], [2, 4])
        -1.5
    """
    terms = sorted((s - 2.0 * k) / d for s, k, d in zip(sums, sizes, divisors, strict=True))
    return float(sum(terms[-max(1, len(terms) - 1) :]))


def excess_rows(model: Any) -> MatrixRows:
    """v_l >= I_l - t, which with v_l >= 0 states the published sparsity (mathematics:sparsity-4)."""
    groups = list(model.GROUP)
    divisors = np.array([model.divisor[g] for g in groups], dtype=np.float64)
    sizes = np.array([model.size[g] for g in groups], dtype=np.float64)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    values = -np.repeat(1.0 / divisors, sizes.astype(np.int64))
    scores = sp.csr_array((values, np.arange(starts[-1]), starts), shape=(len(groups), int(starts[-1])))
    rows = MatrixRows.of(groups, lower=-2.0 * sizes / divisors).plus_matrix(model.s, scores)
    return rows.plus(model.excess, np.arange(len(groups))).plus(model.level, np.zeros(len(groups)))


def sparsity(model: Any) -> Any:
    """The sparsity term as a linear expression."""
    if model.sparsity_kind == "published":
        largest = max(1, len(model.GROUP) - 1)
        variables = [model.level[None], *model.excess.values()]
        return LinearExpression(linear_coefs=[largest] + [1.0] * len(model.excess), linear_vars=variables)
    weights = [pyo.value(w) for w in model.unit_weight.values()]
    return LinearExpression(linear_coefs=weights, linear_vars=list(model.s.values()))


def loss(model: Any) -> Any:
    """The mean of the images' losses as a linear expression."""
    images = len(model.t)
    return LinearExpression(linear_coefs=[1.0 / images] * images, linear_vars=list(model.t.values()))


def total(model: Any) -> Any:
    """weight * loss + sparsity."""
    return pyo.value(model.weight) * loss(model) + sparsity(model)
