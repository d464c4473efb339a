"""Smaller networks from scores: choosing units, masking or removing them, baselines, saving."""

from __future__ import annotations

from oamip_model.network.norms import unit_norms as unit_norms
from oamip_model.pruning.baselines import baseline_scores
from oamip_model.pruning.prune import prune, prune_with_report
from oamip_model.pruning.rebuild import to_module
from oamip_model.pruning.report import PruneReport
from oamip_model.pruning.save import save_module
from oamip_model.scoring.select import Selection, choose_units, prunable_units

__all__ = [
    "PruneReport",
    "Selection",
    "baseline_scores",
    "choose_units",
    "prunable_units",
    "prune",
    "prune_with_report",
    "save_module",
    "to_module",
    "unit_norms",
]
