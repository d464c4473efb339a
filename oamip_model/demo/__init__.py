"""The whole package in one small run, on the images that come with it.

Names load their module on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from oamip_model.lazy import lazy_names

if TYPE_CHECKING:
    from oamip_model.demo.picture import draw as draw
    from oamip_model.demo.rows import PrunedRow as PrunedRow
    from oamip_model.demo.run import Agreement as Agreement
    from oamip_model.demo.run import Demo as Demo
    from oamip_model.demo.run import run_demo as run_demo

_HOMES = {"draw": "picture", "Agreement": "run", "Demo": "run", "PrunedRow": "rows", "run_demo": "run"}

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
