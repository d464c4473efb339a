"""Solvers by name, and sessions of their backends.

Names load their file on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.solving.registry.names import GROUP as GROUP
    from oamip_model.solving.registry.names import SolverInfo as SolverInfo
    from oamip_model.solving.registry.names import get_backend as get_backend
    from oamip_model.solving.registry.names import list_solvers as list_solvers
    from oamip_model.solving.registry.names import register_backend as register_backend
    from oamip_model.solving.registry.names import registered_backends as registered_backends
    from oamip_model.solving.registry.sessions import open_cost_session as open_cost_session
    from oamip_model.solving.registry.sessions import open_session as open_session
    from oamip_model.solving.registry.sessions import open_tree_session as open_tree_session
    from oamip_model.solving.registry.sessions import solve_once as solve_once

_HOMES = {
    "GROUP": "names", "SolverInfo": "names", "get_backend": "names", "list_solvers": "names",
    "register_backend": "names", "registered_backends": "names", "open_cost_session": "sessions",
    "open_session": "sessions", "open_tree_session": "sessions", "solve_once": "sessions",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
