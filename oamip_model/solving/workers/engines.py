"""The engines that run many solves, by name. This module loads nothing heavy."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from oamip_model.errors import SolverError

ENGINES = ("loky", "dask")
"""Processes of this machine, or a running dask cluster."""
TRIES = 3
"""Times that a task is started before it counts as one that kills its workers."""
Tell: TypeAlias = Callable[[str], None]
"""A function that is called with lines of text about progress."""


def lost(name: str, times: int, why: str) -> SolverError:
    """The error of a task whose worker was killed each time.

    Parameters
    ----------
    name : str
        The task.
    times : int
        Times that it was started.
    why : str
        The reason that the engine gives.

    Returns
    -------
    SolverError
        The error, in one line.
    """
    reason = " ".join(why.split())
    return SolverError(f"{name}: its worker was killed {times} times, perhaps for want of memory ({reason})")
