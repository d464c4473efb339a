"""Refits: the weights that are left after a cut, fitted to the trained network.

Names load their file on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.refit.options import LEVELS as LEVELS
    from oamip_model.refit.options import Refit as Refit
    from oamip_model.refit.report import RefitReport as RefitReport
    from oamip_model.refit.run import refit_network as refit_network

_HOMES = {"LEVELS": "options", "Refit": "options", "RefitReport": "report", "refit_network": "run"}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
