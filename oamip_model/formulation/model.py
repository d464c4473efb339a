"""The abstract model of OAMIP (mathematics:model-1).

It has sets, parameters, variables, constraints and an objective.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyomo.environ as pyo

from oamip_model.formulation import affine, objective
from oamip_model.formulation.gates import gate_named
from oamip_model.formulation.gates.base import Gate
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.matrix import MatrixConstraint
from oamip_model.formulation.relaxations import groups_of, hull, partition
from oamip_model.formulation.rows import Rule
from oamip_model.formulation.settings import Formulation
from oamip_model.formulation.sparsities import sparsity_named


def abstract_model(formulation: Formulation | None = None) -> pyo.AbstractModel:
    """A ``pyo.AbstractModel`` of the program.

    :func:`instance_data` makes the data that it is instantiated with.

    The sets are IMAGE, CLASS, GROUP, UNIT (group, unit), STATE of the ReLUs that need a binary, CHOICE
    of max-pooling entries, and LOGIT. PRE and ACT hold (image, layer, activation) of the
    pre-activations and activations that the bounds leave open.

    The variables are s scores, a pre-activations, h activations, z ReLU states, q pooling choices,
    o logits and t losses. The published sparsity adds level and excess.

    A loss such as "cross-entropy" enters by tangents. The instance has those at the trained network's
    logits, and :func:`oamip_model.solve_instance` adds more until the loss is exact.

    Parameters
    ----------
    formulation : Formulation, optional
        The choices that fix the program; its weight, margin and epsilon are data.

    Returns
    -------
    pyomo.environ.AbstractModel
        A model without data.

    Examples
    --------
    >>> model = abstract_model(Formulation(scores="binary", loss="hinge"))
    >>> model.s.is_indexed(), model.is_constructed()
    (True, False)
    """
    asked = formulation or Formulation()
    gate, relaxation, scores, relaxed = asked.gate, asked.relaxation, asked.scores, asked.relaxed
    loss, sparsity = asked.loss, asked.sparsity
    m = pyo.AbstractModel(name="oamip")
    m.gate, m.loss_kind, m.sparsity_kind = gate, loss, sparsity
    how, judged, cost = gate_named(gate), loss_named(loss), sparsity_named(sparsity)

    m.IMAGE = pyo.Set(doc="images")
    m.CLASS = pyo.Set(doc="classes")
    m.GROUP = pyo.Set(doc="score groups")
    m.UNIT = pyo.Set(dimen=2, doc="(group, unit)")
    m.PRE = pyo.Set(dimen=3, doc="pre-activations (image, layer, activation)")
    m.ACT = pyo.Set(dimen=3, doc="activations (image, layer, activation)")
    m.STATE = pyo.Set(dimen=3, doc="activations whose ReLU is open")
    m.CHOICE = pyo.Set(dimen=4, doc="max-pooling entries (image, layer, output, entry)")
    m.LOGIT = pyo.Set(dimen=2, doc="logits (image, class)")

    m.layout = pyo.Param(within=pyo.Any, doc="rows, bounds and scales: oamip_model.formulation.Layout")
    m.label_array = pyo.Param(within=pyo.Any, doc="label of each image, (images,)")
    m.image_weights = pyo.Param(within=pyo.Any, doc="weight of each image's loss, with mean 1, (images,)")
    m.trained_logits = pyo.Param(within=pyo.Any, doc="logits with every score 1, (images, classes)")
    m.size = pyo.Param(m.GROUP, within=pyo.PositiveIntegers, doc="units of each group")
    m.divisor = pyo.Param(m.GROUP, within=pyo.PositiveIntegers, doc="D_l of the published sparsity")
    m.weight = pyo.Param(within=pyo.NonNegativeReals, doc="weight of the loss")
    m.margin = pyo.Param(within=pyo.NonNegativeReals, doc="margin of the losses hinge and margin, in logits")

    m.s = pyo.Var(m.UNIT, within=pyo.Binary if scores == "binary" else pyo.UnitInterval)
    m.a = pyo.Var(m.PRE)
    m.h = pyo.Var(m.ACT)
    m.z = pyo.Var(m.STATE, within=pyo.UnitInterval if relaxed else pyo.Binary)
    m.q = pyo.Var(m.CHOICE, within=pyo.UnitInterval if relaxed else pyo.Binary)
    m.o = pyo.Var(m.LOGIT)
    m.preactivation = MatrixConstraint(rule=affine.preactivation)
    _add_rows(m, how.rows())
    m.relu_held = MatrixConstraint(rule=affine.relu_held)
    groups = groups_of(relaxation)
    _add_rows(m, how.score_rows(groups))
    if groups > 1:
        _add_parts(m, how)
    if relaxation == "hull":
        m.hull_cuts = MatrixConstraint(rule=hull.no_cuts)
    m.pool_lower = MatrixConstraint(rule=affine.pool_lower)
    m.pool_upper = MatrixConstraint(rule=affine.pool_upper)
    m.pool_choice = MatrixConstraint(rule=affine.pool_choice)
    m.logits = MatrixConstraint(rule=affine.logits)

    cost.add(m)
    m.variable_bounds = pyo.BuildAction(rule=_set_bounds)

    if judged.weighted:
        m.t = pyo.Var(m.IMAGE, within=pyo.NonNegativeReals, doc="loss of each image")
    if judged.by_tangents:
        m.loss_tangents = MatrixConstraint(rule=objective.first_tangents)
    _add_rows(m, judged.rows())
    if not judged.weighted:
        m.objective = pyo.Objective(rule=objective.sparsity)
        return m
    m.image_cuts = MatrixConstraint(rule=objective.no_image_cuts)
    m.objective = pyo.Objective(rule=objective.total)
    return m


def _add_rows(m: pyo.AbstractModel, rules: Mapping[str, Rule]) -> None:
    """Constraints by name, each with the rule of its rows."""
    for name, rule in rules.items():
        m.add_component(name, MatrixConstraint(rule=rule))


def _add_parts(m: pyo.AbstractModel, gate: Gate) -> None:
    """Variables and rows of a partition of each ReLU's inputs into groups."""
    m.PART = pyo.Set(dimen=4, doc="groups of a gated ReLU's inputs (image, layer, activation, group)")
    m.v = pyo.Var(m.PART, doc="share of a group in the pre-activation where the ReLU is on")
    m.part_off = MatrixConstraint(rule=partition.part_off)
    m.part_on = MatrixConstraint(rule=partition.part_on)
    m.relu_parts = MatrixConstraint(rule=partition.relu_parts)
    if gate.capped:
        m.KEPT = pyo.Set(dimen=4, doc="the groups in PART whose ReLU has a score")
        m.w = pyo.Var(m.KEPT, doc="share of a group in the pre-activation where the score is 1")
    _add_rows(m, gate.part_rows())


def _set_bounds(model: Any) -> None:
    """Bounds of s and h from the layout's arrays, which is several times faster than a rule for each."""
    layout = model.layout.value
    score_lower = layout.score_lower
    if next(iter(model.s.values())).is_binary():
        score_lower = np.ceil(score_lower - 1e-9)
    sparsity_named(model.sparsity_kind).set_bounds(model)
    ranges = (
        (model.s, score_lower, np.ones(len(layout.score_lower))),
        (model.h, layout.act_lower, layout.act_upper),
    )
    for variable, lower, upper in ranges:
        if not len(variable):
            continue
        # The domain mostly has these bounds already, and setting them takes time.
        least, most = next(iter(variable.values())).domain.bounds()
        least, most = -np.inf if least is None else least, np.inf if most is None else most
        for data, low, high in zip(variable.values(), lower.tolist(), upper.tolist(), strict=True):
            if low > least:
                data.setlb(low)
            if high < most:
                data.setub(high)
