"""The program as a Pyomo abstract model, and the choices that fix it.

Names load Pyomo on first use; ``settings`` needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.formulation.build import build_instance as build_instance
    from oamip_model.formulation.build import gate_scale as gate_scale
    from oamip_model.formulation.build import instance_data as instance_data
    from oamip_model.formulation.build import sparsity_weights as sparsity_weights
    from oamip_model.formulation.gates import register_gate as register_gate
    from oamip_model.formulation.gates.base import Gate as Gate
    from oamip_model.formulation.gates.switch import Switch as Switch
    from oamip_model.formulation.layout import Layout as Layout
    from oamip_model.formulation.losses import register_loss as register_loss
    from oamip_model.formulation.losses.base import Loss as Loss
    from oamip_model.formulation.losses.cross_entropy import cross_entropy as cross_entropy
    from oamip_model.formulation.losses.hinge import hinge as hinge
    from oamip_model.formulation.matrix import MatrixConstraint as MatrixConstraint
    from oamip_model.formulation.model import abstract_model as abstract_model
    from oamip_model.formulation.rows import MatrixRows as MatrixRows
    from oamip_model.formulation.settings import Formulation as Formulation
    from oamip_model.formulation.sparsities import register_sparsity as register_sparsity
    from oamip_model.formulation.sparsities.base import Linear as Linear
    from oamip_model.formulation.sparsities.published import published_sparsity as published_sparsity

_HOMES = {
    "build_instance": "build", "gate_scale": "build", "instance_data": "build", "sparsity_weights": "build",
    "Gate": "gates.base", "register_gate": "gates", "Switch": "gates.switch", "Loss": "losses.base",
    "register_loss": "losses", "Linear": "sparsities.base", "register_sparsity": "sparsities",
    "Layout": "layout", "MatrixConstraint": "matrix", "MatrixRows": "rows", "abstract_model": "model",
    "cross_entropy": "losses.cross_entropy", "hinge": "losses.hinge", "published_sparsity": "sparsities.published",
    "Formulation": "settings",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
