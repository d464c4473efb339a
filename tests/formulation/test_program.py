"""A program is what solving reads of an instance, and an instance stays an ordinary Pyomo model."""

from __future__ import annotations

import numpy as np
import pyomo.environ as pyo
import pytest

import oamip_model as om
from oamip_model.formulation.losses import loss_named
from oamip_model.formulation.program import Program


@pytest.mark.parametrize("loss", ["cross-entropy", "hinge", "margin"])
@pytest.mark.parametrize("relaxation", ["big-m", "hull"])
def test_a_program_has_what_its_formulation_has(problem_of, loss, relaxation):
    p = problem_of("dense", 1, 2)
    instance = p.build(loss=loss, relaxation=relaxation, margin=0.3)
    program = Program.of(instance)
    assert (program.loss.name, program.gate.name, program.sparsity.name) == (loss, instance.gate, "published")
    assert (program.losses is None) == (loss == "margin")
    assert (program.loss_tangents is None) == (loss != "cross-entropy")
    assert (program.hull_cuts is None) == (relaxation == "big-m")
    assert (program.image_cuts is None) == (loss == "margin")
    assert program.by_rounds == (loss == "cross-entropy")
    assert (program.rows("relu_shift") is None) == (relaxation == "big-m")
    logits = np.random.default_rng(0).normal(size=(2, p.network.classes))
    np.testing.assert_allclose(program.losses_at(logits.ravel()), loss_named(loss).values(logits, p.labels, 0.3))


def test_a_loss_without_weight_needs_no_rounds(problem_of):
    assert not Program.of(problem_of("dense", 1, 1).build(weight=0.0)).by_rounds


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (lambda: pyo.ConcreteModel(), "got ConcreteModel without s, a, h, z, q, o, layout, .*"),
        (lambda: om.abstract_model(), "got AbstractModel that is still abstract"),
        (lambda: None, "got NoneType without s, a, .*"),
        (lambda: np.zeros(3), "got ndarray without s, a, .*"),
    ],
)
def test_what_is_no_program_is_refused_in_one_line(model, why):
    for call in (Program.of, om.solve_instance):
        with pytest.raises(om.InputError, match=f"^instance: {why}, accepted is a model of om.build_instance$"):
            call(model())
