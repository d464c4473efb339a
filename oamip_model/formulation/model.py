"""The abstract model of OAMIP: sets, parameters, variables, constraints and objective (FORMULATION.md 1 to 5)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyomo.environ as pyo

from oamip_model.formulation import gates, hull, objective, partition
from oamip_model.formulation.matrix import MatrixConstraint
from oamip_model.formulation.settings import Formulation, groups_of


def abstract_model(formulation: Formulation | None = None) -> pyo.AbstractModel:
    """A ``pyo.AbstractModel`` of the program; :func:`instance_data` makes the data that it is instantiated with.

    Sets: IMAGE, CLASS, GROUP, UNIT (group, unit), PRE and ACT (image, layer, activation) of the pre-activations and
    activations that the bounds leave open, STATE of the ReLUs that need a binary, CHOICE of max-pooling entries, LOGIT.
    Variables: s scores, a pre-activations, h activations, z ReLU states, q pooling choices, o logits, t losses, and for
    the published sparsity level and excess. The loss "cross-entropy" enters by tangents: the instance has those at the
    trained network's logits, and :func:`oamip_model.solving.solve_instance` adds more until the loss is exact.

    formulation: that of :class:`oamip_model.formulation.Formulation` by default; its weight, margin and epsilon are
    data.

    Example:
        >>> model = abstract_model(Formulation(gate="switch", scores="binary"))
        >>> model.s.is_indexed(), model.is_constructed()
        (True, False)
    """
    asked = formulation or Formulation()
    gate, relaxation, scores, relaxed = asked.gate, asked.relaxation, asked.scores, asked.relaxed
    loss, sparsity = asked.loss, asked.sparsity
    m = pyo.AbstractModel(name="oamip")
    m.gate, m.sparsity_kind = gate, sparsity

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
    m.preactivation = MatrixConstraint(rule=gates.preactivation)
    m.relu_lower = MatrixConstraint(rule=gates.relu_lower)
    m.relu_upper = MatrixConstraint(rule=gates.relu_upper)
    m.relu_state = MatrixConstraint(rule=gates.relu_state)
    m.relu_held = MatrixConstraint(rule=gates.relu_held)
    groups = groups_of(relaxation)
    if gate == "subtractive" and groups:
        m.relu_score = MatrixConstraint(rule=partition.relu_score)
        m.relu_shift = MatrixConstraint(rule=partition.relu_shift)
    elif gate != "published":
        m.relu_score = MatrixConstraint(rule=gates.relu_score)
    if gate == "switch":
        m.state_score = MatrixConstraint(rule=gates.state_score)
    if gate == "switch" and groups:
        m.relu_kept = MatrixConstraint(rule=partition.relu_kept)
    if groups > 1:
        _add_parts(m)
    if relaxation == "hull":
        m.hull_cuts = MatrixConstraint(rule=hull.no_cuts)
    m.pool_lower = MatrixConstraint(rule=gates.pool_lower)
    m.pool_upper = MatrixConstraint(rule=gates.pool_upper)
    m.pool_choice = MatrixConstraint(rule=gates.pool_choice)
    m.logits = MatrixConstraint(rule=gates.logits)

    if sparsity == "published":
        m.level = pyo.Var([None], doc="threshold of the largest I_l")
        m.excess = pyo.Var(m.GROUP, within=pyo.NonNegativeReals, doc="I_l above the threshold")
        m.excess_rows = MatrixConstraint(rule=objective.excess_rows)
    else:
        m.unit_weight = pyo.Param(m.UNIT, within=pyo.NonNegativeReals, doc="share of each unit in the sparsity")

    m.variable_bounds = pyo.BuildAction(rule=_set_bounds)

    if loss == "margin":
        m.margin_rows = MatrixConstraint(rule=objective.margin_rows)
        m.objective = pyo.Objective(rule=objective.sparsity)
        return m
    m.t = pyo.Var(m.IMAGE, within=pyo.NonNegativeReals, doc="loss of each image")
    if loss == "hinge":
        m.hinge_rows = MatrixConstraint(rule=objective.hinge_rows)
    else:
        m.loss_tangents = MatrixConstraint(rule=objective.first_tangents)
    m.image_cuts = MatrixConstraint(rule=objective.no_image_cuts)
    m.objective = pyo.Objective(rule=objective.total)
    return m


def _add_parts(m: pyo.AbstractModel) -> None:
    """Variables and rows of a partition of each ReLU's inputs into groups."""
    m.PART = pyo.Set(dimen=4, doc="groups of a gated ReLU's inputs (image, layer, activation, group)")
    m.v = pyo.Var(m.PART, doc="share of a group in the pre-activation where the ReLU is on")
    m.part_off = MatrixConstraint(rule=partition.part_off)
    m.part_on = MatrixConstraint(rule=partition.part_on)
    m.relu_parts = MatrixConstraint(rule=partition.relu_parts)
    if m.gate == "subtractive":
        m.relu_parts_score = MatrixConstraint(rule=partition.relu_parts_score)
        return
    m.KEPT = pyo.Set(dimen=4, doc="the groups in PART whose ReLU has a score")
    m.w = pyo.Var(m.KEPT, doc="share of a group in the pre-activation where the score is 1")
    m.kept_off = MatrixConstraint(rule=partition.kept_off)
    m.kept_on = MatrixConstraint(rule=partition.kept_on)
    m.relu_kept_parts = MatrixConstraint(rule=partition.relu_kept_parts)


def _set_bounds(model: Any) -> None:
    """Bounds of s and h from the layout's arrays, which is several times faster than a rule for each."""
    layout = model.layout.value
    score_lower = layout.score_lower
    if next(iter(model.s.values())).is_binary():
        score_lower = np.ceil(score_lower - 1e-9)
    if model.sparsity_kind == "published":
        # Some optimum has a threshold among the I_l, and a bounded column is worth more than a free one to a proof.
        terms = [(model.size[g], model.divisor[g]) for g in model.GROUP]
        model.level[None].setlb(min(-2.0 * size / divisor for size, divisor in terms))
        model.level[None].setub(max(-size / divisor for size, divisor in terms))
    ranges = (
        (model.s, score_lower, np.ones(len(layout.score_lower))),
        (model.h, layout.act_lower, layout.act_upper),
    )
    for variable, lower, upper in ranges:
        if not len(variable):
            continue
        # The domain has bounds of its own, most often these: each call takes its time.
        least, most = next(iter(variable.values())).domain.bounds()
        least, most = -np.inf if least is None else least, np.inf if most is None else most
        for data, low, high in zip(variable.values(), lower.tolist(), upper.tolist(), strict=True):
            if low > least:
                data.setlb(low)
            if high < most:
                data.setub(high)
