"""Studies of the programs themselves. Names load their module on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_benchmarks.tightness.cells import STUDIED_BOUNDS as STUDIED_BOUNDS
    from oamip_benchmarks.tightness.cells import Cell as Cell
    from oamip_benchmarks.tightness.cells import Grid as Grid
    from oamip_benchmarks.tightness.cells import Objective as Objective
    from oamip_benchmarks.tightness.measure import Row as Row
    from oamip_benchmarks.tightness.result import Tightness as Tightness
    from oamip_benchmarks.tightness.run import tightness as tightness

_HOMES = {
    "STUDIED_BOUNDS": "cells", "Cell": "cells", "Grid": "cells", "Objective": "cells", "Row": "measure",
    "Tightness": "result", "tightness": "run",
}  # fmt: skip

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
