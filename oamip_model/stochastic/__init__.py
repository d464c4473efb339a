"""Images as scenarios of a two-stage stochastic program, for mpi-sppy.

The scores are the first stage. Names load their file on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.stochastic.twostage import Scenarios as Scenarios
    from oamip_model.stochastic.twostage import scenarios as scenarios

_HOMES = {"Scenarios": "twostage", "scenarios": "twostage"}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
