"""Smaller networks from scores.

It chooses units, masks or removes them, has baselines, and saves what is left. Names load their file on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.network.norms import unit_norms as unit_norms
    from oamip_model.pruning.asked import prune as prune
    from oamip_model.pruning.asked import prune_with_report as prune_with_report
    from oamip_model.pruning.baselines.rules import BASELINES as BASELINES
    from oamip_model.pruning.baselines.rules import baseline_scores as baseline_scores
    from oamip_model.pruning.baselines.rules import critical_scores as critical_scores
    from oamip_model.pruning.budgets.choose import Budgeted as Budgeted
    from oamip_model.pruning.budgets.choose import choose_units as choose_units
    from oamip_model.pruning.budgets.options import Budget as Budget
    from oamip_model.pruning.budgets.options import Plan as Plan
    from oamip_model.pruning.gradual import GradualPruning as GradualPruning
    from oamip_model.pruning.gradual import prune_while_training as prune_while_training
    from oamip_model.pruning.importance import ScoreImportance as ScoreImportance
    from oamip_model.pruning.masked_training import Keep as Keep
    from oamip_model.pruning.masked_training import fine_tune as fine_tune
    from oamip_model.pruning.masked_training import retrain as retrain
    from oamip_model.pruning.rebuild import to_module as to_module
    from oamip_model.pruning.report import PruneReport as PruneReport
    from oamip_model.pruning.save import save_module as save_module
    from oamip_model.pruning.timing import measure_milliseconds as measure_milliseconds
    from oamip_model.scoring.select import Selection as Selection
    from oamip_model.scoring.select import prunable_units as prunable_units

_HOMES = {
    "BASELINES": "baselines.rules", "baseline_scores": "baselines.rules", "critical_scores": "baselines.rules",
    "Budgeted": "budgets.choose", "choose_units": "budgets.choose", "Budget": "budgets.options",
    "Plan": "budgets.options", "prune": "asked", "prune_with_report": "asked", "GradualPruning": "gradual",
    "prune_while_training": "gradual", "Keep": "masked_training", "fine_tune": "masked_training",
    "retrain": "masked_training", "to_module": "rebuild", "PruneReport": "report", "save_module": "save",
    "measure_milliseconds": "timing", "Selection": "budgets.choose", "prunable_units": "budgets.choose",
    "unit_norms": "budgets.choose", "ScoreImportance": "importance",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
