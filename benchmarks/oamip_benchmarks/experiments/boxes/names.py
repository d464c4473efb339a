"""The names of the study ``prune-to-solve``, without what its work loads."""

from __future__ import annotations

from oamip_model.errors import InputError, SolverMissingError

BOX, COMPRESS = "box", "compress"
"""Masks for the box in question, and the exact compression over it."""
OURS, OMLT, PYSCIPOPT_ML = TOOL_NAMES = ("ours", "omlt", "pyscipopt-ml")
_PACKAGES = {OMLT: "omlt", PYSCIPOPT_ML: "pyscipopt_ml"}


def check_tool(tool: str, network: str) -> None:
    """Raise an error where a tool cannot be used for a network of this name.

    SolverMissingError: it is not installed. InputError: it is used for dense networks alone.
    """
    import importlib.util

    if tool == OURS:
        return
    if importlib.util.find_spec(_PACKAGES[tool]) is None:
        raise SolverMissingError(f"tool: {tool} is not installed: pip install 'oamip_model[peers]'")
    if not network.startswith(("dense", "fc")):
        raise InputError(f"tool: {tool} is used for dense networks here, got the network {network}")
