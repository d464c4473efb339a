"""What every subproblem of a layer by layer run has in common, and what one gives back; both are plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from oamip_model.network.ops import Array
from oamip_model.scoring.result import ProgramResult, read_program


@dataclass(frozen=True)
class Plan:
    """What every subproblem of a run has in common.

    order: "decoupled" (each layer on its own), "forward" or "backward" (layers cut before stay cut); head: "pattern",
    "linear", "rest" or "auxiliary"; weight: of the loss, unless ``amount`` is given: the share of each layer's units
    that is to go, for which the weight is found along a path; threshold: units below it count as cut in the orders, if
    there is no amount; sweeps: how often all layers are scored again with the others cut, after the first time;
    projection: of the convex programs, see :func:`~.convex.minimise_convex`; bounds, program_images: of the
    mixed-integer programs of the heads "rest" and "auxiliary".
    """

    order: str = "decoupled"
    head: str = "pattern"
    sparsity: str = "published"
    binary: bool = False
    weight: float = 5.0
    amount: float | None = None
    threshold: float = 0.1
    sweeps: int = 1
    solver: str = "highs"
    tolerance: float = 1e-3
    time_limit: float | None = None
    seed: int = 0
    device: str = "cpu"
    projection: str = "euclid"
    bounds: str = "interval"
    program_images: int = 50


@dataclass(frozen=True)
class LayerOutcome:
    """A layer's scores (units,), the units that stay (units,), its program's result, and the head's kind."""

    scores: Array
    keep: Array
    result: ProgramResult
    solver: str
    version: str
    head: str

    def record(self) -> dict[str, Any]:
        """The outcome in plain types, for a store."""
        return asdict(self) | {"scores": self.scores.tolist(), "keep": self.keep.tolist()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> LayerOutcome:
        """The outcome that :meth:`record` gave."""
        arrays = {"scores": np.asarray(record["scores"]), "keep": np.asarray(record["keep"])}
        return cls(**record | arrays | {"result": read_program(record["result"])})
