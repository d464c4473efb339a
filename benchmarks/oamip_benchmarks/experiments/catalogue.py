"""All studies by name."""

from __future__ import annotations

from oamip_benchmarks.experiments import pruning
from oamip_benchmarks.experiments.study import Study

STUDIES: dict[str, Study] = {module.STUDY.name: module.STUDY for module in (pruning,)}
