"""Backends behind one protocol, and the solution of instances by them.

Every backend imports ``oamip_model.solving.protocol``, so this file loads Pyomo only when a name
needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.solving.compile import compile_arrays as compile_arrays
    from oamip_model.solving.protocol import Arrays as Arrays
    from oamip_model.solving.protocol import Backend as Backend
    from oamip_model.solving.protocol import Capability as Capability
    from oamip_model.solving.protocol import Options as Options
    from oamip_model.solving.protocol import Session as Session
    from oamip_model.solving.protocol import Solution as Solution
    from oamip_model.solving.protocol import Status as Status
    from oamip_model.solving.rebuild import RebuildSession as RebuildSession
    from oamip_model.solving.registry import SolverInfo as SolverInfo
    from oamip_model.solving.registry import get_backend as get_backend
    from oamip_model.solving.registry import list_solvers as list_solvers
    from oamip_model.solving.registry import open_session as open_session
    from oamip_model.solving.registry import register_backend as register_backend
    from oamip_model.solving.replay import gated_logits as gated_logits
    from oamip_model.solving.solution import InstanceSolution as InstanceSolution
    from oamip_model.solving.solve import solve_instance as solve_instance

_HOMES = {
    "compile_arrays": "compile", "gated_logits": "replay", "InstanceSolution": "solution", "solve_instance": "solve",
    "get_backend": "registry", "list_solvers": "registry", "SolverInfo": "registry", "open_session": "registry",
    "register_backend": "registry",
    "Arrays": "protocol", "Backend": "protocol", "Capability": "protocol", "Options": "protocol",
    "RebuildSession": "rebuild", "Session": "protocol", "Solution": "protocol", "Status": "protocol",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
