"""A complete point of the program from its scores, by a forward pass."""

from __future__ import annotations

import numpy as np

from oamip_model.formulation.layout import Expressions, Gated, Pooled
from oamip_model.formulation.program import Program
from oamip_model.formulation.relaxations.partition import shares
from oamip_model.network.maps import Array
from oamip_model.solving.compile import Compiled


def complete_point(compiled: Compiled, scores: Array, base: Array | None = None) -> Array:
    """The point with these scores and their forward pass.

    It has the ReLU states of the forward pass, and the losses of its logits. In the sound gates it
    is feasible for every score in [0, 1]. In the published gate the bounds hold for scores of 1
    only, so that it may be infeasible elsewhere.

    Parameters
    ----------
    compiled : Compiled
        The arrays of the instance.
    scores : array
        Scores (units,).
    base : array, optional
        A point (columns,) whose values the variables of a user get. They are 0 by default.

    Returns
    -------
    array
        The point (columns,).
    """
    return complete_points(compiled, scores[:, None], base)[:, 0]


def complete_points(compiled: Compiled, scores: Array, base: Array | None = None) -> Array:
    """The points with several vectors of scores, as of :func:`complete_point`.

    Parameters
    ----------
    compiled : Compiled
        The arrays of the instance.
    scores : array
        Scores (units, k).
    base : array, optional
        A point (columns,) whose values the variables of a user get.

    Returns
    -------
    array
        The points (columns, k).
    """
    program, count = Program.of(compiled.model), scores.shape[1]
    model, layout, gate = program.model, program.layout, program.gate
    g = layout.gated
    s, scale = _scored(g, scores), g.scale[:, None]
    a, h = np.zeros((len(layout.pre), count)), np.zeros((len(layout.act), count))
    # Each pass is exact for one layer more, so a pass that changes nothing is the last.
    while True:
        point = np.concatenate([scores, a, h])
        new_a = _value(layout.pre_rows, point)
        new_h = h.copy()
        new_h[g.act] = gate.output(new_a[g.pre], s, scale)
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
    # A ReLU that its bounds decide has no column z: it is on as far as its score is.
    on = np.where(((g.state < 0) & (g.score >= 0))[:, None], s, gate.state(a[g.pre], s, scale))
    z = np.zeros((len(layout.state), count))
    z[g.state[g.state >= 0]] = on[g.state >= 0]
    parts = {"s": scores, "a": a, "h": h, "o": logits, "z": z, "q": _choices(layout.pooled, point)}
    for name, values in parts.items():
        x[compiled.columns(getattr(model, name))] = values
    for k in range(count):
        if layout.parts is not None:
            v, w = shares(layout, point[:, k], on[:, k])
            x[compiled.columns(model.v), k] = v
            if gate.capped:
                x[compiled.columns(model.w), k] = w
        for name, values in program.sparsity.complete(model, scores[:, k]).items():
            x[compiled.columns(getattr(model, name)), k] = values
        if program.losses is not None:
            x[compiled.columns(program.losses), k] = program.losses_at(logits[:, k])
    return x


def _value(expressions: Expressions, point: Array) -> Array:
    """The values (expressions, k) of affine expressions at points (columns, k)."""
    return np.asarray(expressions.matrix @ point + expressions.constant[:, None])


def _scored(g: Gated, scores: Array) -> Array:
    """The score of each gated ReLU, (gated, k), 1 for a ReLU without a score."""
    return np.where((g.score >= 0)[:, None], scores[g.score], 1.0)


def _choices(pooled: Pooled, point: Array) -> Array:
    """For each entry of a maximum, whether the maximum is attained there, (entries, k). One entry of each is."""
    q = np.zeros((len(pooled.act), point.shape[1]))
    entries = _value(pooled.entries, point)
    for act in np.unique(pooled.act):
        rows = np.flatnonzero(pooled.act == act)
        q[rows[entries[rows].argmax(axis=0)], np.arange(point.shape[1])] = 1.0
    return q
