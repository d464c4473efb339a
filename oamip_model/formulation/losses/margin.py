"""The loss "margin": rows that hold every image's label a margin ahead.

It is no term of the objective.
"""

from __future__ import annotations

from typing import Any

from oamip_model.formulation.losses.hinge import Hinge, other_classes
from oamip_model.formulation.rows import MatrixRows, Rule


class Margin(Hinge):
    """o_y - o_c >= m for every other class c.

    Its value is what an image misses that by, as the hinge loss has it.
    """

    name = "margin"
    weighted = False

    def rows(self) -> dict[str, Rule]:
        """o_y - o_c >= m for every other class c."""
        return {"margin_rows": margin_rows}


def margin_rows(model: Any) -> MatrixRows:
    """o_y - o_c >= m for every other class c (mathematics:loss-margin-1)."""
    names, lead = other_classes(model)
    return MatrixRows.of(names, lower=float(model.margin.value)).plus_matrix(model.o, lead)
