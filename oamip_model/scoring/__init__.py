"""Importance scores: methods, and results that say what was proved.

Names load their module on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.scoring.program_result import ProgramResult as ProgramResult
    from oamip_model.scoring.program_result import ReplayCheck as ReplayCheck
    from oamip_model.scoring.reading import load_scores as load_scores
    from oamip_model.scoring.result import Scores as Scores
    from oamip_model.scoring.run import score as score

_HOMES = {
    "ProgramResult": "program_result", "ReplayCheck": "program_result", "Scores": "result", "load_scores": "reading",
    "score": "run",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
