"""The program as a Pyomo abstract model. Names load Pyomo on first use; ``settings`` needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.formulation.build import build_instance as build_instance
    from oamip_model.formulation.build import gate_scale as gate_scale
    from oamip_model.formulation.build import instance_data as instance_data
    from oamip_model.formulation.build import sparsity_weights as sparsity_weights
    from oamip_model.formulation.layout import Layout as Layout
    from oamip_model.formulation.matrix import MatrixConstraint as MatrixConstraint
    from oamip_model.formulation.matrix import MatrixRows as MatrixRows
    from oamip_model.formulation.model import abstract_model as abstract_model
    from oamip_model.formulation.objective import cross_entropy as cross_entropy
    from oamip_model.formulation.objective import hinge as hinge
    from oamip_model.formulation.objective import published_sparsity as published_sparsity
    from oamip_model.formulation.settings import Formulation as Formulation

_HOMES = {
    "build_instance": "build", "gate_scale": "build", "instance_data": "build", "sparsity_weights": "build",
    "Layout": "layout", "MatrixConstraint": "matrix", "MatrixRows": "matrix", "abstract_model": "model",
    "cross_entropy": "objective", "hinge": "objective", "published_sparsity": "objective", "Formulation": "settings",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
