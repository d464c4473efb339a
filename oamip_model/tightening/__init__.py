"""Bounds by optimisation. Names load the solvers' room on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.tightening.compute import compute_bounds as compute_bounds
    from oamip_model.tightening.lp import lp_bounds as lp_bounds
    from oamip_model.tightening.methods import BOUND_METHODS as BOUND_METHODS
    from oamip_model.tightening.mip import mip_bounds as mip_bounds

_HOMES = {
    "BOUND_METHODS": "methods",
    "compute_bounds": "compute",
    "lp_bounds": "lp",
    "mip_bounds": "mip",
}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
