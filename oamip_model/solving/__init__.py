"""Backends behind one protocol, and instances solved by them.

``oamip_model.solving.protocol`` is imported by every backend, so this file loads Pyomo only when a name needs it.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "compile_arrays": "compile", "gated_logits": "replay", "InstanceSolution": "solve", "solve_instance": "solve",
    "get_backend": "registry", "list_solvers": "registry", "SolverInfo": "registry", "open_session": "registry",
    "Arrays": "protocol", "Backend": "protocol", "Capability": "protocol", "Options": "protocol",
    "RebuildSession": "protocol", "Session": "protocol", "Solution": "protocol", "Status": "protocol",
}  # fmt: skip

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
