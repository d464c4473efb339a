"""Smaller networks from scores.

It chooses units, masks or removes them, has baselines, and saves what is left.
"""

from __future__ import annotations

from oamip_model.network.norms import unit_norms as unit_norms
from oamip_model.pruning.baselines.rules import BASELINES, baseline_scores, critical_scores
from oamip_model.pruning.budgets.choose import Budgeted, choose_units
from oamip_model.pruning.budgets.options import Budget, Plan
from oamip_model.pruning.cut import prune, prune_with_report
from oamip_model.pruning.gradual import GradualPruning, prune_while_training
from oamip_model.pruning.masked_training import Keep, fine_tune, retrain
from oamip_model.pruning.rebuild import to_module
from oamip_model.pruning.report import PruneReport
from oamip_model.pruning.save import save_module
from oamip_model.scoring.select import Selection, prunable_units

__all__ = [
    "BASELINES",
    "Budget",
    "Budgeted",
    "GradualPruning",
    "Keep",
    "Plan",
    "PruneReport",
    "Selection",
    "baseline_scores",
    "choose_units",
    "critical_scores",
    "fine_tune",
    "prunable_units",
    "prune",
    "prune_while_training",
    "prune_with_report",
    "retrain",
    "save_module",
    "to_module",
    "unit_norms",
]
