"""The engines that run many solves by name, and what they share.

This module loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from oamip_model.errors import SolverError

ENGINES = ("loky", "dask")
"""Processes of this machine, or a dask cluster that is there already."""
TRIES = 3
"""How often a task is started before it counts as one that kills its workers."""
Tell: TypeAlias = Callable[[str], None]


def lost(name: str, times: int, why: str) -> SolverError:
    """The error of a task that its workers did not survive."""
    told = " ".join(why.split())
    return SolverError(f"{name}: its worker was killed {times} times, perhaps for want of memory ({told})")
