"""What the demo measures of each share of units that is removed."""

from __future__ import annotations

from dataclasses import dataclass

RANDOM_DRAWS = 5
"""Draws whose mean stands for pruning at random."""


@dataclass(frozen=True)
class PrunedRow:
    """Accuracies where ``share`` of each layer's units is removed, and parameters.

    Test accuracies are from 0 to 1; parameters are those that are left.

    By the scores of the published program, by scores found layer by layer, by weight norm, at random (mean over draws).
    """

    share: float
    parameters: int
    scores: float
    layerwise: float
    weight_norm: float
    random: float
