"""The program as a Pyomo abstract model."""

from oamip_model.formulation.build import build_instance, gate_scale, instance_data, sparsity_weights
from oamip_model.formulation.layout import Layout
from oamip_model.formulation.matrix import MatrixConstraint, MatrixRows
from oamip_model.formulation.model import abstract_model
from oamip_model.formulation.objective import cross_entropy, hinge, published_sparsity
from oamip_model.formulation.settings import GATES, LOSSES, RELAXATIONS, SCORES, SPARSITIES, Settings

__all__ = [
    "GATES", "LOSSES", "RELAXATIONS", "SCORES", "SPARSITIES", "Layout", "MatrixConstraint", "MatrixRows", "Settings",
    "abstract_model", "build_instance", "cross_entropy", "gate_scale", "hinge", "instance_data", "published_sparsity",
    "sparsity_weights",
]  # fmt: skip
