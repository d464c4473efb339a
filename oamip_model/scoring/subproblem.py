"""One layer's subproblem by its head: from a task, which is plain data, to an outcome. What a worker runs."""

from __future__ import annotations

from collections.abc import Callable

from oamip_model.scoring.convex_layer import solve_convex_layer
from oamip_model.scoring.mixed import solve_mixed_layer
from oamip_model.scoring.plan import LayerOutcome
from oamip_model.scoring.task import LayerTask

SOLVE: dict[str, Callable[[LayerTask, Callable[[str], None] | None], LayerOutcome]] = {
    "pattern": solve_convex_layer,
    "linear": solve_convex_layer,
    "rest": solve_mixed_layer,
    "auxiliary": solve_mixed_layer,
}
"""How the subproblem of each head is solved."""


def solve_layer(task: LayerTask, progress: Callable[[str], None] | None = None) -> LayerOutcome:
    """The outcome of one layer's subproblem, by the head of its plan; progress is called with lines of text."""
    return SOLVE[task.plan.head](task, progress)
