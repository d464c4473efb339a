"""Tangents of the cross-entropy: valid everywhere, exact where they touch, without coefficients too small to keep."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from oamip_model.formulation.losses.cross_entropy import cross_entropy, tangent


@given(st.integers(0, 10_000), st.sampled_from([0.1, 3.0, 30.0, 300.0]), st.integers(2, 12))
def test_tangents_are_valid_and_touch(seed, scale, classes):
    draw = np.random.default_rng(seed)
    points = scale * draw.normal(size=(6, classes))
    labels = draw.integers(classes, size=6)
    gradient, constant = tangent(points, labels)
    at_point = (gradient * points).sum(axis=1) + constant
    loss = cross_entropy(points, labels)
    rounding = 1e-12 * (1 + np.abs(points).max())
    assert (at_point <= loss + rounding).all()
    assert (at_point >= loss - classes * 1e-9 - rounding).all()
    for other in (points + draw.normal(size=points.shape), scale * draw.normal(size=points.shape)):
        slack = 1e-12 * (1 + np.abs(other).max())
        assert ((gradient * other).sum(axis=1) + constant <= cross_entropy(other, labels) + slack).all()
    size = np.abs(gradient)
    assert ((size == 0) | (size >= 1e-9)).all()
    np.testing.assert_allclose(gradient.sum(axis=1), 0.0, atol=1e-15 * classes)
