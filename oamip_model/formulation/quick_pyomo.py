"""Loads what Pyomo depends on, without the parts of SciPy that are not used.

Each module that loads Pyomo imports this one first.
"""

from __future__ import annotations

import sys
import threading

import scipy


def _load() -> None:
    """Load them once, as if SciPy was not loaded yet.

    Where Pyomo 6.10 finds SciPy loaded, or sees that it is being loaded, it loads scipy.stats,
    integrate and spatial at once. They take 0.5 s of the 0.8 s that Pyomo takes then. Otherwise
    they are loaded when Pyomo first uses one.
    """
    # In a pool of threads, another one may be loading parts of SciPy.
    pooled = threading.current_thread() is not threading.main_thread()
    if pooled or "pyomo.common.dependencies" in sys.modules:
        return
    del sys.modules["scipy"]
    try:
        import pyomo.common.dependencies  # noqa: F401
    finally:
        sys.modules["scipy"] = scipy


_load()
