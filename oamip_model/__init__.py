"""OAMIP as mixed-integer programs: importance scores of the neurons of trained ReLU networks, from any solver."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "read_network": "network", "to_module": "pruning", "Network": "network",
    "load_dataset": "data", "choose_images": "data", "Dataset": "data",
    "compute_bounds": "bounds", "Bounds": "bounds",
    "abstract_model": "formulation", "build_instance": "formulation",
    "solve_instance": "solving", "get_backend": "solving", "list_solvers": "solving",
    "score": "scoring", "Scores": "scoring", "load_scores": "scoring",
    "prune": "pruning", "prunable_units": "pruning",
    "train": "training", "make_network": "training", "accuracy": "training",
    "InputError": "errors", "OamipError": "errors", "SolverMissingError": "errors", "CheckError": "errors",
}  # fmt: skip

__all__ = sorted([*_HOMES, "__version__"])
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Names load their room on first use, so that importing the package, and `oamip --help`, load no torch and no Pyomo.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
