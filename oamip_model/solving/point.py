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
    perhaps not, since its bounds do not hold there (FORMULATION.md 2).
    """
    model = compiled.model
    layout: Layout = model.layout.value
    a, h = np.zeros(len(layout.pre)), np.zeros(len(layout.act))
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
    logits = _value(layout.logits, np.concatenate([scores, a, h]))
    x = np.zeros(len(compiled.variables)) if base is None else base.copy()
    parts = {
        "s": scores, "a": a, "h": h, "o": logits,
        "z": _states(model.gate, layout.gated, a, scores, len(layout.state)),
        "q": _choices(layout.pooled, np.concatenate([scores, a, h])),
    }  # fmt: skip
    for name, values in parts.items():
        x[compiled.columns(getattr(model, name))] = values
    if layout.parts is not None:
        v, w = shares(layout, np.concatenate([scores, a, h]), _on(model.gate, layout.gated, a, scores))
        x[compiled.columns(model.v)] = v
        if hasattr(model, "w"):
            x[compiled.columns(model.w)] = w
    if model.sparsity_kind == "published":
        x[compiled.columns(model.level)], x[compiled.columns(model.excess)] = _level(model, scores)
    if hasattr(model, "t"):
        x[compiled.columns(model.t)] = losses(model, logits)
    return x


def losses(model: Any, logits: Array) -> Array:
    """Loss of each image, (n,), for logits (n x classes,) in the order of LOGIT."""
    labels = np.asarray(model.label_array.value)
    o = logits.reshape(len(labels), -1)
    if hasattr(model, "hinge_rows"):
        return hinge(o, labels, float(model.margin.value))
    return cross_entropy(o, labels)


def _value(expressions: Expressions, point: Array) -> Array:
    return np.asarray(expressions.matrix @ point + expressions.constant)


def _shifted(gate: str, g: Gated, a: Array, scores: Array) -> Array:
    """a' = a - (1 - s) M, or a itself where there is no score or the gate multiplies."""
    scored = (g.score >= 0) & (gate != "switch")
    return a[g.pre] - np.where(scored, (1.0 - scores[g.score]) * g.scale, 0.0)


def _gate(gate: str, g: Gated, a: Array, scores: Array) -> Array:
    h = np.maximum(_shifted(gate, g, a, scores), 0.0)
    return h * np.where(g.score >= 0, scores[g.score], 1.0) if gate == "switch" else h


def _on(gate: str, g: Gated, a: Array, scores: Array) -> Array:
    """State of each gated ReLU, (gated,); where it has no binary in 3b, its score."""
    on = np.where(_shifted(gate, g, a, scores) > 0, 1.0, 0.0)
    if gate == "switch":
        # z <= s, and s = 1 or 0 unless the scores are relaxed as well.
        on *= np.where(g.score >= 0, scores[g.score], 1.0)
        on = np.where((g.state < 0) & (g.score >= 0), scores[g.score], on)
    return on


def _states(gate: str, g: Gated, a: Array, scores: Array, count: int) -> Array:
    on = _on(gate, g, a, scores)
    z = np.zeros(count)
    z[g.state[g.state >= 0]] = on[g.state >= 0]
    return z


def _choices(pooled: Pooled, point: Array) -> Array:
    q = np.zeros(len(pooled.act))
    entries = _value(pooled.entries, point)
    for act in np.unique(pooled.act):
        rows = np.flatnonzero(pooled.act == act)
        q[rows[entries[rows].argmax()]] = 1.0
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
