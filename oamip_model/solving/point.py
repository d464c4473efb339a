"""A complete point of the program from its scores alone: every other variable follows by a forward pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from oamip_model.formulation.layout import Expressions, Gated, Layout, Pooled
from oamip_model.formulation.objective import cross_entropy, hinge
from oamip_model.formulation.partition import shares
from oamip_model.network.ops import Array
from oamip_model.solving.compile import Compiled


def complete_point(compiled: Compiled, scores: Array, base: Array | None = None) -> Array:
    """The point x (columns,) with these scores (units,), their ReLU states, and the losses that its logits have.

    base: (columns,) a point that gives the variables which are not the program's own their values, 0 if not given.

    In the sound gates it is feasible for every score in [0, 1]; in the published gate for scores of 1, otherwise
    perhaps not, since its bounds do not hold there.
    """
    return complete_points(compiled, scores[:, None], base)[:, 0]


def complete_points(compiled: Compiled, scores: Array, base: Array | None = None) -> Array:
    """The points (columns, k) with these scores (units, k), as :func:`complete_point` makes each of them."""
    model, count = compiled.model, scores.shape[1]
    layout: Layout = model.layout.value
    a, h = np.zeros((len(layout.pre), count)), np.zeros((len(layout.act), count))
    # Values settle one layer further with each pass, so a pass that changes nothing is the last.
    while True:
        point = np.concatenate([scores, a, h])
        new_a = _value(layout.pre_rows, point)
        new_h = h.copy()
        new_h[layout.gated.act] = _gate(model.gate, layout.gated, new_a, scores)
        if len(layout.pooled.act):
            entries = _value(layout.pooled.entries, point)
            new_h[np.unique(layout.pooled.act)] = -np.inf
            np.maximum.at(new_h, layout.pooled.act, entries)
        if np.array_equal(new_a, a) and np.array_equal(new_h, h):
            break
        a, h = new_a, new_h
    point = np.concatenate([scores, a, h])
    logits = _value(layout.logits, point)
    x = np.zeros((len(compiled.variables), count))
    if base is not None:
        x[:] = base[:, None]
    on = _on(model.gate, layout.gated, a, scores)
    z = np.zeros((len(layout.state), count))
    z[layout.gated.state[layout.gated.state >= 0]] = on[layout.gated.state >= 0]
    parts = {"s": scores, "a": a, "h": h, "o": logits, "z": z, "q": _choices(layout.pooled, point)}
    for name, values in parts.items():
        x[compiled.columns(getattr(model, name))] = values
    for k in range(count):
        if layout.parts is not None:
            v, w = shares(layout, point[:, k], on[:, k])
            x[compiled.columns(model.v), k] = v
            if hasattr(model, "w"):
                x[compiled.columns(model.w), k] = w
        if model.sparsity_kind == "published":
            level, excess = _level(model, scores[:, k])
            x[compiled.columns(model.level), k], x[compiled.columns(model.excess), k] = level, excess
        if hasattr(model, "t"):
            x[compiled.columns(model.t), k] = losses(model, logits[:, k])
    return x


def losses(model: Any, logits: Array) -> Array:
    """Loss of each image, (n,), for logits (n x classes,) in the order of LOGIT."""
    labels = np.asarray(model.label_array.value)
    o = logits.reshape(len(labels), -1)
    if hasattr(model, "hinge_rows"):
        return hinge(o, labels, float(model.margin.value))
    return cross_entropy(o, labels)


def _value(expressions: Expressions, point: Array) -> Array:
    return np.asarray(expressions.matrix @ point + expressions.constant[:, None])


def _scored(g: Gated, scores: Array, without: float) -> Array:
    """The score of each gated ReLU, (gated, k); ``without`` where it has none."""
    return np.where((g.score >= 0)[:, None], scores[g.score], without)


def _shifted(gate: str, g: Gated, a: Array, scores: Array) -> Array:
    """a' = a - (1 - s) M, or a itself where there is no score or the gate multiplies."""
    if gate == "switch":
        return a[g.pre]
    return np.asarray(a[g.pre] - (1.0 - _scored(g, scores, 1.0)) * np.where(g.score >= 0, g.scale, 0.0)[:, None])


def _gate(gate: str, g: Gated, a: Array, scores: Array) -> Array:
    h = np.maximum(_shifted(gate, g, a, scores), 0.0)
    return h * _scored(g, scores, 1.0) if gate == "switch" else h


def _on(gate: str, g: Gated, a: Array, scores: Array) -> Array:
    """State of each gated ReLU, (gated, k); where it has no binary in ``switch``, its score."""
    on = np.where(_shifted(gate, g, a, scores) > 0, 1.0, 0.0)
    if gate == "switch":
        # z <= s, and s = 1 or 0 unless the scores are relaxed as well.
        on *= _scored(g, scores, 1.0)
        on = np.where(((g.state < 0) & (g.score >= 0))[:, None], _scored(g, scores, 1.0), on)
    return on


def _choices(pooled: Pooled, point: Array) -> Array:
    q = np.zeros((len(pooled.act), point.shape[1]))
    entries = _value(pooled.entries, point)
    for act in np.unique(pooled.act):
        rows = np.flatnonzero(pooled.act == act)
        q[rows[entries[rows].argmax(axis=0)], np.arange(point.shape[1])] = 1.0
    return q


def _level(model: Any, scores: Array) -> tuple[float, Array]:
    """Threshold and excess of the published sparsity: the (n-1)-th largest I_l, and what the others are above it."""
    sizes = [int(model.size[g]) for g in model.GROUP]
    parts = np.split(scores, np.cumsum(sizes)[:-1])
    terms = np.array(
        [(p.sum() - 2.0 * k) / model.divisor[g] for p, k, g in zip(parts, sizes, model.GROUP, strict=True)]
    )
    level = float(np.sort(terms)[-max(1, len(terms) - 1)])
    return level, np.maximum(terms - level, 0.0)
