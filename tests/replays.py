"""Forward passes with any gate, and whether they stay within bounds: shared by the tests of every rung of bounds."""

from __future__ import annotations

import numpy as np

from oamip_model.network.types import IMAGE

KINDS = ["dense", "deep", "conv", "residual", "relu-pool", "pool-relu", "average-pool", "norm", "depthwise"]
KINDS += ["tied-to-image"]


def passes(network, images, gate):
    """Pre-activation and output of every layer, flat, where ``gate(k, layer, a)`` is what scored units pass on."""
    before, after = [], []
    for k, layer in enumerate(network.layers):
        a = layer.pre_activation([images if t.source == IMAGE else after[t.source] for t in layer.terms])
        before.append(a.reshape(len(images), -1))
        after.append(layer.activate(a) if layer.group is None else gate(k, layer, a))
    return before, [h.reshape(len(images), -1) for h in after]


def assert_within(bounds, before, after):
    for k, (a, h) in enumerate(zip(before, after, strict=True)):
        slack = 1e-12 * (1 + np.abs(a).max())
        assert (bounds.lower[k] - slack <= a).all()
        assert (a <= bounds.upper[k] + slack).all()
        assert (bounds.output_lower[k] - slack <= h).all()
        assert (h <= bounds.output_upper[k] + slack).all()


def gates(p, flat, interval):
    """The gates ``switch`` and ``subtractive`` at given scores."""
    scores = p.split(flat)

    def score(layer):
        return scores[p.network.groups[layer.group].name][layer.units].reshape(layer.shape)

    def switch(k, layer, a):
        return score(layer) * np.maximum(a, 0.0)

    def subtractive(k, layer, a):
        scale = np.maximum(interval.upper[k], 0.0).reshape(a.shape)
        return np.maximum(a - (1 - score(layer)) * scale, 0.0)

    return switch, subtractive
