"""Bounds on pre-activations without a solver."""

from oamip_model.bounds.compute import BOUND_METHODS, compute_bounds
from oamip_model.bounds.crown import crown_bounds
from oamip_model.bounds.cutoff import Cutoff
from oamip_model.bounds.interval import interval_bounds
from oamip_model.bounds.report import LayerReport
from oamip_model.bounds.store import load_bounds
from oamip_model.bounds.types import Bounds, Validity, fingerprint_images
from oamip_model.bounds.write import check_bounds_file

__all__ = [
    "BOUND_METHODS", "Bounds", "Cutoff", "LayerReport", "Validity", "check_bounds_file", "compute_bounds",
    "crown_bounds", "fingerprint_images", "interval_bounds", "load_bounds",
]  # fmt: skip
