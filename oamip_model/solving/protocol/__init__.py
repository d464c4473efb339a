"""The programs that a solver gets, and the solutions that it gives back.

Backends import this file and nothing else of the package.

A backend is a class with ``name``, ``capabilities``, ``check``, ``version`` and ``solve``. Third
parties add one by the entry-point group ``oamip_model.backends`` (see docs/how-to/backends.md). A
backend that keeps a model between solves has ``session`` as well. For the others,
:class:`oamip_model.solving.rebuild.RebuildSession` passes the whole model each time.
"""

from __future__ import annotations

from oamip_model.errors import InputError, LicenceError, SolverError, SolverMissingError
from oamip_model.solving.protocol.arrays import Array, Arrays, append_rows, check_bounds
from oamip_model.solving.protocol.backend import (
    Backend,
    Capability,
    CostSession,
    Session,
    TreeSession,
    check_options,
)  # fmt: skip
from oamip_model.solving.protocol.options import (
    ABSOLUTE_GAP,
    DEFAULT_FEASIBILITY,
    DEFAULT_GAP,
    Options,
    check_seconds,
)  # fmt: skip
from oamip_model.solving.protocol.outcome import Solution, Status

__all__ = [
    "ABSOLUTE_GAP", "DEFAULT_FEASIBILITY", "DEFAULT_GAP", "Array", "Arrays", "Backend", "Capability", "CostSession",
    "InputError", "LicenceError", "Options", "Session", "Solution", "SolverError", "SolverMissingError", "Status",
    "TreeSession", "append_rows", "check_bounds", "check_options", "check_seconds",
]  # fmt: skip
