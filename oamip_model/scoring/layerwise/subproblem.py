"""One layer's subproblem by its head: from a task to an outcome.

A task is plain data. It is what a worker runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from oamip_model.clock import TimeIsUp
from oamip_model.scoring.layerwise.heads import head_named
from oamip_model.scoring.layerwise.plan import LayerOutcome
from oamip_model.scoring.layerwise.task import LayerTask
from oamip_model.scoring.program_result import ProgramResult
from oamip_model.solving.protocol import Status
from oamip_model.solving.registry import get_backend


def solve_layer(task: LayerTask, progress: Callable[[str], None] | None = None) -> LayerOutcome:
    """The outcome of one layer's subproblem, by the head of its plan.

    Progress is called with lines of text.

    A layer for whose program there was no time keeps all its units, and its result says so.
    """
    try:
        return head_named(task.plan.head).solve(task, progress)
    except TimeIsUp as up:
        return unscored(task, str(up))


def unscored(task: LayerTask, message: str) -> LayerOutcome:
    """The outcome of a layer without a program: every score is 1."""
    result = ProgramResult(
        (), Status.NO_SOLUTION.value, None, None, None, None, None, None, None, None, 0, 0, {}, message,
        layer=task.name,
    )  # fmt: skip
    whole = np.ones(task.network.groups[task.group].size)
    version = get_backend(task.plan.solver).version()
    outcome = LayerOutcome(whole, whole, result, task.plan.solver, version, task.plan.head)
    return replace(outcome, path=(outcome,) * len(task.plan.path))
