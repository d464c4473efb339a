"""The gate of the published model, exactly as its authors' code has it.

It is there for comparison.

Its bounds are those of the trained network in a box around each image. They do not hold below a score of 1, so that its
rows forbid some scores.
"""

from __future__ import annotations

import numpy as np

from oamip_model.formulation.gates.base import Mask, Relus
from oamip_model.formulation.gates.subtractive import Subtractive
from oamip_model.formulation.layout import Gated, Index
from oamip_model.formulation.rows import Rule
from oamip_model.network.maps import Array


class Published(Subtractive):
    """The published rows, whose bounds hold for the trained network only.

    h >= 0, h <= z U+, h >= a - (1 - s) U+, h <= a - (1 - z) L - (1 - s) U+ (mathematics:gate-pub-1..6).
    """

    name = "published"
    relaxations = ("big-m",)
    validity = "trained network"
    epsilon = 1e-5

    def decided(self, r: Relus) -> tuple[Mask, Array, Array]:
        """A constant is open where the box around it reaches over 0."""
        return r.fixed & ((r.high <= 0) | (r.low >= 0)), r.low, r.high

    def constant_output(self, r: Relus, at: Mask) -> tuple[Index, Array, Array, Array]:
        """h = c - (1 - s) U+ >= 0, which leaves the score a least value."""
        where = np.flatnonzero(at & (r.high > 0))
        c, scale = r.constant[where], r.scale[where]
        return where, scale, c - scale, 1.0 - c / scale

    def off(self, g: Gated) -> Array:
        """L, where L - M would hold for every score."""
        return g.lower

    def complementary(self, g: Gated) -> Mask:
        """None of them."""
        return np.zeros(len(g.act), dtype=bool)

    def score_rows(self, groups: int) -> dict[str, Rule]:
        """None: its definition has three rows and no others."""
        return {}
